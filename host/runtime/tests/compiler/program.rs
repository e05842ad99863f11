//! A program that does nothing but compile: what the tests give a runtime as its compiler.

use std::process::ExitCode;

use filemill_runtime::run_compiler;

fn main() -> ExitCode {
    // The first says what to do, as it does for the processor.
    let settings: Vec<String> = std::env::args().skip(2).collect();
    run_compiler(&settings)
}
