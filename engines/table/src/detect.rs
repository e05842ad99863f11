//! What kind of table a file is, from its beginning.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use filemill_engine::Failure;

use crate::value::{Value, value_of};

/// How much of the beginning is looked at.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// How many rows of it.
const ROWS: usize = 200;

/// What may stand between fields, the likelier first.
const DELIMITERS: [u8; 4] = *b",\t;|";

/// Whether the file begins as JSON lines do. An array does not.
pub(crate) fn is_json_lines(head: &[u8]) -> bool {
    head.trim_ascii_start().first() == Some(&b'{')
}

/// Refuses what is no text, or none that can be read.
///
/// # Errors
///
/// [`Failure::Unsupported`], which says what it seems to be.
pub(crate) fn check_text(head: &[u8]) -> Result<(), Failure> {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(Failure::unsupported("the file is UTF-16; hint: save it as UTF-8"));
    }
    if memchr::memchr(0, head).is_some() {
        return Err(Failure::unsupported("the file is no text"));
    }
    if head.trim_ascii_start().first() == Some(&b'[') {
        return Err(Failure::unsupported("the file seems to be one JSON list; hint: write one object a line"));
    }
    Ok(())
}

/// The delimiter that cuts the beginning into the most even rows; where none cuts at all, a comma.
pub(crate) fn delimiter(head: &[u8], name: &str) -> u8 {
    let by_name = name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("tsv"));
    let evenness = |delimiter: u8| {
        let mut counts = Vec::new();
        each_row(head, delimiter, |fields| counts.push(fields.len()));
        // The last row may be cut off.
        if counts.len() > 2 {
            counts.pop();
        }
        let mut sorted = counts.clone();
        sorted.sort_unstable();
        let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        if usual < 2 {
            return 0;
        }
        let even = counts.iter().filter(|count| **count == usual).count();
        // Evenness first, in percent; then what the name says; then how many fields there are.
        even * 100 / counts.len() * 1000 + usize::from(by_name && delimiter == b'\t') * 500 + usual.min(499)
    };
    // The first of equals, which is the likelier.
    DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(|delimiter| evenness(*delimiter))
        .filter(|best| evenness(*best) > 0)
        .unwrap_or(b',')
}

/// Whether the first row names the columns: each of its fields is text, or nothing, and none stands there twice.
pub(crate) fn has_header(first: &[&[u8]]) -> bool {
    let named = |field: &[u8]| match value_of(field) {
        Value::Text => true,
        Value::Null => field.trim_ascii().is_empty(),
        _ => false,
    };
    let mut names: Vec<_> = first.iter().filter(|field| !field.is_empty()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    count > 0 && names.len() == count && first.iter().all(|field| named(field))
}

/// A reader of rows with this delimiter.
pub(crate) fn reader(delimiter: u8) -> Reader {
    ReaderBuilder::new().delimiter(delimiter).build()
}

/// Calls `row` with the fields of each of the first rows of `head`.
fn each_row(head: &[u8], delimiter: u8, mut row: impl FnMut(&[&[u8]])) {
    let mut reader = reader(delimiter);
    let mut text = vec![0; head.len() + 1];
    let mut ends = vec![0; head.len() + 1];
    let mut rest = head;
    for _ in 0..ROWS {
        let (mut written, mut ended) = (0, 0);
        loop {
            let (result, read, out, end) = reader.read_record(rest, &mut text[written..], &mut ends[ended..]);
            rest = &rest[read..];
            written += out;
            ended += end;
            match result {
                // Asked again with nothing, it ends the last row.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::End | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return,
            }
        }
        let mut begin = 0;
        let fields: Vec<&[u8]> =
            ends[..ended].iter().map(|end| &text[std::mem::replace(&mut begin, *end)..*end]).collect();
        row(&fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_one_that_cuts_evenly() {
        for (text, expected) in [
            ("a,b,c\n1,2,3\n4,5,6\n", b','),
            ("a;b;c\n1,5;2,5;3\n4,5;5;6\n", b';'),
            ("a\tb\n1, 2\t3\n4, 5\t6\n", b'\t'),
            ("a|b|c\n1|2|3\n", b'|'),
            ("name;note\nx;\"a,b,c\"\ny;\"d,e\"\n", b';'),
            ("one\ntwo\n", b','),
            ("", b','),
        ] {
            assert_eq!(delimiter(text.as_bytes(), "x.csv"), expected, "{text:?}");
        }
        assert_eq!(delimiter(b"a,b\tc\n1,2\t3\n", "x.tsv"), b'\t');
        assert_eq!(delimiter(b"a,b\tc\n1,2\t3\n", "x.csv"), b',');
    }

    #[test]
    fn a_header_is_text_that_repeats_nothing() {
        let header = |fields: &[&str]| has_header(&fields.iter().map(|field| field.as_bytes()).collect::<Vec<_>>());
        assert!(header(&["id", "name"]));
        assert!(header(&["", "name"]));
        assert!(!header(&["id", "id"]));
        assert!(!header(&["id", "7"]));
        assert!(!header(&["2020-01-01", "x"]));
        assert!(!header(&["", ""]));
        assert!(!header(&[]));
    }

    #[test]
    fn what_is_no_table_is_refused_for_what_it_is() {
        assert!(check_text(b"\xff\xfea\0").expect_err("refused").sentence().contains("UTF-16"));
        assert!(check_text(b"\x7fELF\0").expect_err("refused").sentence().contains("no text"));
        assert!(check_text(b" [1]").expect_err("refused").sentence().contains("JSON list"));
        assert!(check_text(b"a,b").is_ok() && check_text(b"").is_ok());
    }
}
