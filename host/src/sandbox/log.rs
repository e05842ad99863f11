//! The lines a guest logs, bounded in number and in bytes.

use super::Stop;
use crate::outcome::{Level, LogLine};
use crate::text::printable;

/// Keeps a run's lines until it has ended.
pub(crate) struct Log {
    lines: Vec<LogLine>,
    bytes_left: usize,
    lines_limit: usize,
    bytes_limit: usize,
}

impl Log {
    pub(super) fn new(lines_limit: usize, bytes_limit: usize) -> Self {
        Self { lines: Vec::new(), bytes_left: bytes_limit, lines_limit, bytes_limit }
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

    /// The error for a line too long to be looked at.
    pub(crate) fn too_long(&self) -> Stop {
        Stop::Log { limit: self.bytes_limit, unit: "bytes" }
    }

    pub(super) fn into_lines(self) -> Vec<LogLine> {
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
}
