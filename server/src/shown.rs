//! What somebody sent, as far as a message repeats it: cut and escaped.

use std::fmt::{self, Display, Write};

/// Longest piece of what was sent that a message repeats.
const SHOWN_CHARACTERS: usize = 80;
/// Longest text of another's making, such as a parser's, which quotes what was sent.
const ERROR_CHARACTERS: usize = 160;

/// What was sent, in at most 80 characters of ASCII.
pub(crate) fn shown(text: &str) -> String {
    clipped(&text.escape_default(), SHOWN_CHARACTERS)
}

/// An error that may quote what was sent.
pub(crate) fn shown_error(error: &impl Display) -> String {
    clipped(error, ERROR_CHARACTERS)
}

/// What `text` says, no longer than this, and without characters that a terminal or a log obeys. No more of it is made than that.
fn clipped(text: &impl Display, characters: usize) -> String {
    let mut clip = Clip { text: String::new(), left: characters };
    if write!(clip, "{text}").is_err() {
        clip.text.push('…');
    }
    clip.text
}

struct Clip {
    text: String,
    left: usize,
}

impl Write for Clip {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let plain = !character.is_control() && !is_format(character);
            let length = if plain { 1 } else { character.escape_unicode().len() };
            self.left = self.left.checked_sub(length).ok_or(fmt::Error)?;
            if plain {
                self.text.push(character);
            } else {
                self.text.extend(character.escape_unicode());
            }
        }
        Ok(())
    }
}

/// Characters that change how their neighbours are shown.
fn is_format(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_repeated_in_part_only() {
        assert_eq!(shown("a b"), "a b");
        assert_eq!(shown("a\nb\u{202e}"), "a\\nb\\u{202e}");
        for text in ["x", "\u{10ffff}", "\0", "\u{7f}"] {
            let shown = shown(&text.repeat(1 << 20));
            assert!(shown.chars().count() <= SHOWN_CHARACTERS + 1 && shown.ends_with('…'), "{shown}");
        }
    }

    #[test]
    fn a_parsers_words_are_cut() {
        assert_eq!(shown_error(&"no\tsuch \u{202e}thing"), "no\\u{9}such \\u{202e}thing");
        let error = serde_json::from_str::<u32>(&format!("\"{}\"", "é".repeat(1 << 20))).unwrap_err();
        assert!(shown_error(&error).chars().count() <= ERROR_CHARACTERS + 1);
    }
}
