//! Lines on standard output and standard error.

use std::io::{self, BufWriter, ErrorKind, Stdout};

use filemill_client::Error;
use filemill_text::Lines;

use crate::hints::hint;

/// Standard output. A reader that goes away ends the program's output, not its work.
pub(crate) struct Output {
    stdout: Lines<BufWriter<Stdout>>,
    closed: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { stdout: Lines::on_stdout(), closed: false }
    }

    /// A line for people.
    pub(crate) fn line(&mut self, line: &str) {
        if !self.closed {
            let written = self.stdout.line(line);
            self.check(written);
        }
    }

    /// A line for programs.
    pub(crate) fn json(&mut self, json: &str) {
        if !self.closed {
            let written = self.stdout.json(json);
            self.check(written);
        }
    }

    /// A line for programs, or for people.
    pub(crate) fn print(&mut self, line: &str, json: bool) {
        if json { self.json(line) } else { self.line(line) }
    }

    pub(crate) fn flush(&mut self) {
        if !self.closed {
            let flushed = self.stdout.flush();
            self.check(flushed);
        }
    }

    /// Whether whoever read it is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn check(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.closed = true;
            if error.kind() != ErrorKind::BrokenPipe {
                tell(&format!("error: cannot write to standard output: {error}"));
            }
        }
    }
}

/// Says something that is no result.
pub(crate) fn tell(line: &str) {
    filemill_text::tell(line);
}

/// Says an error and what to do about it.
pub(crate) fn tell_error(error: &Error) {
    tell(&format!("error: {error}"));
    if let Some(hint) = hint(error) {
        tell(&format!("hint: {hint}"));
    }
}

/// `1 file`, `2 files`.
pub(crate) fn files(count: u64) -> String {
    format!("{count} {}", if count == 1 { "file" } else { "files" })
}

/// Text of a server or an engine, without anything that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    filemill_client::shown_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_others_are_shown_not_obeyed() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(plain("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
        assert_eq!(plain("naïve ✓"), "naïve ✓");
    }
}
