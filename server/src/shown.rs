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
            let piece = filemill_text::shown(character.encode_utf8(&mut [0; 4]));
            self.left = self.left.checked_sub(piece.chars().count()).ok_or(fmt::Error)?;
            self.text.push_str(&piece);
        }
        Ok(())
    }
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
        assert_eq!(shown_error(&"no\tsuch \u{202e}thing"), "no\\tsuch \\u{202e}thing");
        // A soft hyphen, the mark of Arabic letters, a tag.
        assert_eq!(shown_error(&"a\u{ad}b\u{61c}c\u{e0041}d"), "a\\u{ad}b\\u{61c}c\\u{e0041}d");
        let error = serde_json::from_str::<u32>(&format!("\"{}\"", "é".repeat(1 << 20))).unwrap_err();
        assert!(shown_error(&error).chars().count() <= ERROR_CHARACTERS + 1);
    }
}
