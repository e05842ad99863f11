//! How long the texts of a JSON body are: looked at before a parser, whose error holds all of a text that it did not expect, escaped.

use memchr::{memchr, memchr2};

/// Longest text of a body, as it is written between its quotes. A sealed result within its bound takes 87,384 bytes.
pub(super) const MAX_TEXT_BYTES: usize = 128 << 10;
/// Whole documents, of which each has a bound of its own. No parser complains of what is in them, as they are texts to it.
const DOCUMENTS: [&[u8]; 2] = [b"\"description\"", b"\"statement\""];

/// Whether a text of this body, the name of a member included, is longer than [`MAX_TEXT_BYTES`] and not a document.
///
/// What is a text here is one to a parser too, as far as the body is JSON (RFC 8259 §7); behind that a parser reads nothing.
pub(super) fn has_overlong(body: &[u8]) -> bool {
    let mut from = 0;
    while let Some(open) = memchr(b'"', &body[from..]).map(|at| from + at) {
        let end = end_of_text(body, open + 1);
        if end - (open + 1) > MAX_TEXT_BYTES && !is_document(&body[..open]) {
            return true;
        }
        from = body.len().min(end + 1);
    }
    false
}

/// Where the quote is that ends a text, or the body's end.
fn end_of_text(body: &[u8], mut from: usize) -> usize {
    while let Some(at) = body.get(from..).and_then(|rest| memchr2(b'"', b'\\', rest)).map(|at| from + at) {
        if body[at] == b'"' {
            return at;
        }
        from = at + 2;
    }
    body.len()
}

/// Whether what comes before a text says that a document follows.
fn is_document(before: &[u8]) -> bool {
    let name = before.trim_ascii_end().strip_suffix(b":").unwrap_or_default().trim_ascii_end();
    DOCUMENTS.iter().any(|document| name.ends_with(document))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str, text: &str, after: &str) -> bool {
        has_overlong(format!("{before}\"{text}\"{after}").as_bytes())
    }

    #[test]
    fn a_text_beyond_the_bound_is_found_wherever_it_is() {
        let [fits, longer] = [MAX_TEXT_BYTES, MAX_TEXT_BYTES + 1].map(|length| "x".repeat(length));
        for (before, after) in [("", ""), ("{\"a\":", "}"), ("[\"\", \"\\\"\", \"\\\\\",", ", 1]"), ("{", ": 1}")] {
            assert!(!found(before, &fits, after), "{before}…{after}");
            assert!(found(before, &longer, after), "{before}…{after}");
        }
        // As it is written: an escaped quote does not end it, and an escaped backslash escapes none.
        assert!(found("[", &"\\\"".repeat(MAX_TEXT_BYTES / 2 + 1), "]"));
        assert!(!found("[", &"\\\\\",\"".repeat(MAX_TEXT_BYTES), "]"));
        // Without an end.
        assert!(has_overlong(format!("[\"{longer}").as_bytes()));
        assert!(has_overlong(format!("[\"{longer}\\").as_bytes()));
        assert!(!has_overlong(b"") && !has_overlong(b"\"") && !has_overlong(b"\"\\"));
    }

    #[test]
    fn only_documents_may_be_longer() {
        let longer = "x".repeat(MAX_TEXT_BYTES + 1);
        assert!(!found("{\"pool\":{\"statement\" :\n", &longer, "}}"));
        assert!(!found("{\"description\":", &longer, "}"));
        assert!(found("{\"description\":[", &longer, "]}"));
        assert!(found("{\"description\":\"\",\"name\":", &longer, "}"));
        assert!(found("\"description\"", &longer, ""));
    }
}
