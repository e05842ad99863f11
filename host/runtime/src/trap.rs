//! From a wasmtime error to an outcome and a sentence that is the same on every machine.

use wasmtime::{Error, OutOfMemory, PoolConcurrencyLimitError, Trap, WasmBacktrace, WasmtimeBug};

use crate::backend::{Failure, Outcome, Rejection, printable};
use crate::sandbox::Stop;

/// Functions of the engine that a trap message names, innermost first.
const FRAMES: usize = 5;
/// The longest name of one of them, in bytes: it is the engine's own text.
const NAME_BYTES: usize = 200;

/// Why a guest did not return. `over_in_call` is what it was over where it called the host with more text than may cross at
/// once: what its contract's functions take text for, mostly.
pub(crate) fn explain(error: &Error, over_in_call: Outcome) -> Failure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return stopped(stop);
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Failure::new(Outcome::Trapped, located(describe(*trap), error));
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::new(Outcome::HostFailed, "every slot of this processor is taken")
            .with_hint("start no more runs at once than `slots` says");
    }
    if error.is::<OutOfMemory>() || error.is::<WasmtimeBug>() || is_io(error) {
        return host_failed(error);
    }
    if is_crossing_limit(error) {
        return match error.downcast_ref::<WasmBacktrace>() {
            // The engine was calling the host.
            Some(_) if over_in_call == Outcome::OverLog => {
                Failure::new(over_in_call, "the engine logged a line that is too long")
            }
            Some(_) => Failure::new(over_in_call, "the engine handed the host more at once than it may")
                .with_hint("hand out less in one piece; the release's output limits can be raised"),
            // It had returned.
            None => Failure::new(Outcome::OverOutput, "the engine returned more than it may")
                .with_hint("a report is a summary; the release's output limit can be raised"),
        };
    }
    // What is left is a value that breaks the contract's encoding: a list outside the memory, text that is not UTF-8.
    let broken = format!("the engine passed a broken value: {}", error.root_cause());
    Failure::new(Outcome::Trapped, located(broken, error))
}

/// This host could not even start.
pub(crate) fn host_failed(error: &Error) -> Failure {
    Failure::new(Outcome::HostFailed, format!("this processor could not run the engine: {error:#}"))
}

fn stopped(stop: &Stop) -> Failure {
    let message = stop.to_string();
    match stop {
        Stop::Time { .. } => Failure::new(Outcome::TimedOut, message)
            .with_hint("the engine may hang on this file; else raise the release's time limits"),
        Stop::Memory { .. } => Failure::new(Outcome::OverMemory, message)
            .with_hint("an engine reads in one pass and keeps little; the release's memory limit can be raised"),
        Stop::Log { .. } => {
            Failure::new(Outcome::OverLog, message).with_hint("log what a person will read, not each record")
        }
        Stop::HostCalls { .. } => Failure::new(Outcome::OverHostCalls, message)
            .with_hint("read in larger pieces, and report progress now and then"),
        Stop::ReadsBackAndForth => {
            Failure::new(Outcome::OverHostCalls, message).with_hint("read the file in its order as far as possible")
        }
        Stop::Cancelled => Failure::new(Outcome::Cancelled, message),
        Stop::Output { .. } => Failure::new(Outcome::OverOutput, message)
            .with_hint("a report is a summary; the release's output limits can be raised"),
        Stop::Broken(_) => {
            Failure::new(Outcome::BadReport, message).with_hint("this is a fault of the engine: tell its author")
        }
        Stop::NoWasi(_) => Failure::new(Outcome::Trapped, message)
            .with_hint("an engine has no files, network, clock or environment: leave out what asks for them"),
        Stop::Misuse(_) => Failure::new(Outcome::Trapped, message),
        Stop::GaveUp(_) => Failure::new(Outcome::Rejected(Rejection::Failed), message),
        Stop::Host(_) => Failure::new(Outcome::HostFailed, message),
    }
}

fn describe(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "the engine gave up (`unreachable`)".to_owned(),
        Trap::StackOverflow => "the engine's calls nest too deeply for its stack".to_owned(),
        other => {
            let text = other.to_string();
            let what = text.strip_prefix("wasm trap: ").unwrap_or(&text);
            format!("the engine broke off: {what}")
        }
    }
}

/// `message` with the engine's functions that were running. Their names and offsets come from the component, so they
/// say the same everywhere.
fn located(mut message: String, error: &Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return message;
    };
    for (depth, frame) in backtrace.frames().iter().take(FRAMES).enumerate() {
        message.push_str(if depth == 0 { ", in " } else { ", called by " });
        message.push_str(&match frame.func_name() {
            Some(name) => format!("`{}`", readable(name)),
            None => format!("function {}", frame.func_index()),
        });
    }
    message
}

/// A function's name as its author wrote it, cut to a length that fits a message.
fn readable(name: &str) -> String {
    const MANGLED_BYTES: usize = 4 << 10;
    if name.len() > MANGLED_BYTES {
        return printable(name, NAME_BYTES);
    }
    printable(&format!("{:#}", rustc_demangle::demangle(name)), NAME_BYTES)
}

fn is_io(error: &Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<std::io::Error>)
}

/// Whether more text or lists were to cross than `Store::set_hostcall_fuel` allows. wasmtime has a type for that but does
/// not export it; the tests with a guest that returns too much fail if its text ever changes.
fn is_crossing_limit(error: &Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls has been exhausted")
}
