//! The compiling process: a component on standard input, code on standard output.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setpriority_process, setrlimit};

use crate::engine::{Lane, compiler};

/// The exit code for a component that cannot be compiled; the reason is on standard error.
pub(super) const REFUSED: i32 = 3;

/// The exit code for a process that cannot do its work; the reason is on standard error.
pub(super) const HOST: i32 = 4;

/// The longest message, in bytes: it may quote the component.
pub(super) const MESSAGE_BYTES: usize = 4 << 10;

/// What a program does when a [`CompilerProcess`](crate::CompilerProcess) starts it: `arguments` are those after the
/// configured ones. Limits itself, compiles the component on standard input and writes the code to standard output. The
/// exit code is 3 where the component is at fault, 4 where something else is.
pub fn run(arguments: &[String]) -> ExitCode {
    let (code, message) = match compile(arguments) {
        Ok(code) => match io::stdout().lock().write_all(&code) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (HOST, format!("the code cannot be written: {error}")),
        },
        Err(Failure::Component(reason)) => (REFUSED, reason),
        Err(Failure::Host(reason)) => (HOST, reason),
    };
    // Whoever reads it takes no more, and a closed pipe must not become a panic.
    let message = &message.as_bytes()[..message.len().min(MESSAGE_BYTES)];
    let _ = io::stderr().write_all(message);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

enum Failure {
    Component(String),
    Host(String),
}

fn compile(arguments: &[String]) -> Result<Vec<u8>, Failure> {
    let [lane, cpu_s, memory_bytes] = arguments else {
        return Err(Failure::Host("a compiler is started by a processor only".to_owned()));
    };
    let number = |text: &String| text.parse::<u64>().map_err(|_| Failure::Host(format!("`{text}` is not a number")));
    let lane = Lane::parse(lane).ok_or_else(|| Failure::Host(format!("there is no lane `{lane}`")))?;
    give_way();
    limit(number(cpu_s)?, number(memory_bytes)?)
        .map_err(|error| Failure::Host(format!("the limits cannot be set: {error}")))?;
    let mut component = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut component)
        .map_err(|error| Failure::Host(format!("the component cannot be read: {error}")))?;
    let engine = compiler(lane).map_err(|error| Failure::Host(format!("{error:#}")))?;
    engine.precompile_component(&component).map_err(|error| Failure::Component(format!("{error:#}")))
}

/// Lets what runs go before, and a machine without memory end this process rather than the one that started it. Best effort: it
/// compiles without, too.
fn give_way() {
    let _ = setpriority_process(None, 5);
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// Bounds this process, and ends it with the one that started it.
fn limit(cpu_s: u64, memory_bytes: u64) -> rustix::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let most = |value| Rlimit { current: Some(value), maximum: Some(value) };
    // It dies of SIGXCPU at the first. At the second it would die of SIGKILL, as it does where the machine has no memory left.
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_s), maximum: Some(cpu_s.saturating_add(5)) })?;
    // Of what is written to, not of address space: the allocator reserves 64 MiB of that for each thread.
    setrlimit(Resource::Data, most(memory_bytes))?;
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Fsize, most(0))?;
    setrlimit(Resource::Nofile, most(64))
}
