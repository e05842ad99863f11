//! The client against a server of its own making, which can be told to fail and to cheat.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
#[cfg(unix)]
mod beginning;
mod clocks;
mod ending;
mod engines;
mod fake;
mod hostile;
mod joining;
#[cfg(unix)]
mod links;
mod login;
#[cfg(unix)]
mod minding;
mod parameters;
#[cfg(unix)]
mod reading;
mod recovery;
mod resuming;
mod sending;
#[cfg(unix)]
mod several;
#[cfg(unix)]
mod standing;
mod storage;
mod unassigned;
mod versions;
mod watching;
mod world;
