//! Text that an engine wrote and a person will read.

/// `text` cut to `max_bytes` (an ellipsis included, where it is cut), with control characters other than line feed
/// and tab replaced by U+FFFD: it may end up on a terminal.
pub(crate) fn printable(text: &str, max_bytes: usize) -> String {
    const ELLIPSIS: &str = "…";
    let mut out = String::with_capacity(text.len().min(max_bytes));
    let mut cut_at = 0;
    for original in text.chars() {
        let shown = match original {
            '\n' | '\t' => original,
            _ if original.is_control() => char::REPLACEMENT_CHARACTER,
            _ => original,
        };
        if out.len() + shown.len_utf8() > max_bytes {
            out.truncate(cut_at);
            out.push_str(ELLIPSIS);
            return out;
        }
        out.push(shown);
        if out.len() + ELLIPSIS.len() <= max_bytes {
            cut_at = out.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn escape_sequences_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\n\0", 100), "a\u{fffd}[2Jb\tc\n\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(printable("äöü", 6), "äöü");
        assert_eq!(printable("äöüß", 6), "ä…");
        assert_eq!(printable(&"x".repeat(99), 10).len(), 10);
    }
}
