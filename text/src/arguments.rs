//! Command lines: what is wrong with one names what was given, and a file in a folder can be called anything.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Error, Parser};

use crate::{Lines, shown_bytes, tell_lines};

/// The arguments of this program; if they are wrong, or ask for help, that is said, and the program ends with this code.
///
/// # Errors
///
/// The code to end with: 2 for wrong arguments, 0 for help.
pub fn parsed_or_said<T: Parser>() -> Result<T, ExitCode> {
    parsed(std::env::args_os().collect()).map_err(|error| {
        let text = error.render().to_string();
        if error.use_stderr() {
            tell_lines(text);
        } else {
            // There is nobody left to be told if this fails.
            let _ = Lines::on_stdout().lines(&text);
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// What the arguments say.
///
/// # Errors
///
/// What is wrong with them, in which everything that was given is escaped, line feeds too.
pub fn parsed<T: Parser>(arguments: Vec<OsString>) -> Result<T, Error> {
    T::try_parse_from(&arguments).map_err(|error| {
        // It would put them into its text as they are.
        let escaped = arguments.iter().map(|argument| shown_bytes(argument.as_encoded_bytes()));
        T::try_parse_from(escaped).err().unwrap_or(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Sends {
        #[arg(required = true)]
        paths: Vec<OsString>,
    }

    fn given(arguments: &[&str]) -> Result<Sends, Error> {
        parsed(arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn a_name_that_is_taken_for_an_option_is_shown_and_not_obeyed() {
        let error = given(&["sends", "--\u{202e}gnp.exe\u{9b}31m\nerror: all is lost"]).expect_err("no option");
        let text = error.render().to_string();
        assert!(text.contains("--\\u{202e}gnp.exe\\u{9b}31m\\nerror: all is lost"), "{text}");
    }

    #[test]
    fn what_is_in_order_is_taken_as_it_is() {
        let name = "\u{202e}gnp";
        assert_eq!(given(&["sends", name]).expect("in order").paths, [OsString::from(name)]);
    }
}
