//! What the commands print.

use std::io;

use anyhow::Context;
use filemill_text::Lines;

/// Says something to whoever runs the program.
pub(super) fn tell(text: &str) {
    filemill_text::tell_lines(text);
}

/// Writes lines to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = Lines::on_stdout();
    written(out.columns(text.trim_end()).and_then(|()| out.flush()))
}

/// The same with a line of JSON.
pub(super) fn print_json(json: &str) -> anyhow::Result<()> {
    let mut out = Lines::on_stdout();
    written(out.json(json).and_then(|()| out.flush()))
}

/// A reader that has seen enough, `head` for example, is no error.
fn written(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
