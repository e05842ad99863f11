//! `filemill`: files in, private results out.

mod args;
mod commands;
mod exit;
mod hints;
mod lines;
mod listing;
mod progress;
mod report;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use filemill_client::{Error, Home};
use tokio_util::sync::CancellationToken;

use args::{Arguments, Command};
use exit::EXIT_SIGNAL;

/// Threads that may block at the same time: those that read, seal and open are bounded by what they wait for.
const BLOCKING_THREADS: usize = 64;
/// How long the end waits for threads that block.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Arguments = match filemill_text::parsed_or_said() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            lines::tell(&format!("error: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let stop = CancellationToken::new();
        // Until the very end: a second signal also ends what hangs while it is closed. Without signals it ends all the same.
        if let Ok(signals) = Signals::new() {
            tokio::spawn(stop_on_signal(stop.clone(), signals));
        }
        match run(arguments, &stop).await {
            Ok(code) => code,
            Err(Error::Stopped) => {
                lines::tell("stopped");
                ExitCode::from(EXIT_SIGNAL)
            }
            Err(error) => {
                lines::tell_error(&error);
                ExitCode::FAILURE
            }
        }
    });
    // A thread that reads from a dead disk or asks a keychain does not end by itself.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    code
}

async fn run(arguments: Arguments, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let home = match arguments.home {
        Some(path) => Home::at(path)?,
        None => Home::from_environment()?,
    };
    let home = home.waiting(stop.clone(), |home| lines::tell(&words::waiting_for_home(home)));
    match arguments.command {
        Command::Login(login) => unless(stop, commands::login(&home, login)).await,
        // These say themselves what was stopped.
        Command::Send(send) => commands::send(home, send, stop).await,
        Command::Watch(watch) => match commands::watch(home, watch, stop).await {
            // Being stopped is how a watcher ends, whatever it waited for.
            Err(Error::Stopped) if stop.is_cancelled() => Ok(ExitCode::SUCCESS),
            other => other,
        },
        Command::Resume { json, failing } => commands::resume(home, json, failing, stop).await,
        Command::Results { json } => commands::results(home, json, stop).await,
        Command::Open { file, json } => unless(stop, commands::open(home, &file, json)).await,
        Command::Show { what, json } => unless(stop, commands::show(home, &what, json)).await,
        Command::Status { json } => commands::status(home, json, stop).await,
        Command::Cancel { uploads, all } => unless(stop, commands::cancel(home, &uploads, all)).await,
        Command::Journal { command } => unless(stop, commands::journal(&home, command)).await,
        Command::Key { command } => unless(stop, commands::key(&home, command)).await,
    }
}

/// Drops what has nothing to put in order when it is stopped.
async fn unless(
    stop: &CancellationToken,
    work: impl Future<Output = Result<ExitCode, Error>>,
) -> Result<ExitCode, Error> {
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => Err(Error::Stopped),
    }
}

/// The first signal asks for an orderly end, the second one does not wait for it.
async fn stop_on_signal(stop: CancellationToken, mut signals: Signals) {
    for _ in 0..2 {
        if signals.next().await.is_err() {
            return;
        }
        if stop.is_cancelled() {
            std::process::exit(i32::from(EXIT_SIGNAL));
        }
        stop.cancel();
    }
}

/// What asks this program to end. From the moment that it is made no signal ends the program by itself.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => Ok(()),
            _ = self.terminate.recv() => Ok(()),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
