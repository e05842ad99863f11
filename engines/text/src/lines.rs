//! Lines, however a piece of text cuts them: endings, lengths, and each line for who looks into it.

use memchr::memchr2;

/// How long a line may be until it is told in parts, in bytes. It bounds what is held of a line.
const PART_BYTES: usize = 16 * 1024;

/// How much of a part is told again at the beginning of the next one, so that nothing shorter is cut in two.
const OVERLAP_BYTES: usize = 2 * 1024;

/// Width of a class of the histogram in characters, and how many there are; the last one holds everything longer.
pub(crate) const CLASS_WIDTH: u64 = 10;
pub(crate) const CLASSES: usize = 21;

/// A line, or a part of a very long one, without what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The line's number, from 1.
    pub(crate) number: u64,
    /// How many characters of the line come before this part.
    pub(crate) column: u64,
    pub(crate) text: &'a str,
    /// Bytes at the beginning that were part of the part before.
    pub(crate) seen: usize,
    /// Bytes at the end that will come again. What begins there, is better looked at then.
    pub(crate) again: usize,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    pub(crate) blank: u64,
    /// Characters (Unicode scalar values), line endings included.
    pub(crate) characters: u64,
    /// Control characters beside tabs and line endings.
    pub(crate) controls: u64,
    pub(crate) line_feeds: u64,
    pub(crate) carriage_returns: u64,
    /// A carriage return and a line feed, together.
    pub(crate) pairs: u64,
    /// Length of the longest line in characters, without its ending, and its number.
    pub(crate) longest: (u64, u64),
    /// Characters in lines, without endings.
    pub(crate) in_lines: u64,
    /// How many lines are how long, in classes of [`CLASS_WIDTH`] characters.
    pub(crate) lengths: [u64; CLASSES],
    /// Whether the last line has an ending.
    pub(crate) ended: bool,
}

/// Splits text into lines as it comes. Memory: one part.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    counts: Counts,
    /// What is held of the line, because the piece of text ended.
    held: String,
    /// Characters of the line before `held`, and how many bytes of `held` were told already.
    before: u64,
    seen: usize,
    /// Whether the piece ended with a carriage return, so that a line feed belongs to it.
    after_return: bool,
}

impl Lines {
    /// Takes the next `text`, and gives the lines that end in it to `each`.
    pub(crate) fn take(&mut self, mut text: &str, each: &mut impl FnMut(Part<'_>)) {
        if text.is_empty() {
            return;
        }
        self.counts.characters += characters(text);
        self.counts.controls += controls(text);
        if self.after_return && text.starts_with('\n') {
            self.counts.carriage_returns -= 1;
            self.counts.pairs += 1;
            text = &text[1..];
        }
        self.after_return = false;
        while let Some(end) = memchr2(b'\n', b'\r', text.as_bytes()) {
            let (line, rest) = text.split_at(end);
            let ending = match rest.as_bytes() {
                [b'\r', b'\n', ..] => {
                    self.counts.pairs += 1;
                    2
                }
                [b'\r', ..] => {
                    self.counts.carriage_returns += 1;
                    self.after_return = rest.len() == 1;
                    1
                }
                _ => {
                    self.counts.line_feeds += 1;
                    1
                }
            };
            self.end(line, each);
            text = &rest[ending..];
        }
        self.hold(text, each);
    }

    /// Ends the last line, and gives the counts.
    pub(crate) fn finish(mut self, each: &mut impl FnMut(Part<'_>)) -> Counts {
        // A line that was told in parts may have nothing left to tell, and still is one.
        self.counts.ended = self.held.is_empty();
        if !self.counts.ended {
            self.end("", each);
        }
        self.counts
    }

    /// The line ends with `rest`.
    fn end(&mut self, rest: &str, each: &mut impl FnMut(Part<'_>)) {
        let number = self.counts.lines + 1;
        let mut length = self.before;
        let mut is_blank = self.before == 0;
        if self.held.is_empty() && rest.len() <= PART_BYTES {
            length += characters(rest);
            is_blank &= rest.trim_ascii().is_empty();
            each(Part { number, column: 0, text: rest, seen: 0, again: 0 });
        } else {
            self.hold(rest, each);
            length = self.before + characters(&self.held);
            is_blank = self.before == 0 && self.held.trim_ascii().is_empty();
            each(Part { number, column: self.before, text: &self.held, seen: self.seen, again: 0 });
        }
        self.counts.lines = number;
        self.counts.blank += u64::from(is_blank);
        self.counts.in_lines += length;
        if length > self.counts.longest.0 {
            self.counts.longest = (length, number);
        }
        let class = usize::try_from(length / CLASS_WIDTH).unwrap_or(usize::MAX).min(CLASSES - 1);
        self.counts.lengths[class] += 1;
        self.held.clear();
        self.before = 0;
        self.seen = 0;
    }

    /// Holds `text` until its line ends, and tells parts of it when it gets long.
    fn hold(&mut self, mut text: &str, each: &mut impl FnMut(Part<'_>)) {
        while self.held.len() + text.len() > PART_BYTES {
            let room = floor(text, PART_BYTES.saturating_sub(self.held.len()).max(4));
            let (now, later) = text.split_at(room);
            self.held.push_str(now);
            text = later;
            let keep = floor(&self.held, self.held.len().saturating_sub(OVERLAP_BYTES));
            let again = self.held.len() - keep;
            each(Part { number: self.counts.lines + 1, column: self.before, text: &self.held, seen: self.seen, again });
            self.before += characters(&self.held[..keep]);
            self.held.drain(..keep);
            self.seen = again;
        }
        self.held.push_str(text);
    }
}

/// The last border between two characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Unicode scalar values: bytes that begin one.
fn characters(text: &str) -> u64 {
    text.bytes().filter(|byte| byte & 0xc0 != 0x80).count() as u64
}

/// Control characters of ASCII that neither end nor indent a line.
fn controls(text: &str) -> u64 {
    text.bytes().filter(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t')).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts, and number, column and text of each part, of `text` that comes `size` bytes at a time.
    fn lines(text: &str, size: usize) -> (Counts, Vec<(u64, u64, String)>) {
        let mut lines = Lines::default();
        let mut parts = Vec::new();
        let mut each = |part: Part<'_>| parts.push((part.number, part.column, part.text.to_owned()));
        let mut rest = text;
        while !rest.is_empty() {
            let at = (size..).find(|&at| at >= rest.len() || rest.is_char_boundary(at)).expect("a border");
            let (now, later) = rest.split_at(at.min(rest.len()));
            lines.take(now, &mut each);
            rest = later;
        }
        (lines.finish(&mut each), parts)
    }

    #[test]
    fn pieces_change_nothing() {
        let text = "one\r\ntwo\n\nüber\rfour\r\r\n  \nlast";
        let (whole, parts) = lines(text, text.len());
        assert_eq!((whole.lines, whole.blank), (8, 3));
        assert_eq!((whole.line_feeds, whole.pairs, whole.carriage_returns), (3, 2, 2));
        assert_eq!((whole.longest, whole.ended), ((4, 4), false));
        assert_eq!(whole.characters, text.chars().count() as u64);
        assert_eq!(parts[3], (4, 0, "über".to_owned()));
        for size in 1..text.len() {
            assert_eq!(lines(text, size), (whole.clone(), parts.clone()), "{size}");
        }
    }

    #[test]
    fn a_last_line_without_ending_is_a_line_and_an_empty_text_has_none() {
        for (text, count, ended) in
            [("", 0, true), ("a", 1, false), ("\n", 1, true), ("a\n", 1, true), ("a\r", 1, true)]
        {
            let (counts, _) = lines(text, 8);
            assert_eq!((counts.lines, counts.ended), (count, ended), "{text:?}");
        }
    }

    #[test]
    fn a_very_long_line_is_told_in_parts_that_overlap() {
        let text = format!("short\n{}\nend\n", "äbc".repeat(50_000));
        for size in [100, 7_000, 1_000_000] {
            let (counts, parts) = lines(&text, size);
            assert_eq!((counts.lines, counts.longest), (3, (150_000, 2)), "{size}");
            assert_eq!(counts.lengths[CLASSES - 1], 1);
            let long: Vec<_> = parts.iter().filter(|part| part.0 == 2).collect();
            assert!(long.len() > 10 && long.iter().all(|part| part.2.len() <= PART_BYTES + 4));
            for pair in long.windows(2) {
                let (one, two) = (pair[0], pair[1]);
                let overlap = one.1 + one.2.chars().count() as u64 - two.1;
                assert!(overlap > 1_000, "{overlap}");
            }
        }
    }
}
