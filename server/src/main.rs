//! `filemill-server`: serves, and makes tokens and releases.

mod cli;

use std::process::ExitCode;
use std::time::Duration;

/// Gives back what was freed. The system's allocator keeps more and more of it in pieces beside thousands of connections that come and
/// go (`docs/decisions.md`).
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For threads that are still at work when everything else has ended.
const SHUTDOWN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: cli::Arguments = match filemill_text::parsed_or_said() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if let Err(error) = cli::log() {
        filemill_text::tell!("error: {error:#}");
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            filemill_text::tell!("error: no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(cli::run(arguments));
    // What blocks a thread is not waited for: whoever stops a server has a limit of their own.
    runtime.shutdown_timeout(SHUTDOWN);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            filemill_text::tell!("error: {}", filemill_text::chain(error.as_ref()));
            if let Some(hint) = cli::hint(&error) {
                filemill_text::tell!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
