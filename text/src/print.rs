//! Lines on standard output and standard error. No other file writes to either.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use crate::escape::{cut, shown, shown_json};

/// Longest line of text, in characters: what a stranger says must not push everything else off the screen. JSON is not cut.
const LINE_MAX: usize = 16 << 10;

/// Says one line on standard error, formatted as by `format!`. All of it is escaped, line feeds too.
#[macro_export]
macro_rules! tell {
    ($($arguments:tt)*) => {
        $crate::tell(::std::format_args!($($arguments)*))
    };
}

/// Says one line on standard error. All of it is escaped, line feeds too.
pub fn tell(line: impl Display) {
    // There is nobody left to be told if this fails.
    let _ = writeln!(io::stderr(), "{}", cut(shown(&line.to_string()), LINE_MAX));
}

/// Says a text of several lines, each as by [`tell()`]: for what was laid out here, or by a program that this one started.
pub fn tell_lines(text: impl Display) {
    text.to_string().lines().for_each(tell);
}

/// Lines on standard output, or wherever else they are to go.
#[derive(Debug)]
pub struct Lines<W: Write>(W);

impl Lines<BufWriter<Stdout>> {
    /// On standard output. What was not flushed is flushed when it is dropped.
    pub fn on_stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }
}

impl<W: Write> Lines<W> {
    /// Into `writer`.
    pub fn new(writer: W) -> Self {
        Self(writer)
    }

    /// Writes one line. All of it is escaped, line feeds too.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn line(&mut self, line: impl Display) -> io::Result<()> {
        writeln!(self.0, "{}", cut(shown(&line.to_string()), LINE_MAX))
    }

    /// Writes a text of several lines, each as by [`line`](Self::line): for what was laid out here, not for a stranger's words.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn lines(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// Writes a text of several lines whose columns stand between tabs, which stay: for programs that read lists. Each column is
    /// escaped.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn columns(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| {
            let columns: Vec<String> = line.split('\t').map(shown).collect();
            writeln!(self.0, "{}", cut(columns.join("\t"), LINE_MAX))
        })
    }

    /// Writes a JSON text as one line that means the same, see [`shown_json`].
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn json(&mut self, json: &str) -> io::Result<()> {
        writeln!(self.0, "{}", shown_json(json))
    }

    /// Hands everything on.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_line_holds_it_is_one_line_and_nothing_in_it_is_obeyed() {
        let mut lines = Lines::new(Vec::new());
        lines.line(format_args!("name {}", "a\u{1b}]0;x\u{7}\nerror: all lost\u{202e}")).expect("written");
        lines.lines("one\ntwo\u{9b}").expect("written");
        lines.json("{\"a\":\n\"\u{202e}\"}").expect("written");
        lines.columns("a\tb\u{1b}\nc\t").expect("written");
        let expected = "name a\\u{1b}]0;x\\u{7}\\nerror: all lost\\u{202e}\none\ntwo\\u{9b}\n{\"a\": \"\\u202e\"}\na\tb\\u{1b}\nc\t\n";
        assert_eq!(String::from_utf8(lines.0).expect("text"), expected);
    }

    #[test]
    fn a_line_has_an_end() {
        let mut lines = Lines::new(Vec::new());
        lines.line("x".repeat(LINE_MAX + 7)).expect("written");
        let text = String::from_utf8(lines.0).expect("text");
        assert!(text.ends_with("x… (7 more characters)\n"), "{}", &text[LINE_MAX - 9..]);
    }
}
