//! What an engine says to its host while it runs. Without a host, as in tests, a log goes to standard error and progress
//! nowhere.

use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For who works on the engine.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// The host's functions of the contract that the engine was built for. Both majors have them, and a component may import
/// only its own: the glue of the exported major puts them here.
pub(crate) struct Host {
    pub(crate) log: fn(Level, &str),
    pub(crate) progress: fn(u32),
    pub(crate) fail: fn(&str),
}

static HOST: OnceLock<Host> = OnceLock::new();

/// Connects to the host, and makes a panic end the run as `failed` with the panic's message.
pub(crate) fn connect(host: Host) {
    if HOST.set(host).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            if let Some(host) = HOST.get() {
                (host.fail)(&sentence(panic));
            }
        }));
    }
}

/// A line for the uploader; the macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
/// [`error!`](crate::error) format it. The host bounds lines and bytes; a run over the bound ends.
#[expect(clippy::print_stderr, reason = "without a host, in an engine's tests, there is no other place")]
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    match HOST.get() {
        Some(host) => match message.as_str() {
            Some(message) => (host.log)(level, message),
            None => (host.log)(level, &message.to_string()),
        },
        None => eprintln!("{level:?}: {message}"),
    }
}

/// How far the analysis is, from 0 to 1000. [`Input`](crate::Input) tells it by itself, unless asked not to.
pub fn progress(per_mille: u32) {
    if let Some(host) = HOST.get() {
        (host.progress)(per_mille.min(1000));
    }
}

/// Logs a line for who works on the engine, formatted as by `println!`.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log($crate::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Logs a line that is worth knowing, formatted as by `println!`.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log($crate::Level::Info, ::core::format_args!($($message)+)) };
}

/// Logs that something is odd, formatted as by `println!`.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log($crate::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Logs that something is wrong, formatted as by `println!`.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log($crate::Level::Error, ::core::format_args!($($message)+)) };
}

/// A panic in one sentence.
fn sentence(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (None, Some(message)) => message.as_str(),
        (None, None) => "without a message",
    };
    match panic.location() {
        Some(at) => format!("the engine panicked at {}:{}: {message}", at.file(), at.line()),
        None => format!("the engine panicked: {message}"),
    }
}
