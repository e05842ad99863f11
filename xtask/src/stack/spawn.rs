//! Starting children that do not outlive this program, even when it is killed.
//!
//! Linux can send a process a signal when its parent ends. It means the parent's *thread*, so all children are started from
//! one thread that stays until the program ends; and `setpriv` (part of util-linux) asks for it, since between fork and exec
//! only unsafe code could. Where there is no `setpriv` a killed `xtask` leaves its children behind.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::Signal;

use crate::program;

type Request = (Command, Sender<io::Result<Child>>);

/// A command that runs `file` and is sent `signal` when this program ends before it.
pub(crate) fn ending_with_us(file: &Path, signal: Signal) -> Command {
    let Some(setpriv) = program::find("setpriv") else {
        return Command::new(file);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", if signal == Signal::INT { "INT" } else { "KILL" }, "--"]).arg(file);
    command
}

/// Starts `command` from the thread that stays.
///
/// # Errors
///
/// As [`Command::spawn`].
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static REQUESTS: OnceLock<Sender<Request>> = OnceLock::new();
    let requests = REQUESTS.get_or_init(|| {
        let (requests, incoming) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in incoming {
                // Whoever asked waits for the answer below.
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, child) = channel();
    let gone = || io::Error::other("the thread that starts programs has ended");
    requests.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let started = thread::spawn(|| {
            let mut command = ending_with_us(Path::new("/bin/sh"), Signal::TERM);
            command.args(["-c", "read line; exit 4"]).stdin(std::process::Stdio::piped());
            spawn(command)
        });
        let mut child = started.join().expect("no panic").expect("started");
        assert!(child.try_wait().expect("can ask").is_none(), "it was killed with the thread");
        drop(child.stdin.take());
        assert_eq!(child.wait().expect("ended").code(), Some(4));
    }
}
