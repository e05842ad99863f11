//! Lines of a log.

use std::io::{self, Stderr, Write};

use crate::escape::{cut, shown_bytes, shown_json};

/// Longest line of a log as text, in characters.
const LINE_MAX: usize = 8 << 10;

/// One line of a log, on standard error: whatever is written into it is one line, and escaped as a whole, when it is dropped.
/// A log writes what servers and engines said; with colours of its own nobody could tell them from a stranger's.
///
/// For `tracing_subscriber`, which asks for a writer for each event: `.with_writer(LogLine::text).with_ansi(false)`.
#[derive(Debug)]
pub struct LogLine<W: Write = Stderr> {
    bytes: Vec<u8>,
    json: bool,
    writer: W,
}

impl LogLine {
    /// A line of text.
    pub fn text() -> Self {
        Self { bytes: Vec::new(), json: false, writer: io::stderr() }
    }

    /// A line that is a JSON text.
    pub fn json() -> Self {
        Self { bytes: Vec::new(), json: true, writer: io::stderr() }
    }
}

impl<W: Write> Write for LogLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for LogLine<W> {
    fn drop(&mut self) {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        if bytes.is_empty() {
            return;
        }
        let line = match std::str::from_utf8(bytes) {
            Ok(json) if self.json => shown_json(json),
            _ => cut(shown_bytes(bytes), LINE_MAX),
        };
        // In one piece: other processes may write to the same place.
        let _ = self.writer.write_all(format!("{line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(json: bool, text: &str) -> String {
        let mut written = Vec::new();
        let mut line = LogLine { bytes: Vec::new(), json, writer: &mut written };
        line.write_all(text.as_bytes()).expect("written");
        drop(line);
        String::from_utf8(written).expect("text")
    }

    #[test]
    fn an_event_is_one_line_whatever_a_stranger_said() {
        let event = "INFO said \"x\ny\" \u{1b}[2J\u{202e}z\n";
        assert_eq!(logged(false, event), "INFO said \"x\\ny\" \\u{1b}[2J\\u{202e}z\n");
        assert_eq!(logged(true, "{\"m\":\"\u{9b}x\"}\n"), "{\"m\":\"\\u009bx\"}\n");
        assert_eq!(logged(false, ""), "");
        assert!(logged(false, &"y".repeat(1 << 20)).len() < 10 << 10);
    }
}
