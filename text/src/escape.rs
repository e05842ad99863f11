//! What is escaped, and how.

use std::fmt::Write as _;
use std::path::Path;

/// `text` as one line, without anything that a terminal would obey, or that would show it in another order.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut shown, character);
    }
    shown
}

/// Bytes that should be UTF-8, as [`shown`]; those that are not are written as `\xNN`.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push(&mut shown, character);
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// A path as [`shown_bytes`].
pub fn shown_path(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_encoded_bytes())
}

/// A JSON text that means the same, on one line and with what [`shown`] escapes written in JSON's own escapes: in JSON such
/// characters stand in strings only, but for line feeds and tabs between its parts, which become spaces.
pub fn shown_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' | '\r' | '\t' => shown.push(' '),
            _ if is_escaped(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
            _ => shown.push(character),
        }
    }
    shown
}

/// The first `characters_max` characters of a text, and how many more there are.
pub fn cut(text: String, characters_max: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(characters_max) else {
        return text;
    };
    let more = text[end..].chars().count();
    format!("{}… ({more} more characters)", &text[..end])
}

fn push(shown: &mut String, character: char) {
    if is_escaped(character) {
        shown.extend(character.escape_default());
    } else {
        shown.push(character);
    }
}

fn is_escaped(character: char) -> bool {
    character.is_control() || is_disguise(character)
}

/// Marks that nobody sees and that make text look like another: they change its order, or tell two names apart that look the
/// same. Variation selectors are not among them: they only choose between two shapes of the character before them.
fn is_disguise(character: char) -> bool {
    matches!(
        character,
        // The soft hyphen, the grapheme joiner, the Arabic letter mark, letters of Hangul and Khmer that have no shape, and the
        // Mongolian vowel separator.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        // Zero-width space and joiners; left-to-right and right-to-left marks.
        | '\u{200b}'..='\u{200f}'
        // Separators of lines and paragraphs; embeddings and overrides.
        | '\u{2028}'..='\u{202e}'
        // Word joiner, invisible operators, isolates, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        // More of Hangul without a shape.
        | '\u{3164}' | '\u{ffa0}'
        // The byte order mark, and interlinear annotations with what is kept free before them.
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
        // Controls of shorthand and of musical notation.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        // Tags: a whole hidden text. And what is kept free for more of the kind.
        | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mark_that_nobody_sees_is_shown_as_it_is() {
        let hidden = [
            0x00..=0x1f,
            0x7f..=0x9f,
            0xad..=0xad,
            0x61c..=0x61c,
            0x180e..=0x180e,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0x3164..=0x3164,
            0xfeff..=0xfeff,
            0xfff9..=0xfffb,
            0x1d173..=0x1d17a,
            0xe0000..=0xe007f,
        ];
        for code in hidden.into_iter().flatten() {
            let text = format!("a{}b", char::from_u32(code).expect("a character"));
            let escaped = match code {
                0x09 => "a\\tb".to_owned(),
                0x0a => "a\\nb".to_owned(),
                0x0d => "a\\rb".to_owned(),
                _ => format!("a\\u{{{code:x}}}b"),
            };
            assert_eq!(shown(&text), escaped);
            assert_eq!(shown_path(Path::new(&text)), escaped);
        }
        // No-break space, Hebrew, an emoji with its variation selector, accents that combine.
        for text in ["a\u{a0}b", "שלום", "\u{2764}\u{fe0f}", "e\u{301}", "naïve ✓", "漢字"] {
            assert_eq!(shown(text), text);
            assert_eq!(shown_json(text), text);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_numbers() {
        assert_eq!(shown_bytes(b"caf\xe9\n\xf0\x9f"), "caf\\xe9\\n\\xf0\\x9f");
    }

    #[test]
    fn json_means_the_same_and_is_one_line_that_nothing_obeys() {
        let hostile = "{\n\t\"a\": \"\u{9b}2J\u{202e}x\u{e0041}\u{7f} \u{2028} naïve\"\n}";
        assert_eq!(shown_json(hostile), "{  \"a\": \"\\u009b2J\\u202ex\\udb40\\udc41\\u007f \\u2028 naïve\" }");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("naïve".to_owned(), 5), "naïve");
        assert_eq!(cut("naïve".to_owned(), 3), "naï… (2 more characters)");
    }
}
