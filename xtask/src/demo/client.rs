//! The client's part of the demo: started, watched, and ended in order when something else ends first.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::interrupt::Interrupt;
use crate::stack::{Stack, spawn};
use crate::wait;

/// How often it is checked, beside waiting for the client, that server and processor are alive.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// How long the client may take to end when told to.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Runs a call of the client to its end. Ends it when this program is interrupted, or a part it needs ended: it would try for ever.
///
/// # Errors
///
/// When it does not start, and in those two cases.
pub(super) fn run(mut call: Command, stack: &mut Stack, interrupts: &Receiver<Interrupt>) -> Result<ExitStatus> {
    call.stdin(Stdio::null()).process_group(0); // Ctrl-C is for this program, which tells the client
    let mut client = spawn(call).context("cannot start the client")?;
    loop {
        if let Some(status) = client.try_wait().context("cannot wait for the client")? {
            return Ok(status);
        }
        if let Err(error) = stack.expect_running() {
            end(&mut client)?;
            return Err(error);
        }
        match interrupts.recv_timeout(CHECK_INTERVAL) {
            Ok(Interrupt) => {
                end(&mut client)?;
                bail!("interrupted; what was sent so far is journalled, nothing is lost");
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("signals can no longer be received"),
        }
    }
}

/// Ends the client in order, or after a limit by force.
fn end(client: &mut Child) -> Result<()> {
    if let Some(id) = i32::try_from(client.id()).ok().and_then(Pid::from_raw) {
        match kill_process(id, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(std::io::Error::from(error)).context("cannot end the client"),
        }
    }
    if wait::until("the client to end", STOP_LIMIT, || Ok(client.try_wait()?)).is_err() {
        client.kill().and_then(|()| client.wait()).context("cannot kill the client")?;
    }
    Ok(())
}
