//! The lines a guest logs, bounded in number and in bytes.

use super::stop::Stop;
use crate::backend::{Level, LogLine, printable};

/// Keeps a run's lines until it has ended.
pub(crate) struct Log {
    lines: Vec<LogLine>,
    /// What was written since the last line feed, and by whom.
    unfinished: Vec<(Level, Vec<u8>)>,
    bytes_left: usize,
    lines_limit: usize,
    bytes_limit: usize,
}

impl Log {
    pub(super) fn new(lines_limit: usize, bytes_limit: usize) -> Self {
        Self { lines: Vec::new(), unfinished: Vec::new(), bytes_left: bytes_limit, lines_limit, bytes_limit }
    }

    /// Keeps a line. The one that goes over a limit is dropped and ends the run.
    pub(crate) fn push(&mut self, level: Level, message: &str) -> Result<(), Stop> {
        if self.lines.len() >= self.lines_limit {
            return Err(Stop::Log { limit: self.lines_limit, unit: "lines" });
        }
        self.bytes_left = self.bytes_left.checked_sub(message.len()).ok_or_else(|| self.too_long())?;
        // A replaced character may take up to three times its bytes; nothing is cut off here.
        let message = printable(message, usize::MAX);
        self.lines.push(LogLine { level, message });
        Ok(())
    }

    /// Keeps what was written to a stream, line by line.
    pub(crate) fn write(&mut self, level: Level, bytes: &[u8]) -> Result<(), Stop> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = self.take_unfinished(level);
            line.extend_from_slice(&rest[..end]);
            self.push(level, &String::from_utf8_lossy(&line))?;
            rest = &rest[end + 1..];
        }
        if rest.is_empty() {
            return Ok(());
        }
        let mut line = self.take_unfinished(level);
        if line.len().saturating_add(rest.len()) > self.bytes_left {
            return Err(self.too_long());
        }
        line.extend_from_slice(rest);
        self.unfinished.push((level, line));
        Ok(())
    }

    fn take_unfinished(&mut self, level: Level) -> Vec<u8> {
        let at = self.unfinished.iter().position(|(of, _)| *of == level);
        at.map(|at| self.unfinished.swap_remove(at).1).unwrap_or_default()
    }

    /// The error for a line too long to be looked at.
    pub(crate) fn too_long(&self) -> Stop {
        Stop::Log { limit: self.bytes_limit, unit: "bytes" }
    }

    pub(super) fn into_lines(mut self) -> Vec<LogLine> {
        for (level, line) in std::mem::take(&mut self.unfinished) {
            // A last line that is one too many is dropped like any other.
            let _ = self.push(level, &String::from_utf8_lossy(&line));
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_either_limit_is_refused() {
        let mut log = Log::new(2, 10);
        assert_eq!(log.push(Level::Info, "123456"), Ok(()));
        let over_bytes = Err(Stop::Log { limit: 10, unit: "bytes" });
        assert_eq!(log.push(Level::Info, "12345"), over_bytes);
        assert_eq!(log.push(Level::Info, ""), Ok(()));
        let over_lines = Err(Stop::Log { limit: 2, unit: "lines" });
        assert_eq!(log.push(Level::Info, ""), over_lines);
        assert_eq!(log.into_lines().len(), 2);
    }

    #[test]
    fn what_is_written_in_pieces_becomes_lines() {
        let mut log = Log::new(10, 100);
        log.write(Level::Info, b"a").expect("fits");
        log.write(Level::Warn, b"other").expect("fits");
        log.write(Level::Info, b"b\nc\n\nd").expect("fits");
        let lines: Vec<_> = log.into_lines().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["ab", "c", "", "other", "d"]);
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        let mut log = Log::new(10, 100);
        log.write(Level::Info, &[b'x'; 60]).expect("fits");
        assert_eq!(log.write(Level::Info, &[b'x'; 60]), Err(Stop::Log { limit: 100, unit: "bytes" }));
    }
}
