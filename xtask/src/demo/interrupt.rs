//! Being interrupted: the first signal asks for an orderly end, the second ends at once.

use std::process;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// That somebody wants this program to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interrupt;

/// From now on SIGINT, SIGTERM and SIGHUP no longer end this program but arrive here.
///
/// # Errors
///
/// When the system refuses.
pub(super) fn listen() -> Result<Receiver<Interrupt>> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot receive signals")?;
    let (tell, interrupts) = channel();
    thread::spawn(move || {
        let mut first = true;
        for signal in signals.forever() {
            if !first {
                process::exit(128 + signal); // its children end with it
            }
            first = false;
            // A demo that listens no longer is ending anyway.
            let _ = tell.send(Interrupt);
        }
    });
    Ok(interrupts)
}
