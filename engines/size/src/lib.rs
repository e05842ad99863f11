//! `size`: the smallest useful engine, and the yardstick of the engine contract. It counts bytes and lines.
//!
//! The report is one JSON object, `{"bytes": n, "lines": n}`. `bytes` is the number of bytes that were read, `lines` the
//! number of newline bytes (0x0A), plus one if the file is not empty and its last byte is not a newline: a last line without
//! its newline is a line, and an empty file has none.
//!
//! `count` does the counting and knows nothing of components; this file is the border to the host.

mod bindings;
mod count;

use bindings::exports::filemill::engine::analyzer::{Description, Failure, File, Guest, Report};
use bindings::filemill::engine::host::{self, Input, InputError};
use count::{Progress, Source, count};

/// The engine, as the contract's `analyzer` sees it.
pub(crate) struct Size;

impl Guest for Size {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "counts the bytes and lines of a file".into(),
            media_types: Vec::new(),
            parameter_schema: String::new(),
        }
    }

    fn analyze(file: File, input: Input, parameters: String) -> Result<Report, Failure> {
        if !takes_nothing(&parameters) {
            return Err(Failure::Failed("engine `size` takes no parameters; hint: send it `{}`".into()));
        }
        let counts = count(&mut HostInput(input), Progress::of(file.size), host::progress)
            .map_err(|error| Failure::Failed(reason(error)))?;
        Ok(Report { json: counts.to_json() })
    }
}

/// The host's input, as a source of pieces.
struct HostInput(Input);

impl Source for HostInput {
    type Error = InputError;

    fn next(&mut self, max: u64) -> Result<Vec<u8>, InputError> {
        self.0.read(max)
    }
}

/// Whether the parameters are an object without members. `null` and nothing at all are taken for one.
fn takes_nothing(parameters: &str) -> bool {
    let rest = parameters.trim_matches([' ', '\t', '\r', '\n']);
    matches!(rest, "" | "null")
        || rest
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'))
            .is_some_and(|inner| inner.trim_matches([' ', '\t', '\r', '\n']).is_empty())
}

/// Why there is no report although nothing is wrong with the engine.
fn reason(error: InputError) -> String {
    match error {
        InputError::Void(why) => format!("the input ended early: {why}"),
        InputError::Cancelled => "cancelled".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_without_members_is_no_parameters() {
        for nothing in ["", "{}", " { \n } ", "null"] {
            assert!(takes_nothing(nothing), "{nothing:?}");
        }
    }

    #[test]
    fn parameters_are_refused_rather_than_ignored() {
        for something in ["{\"unit\":\"KiB\"}", "[]", "{", "0"] {
            assert!(!takes_nothing(something), "{something:?}");
        }
    }
}
