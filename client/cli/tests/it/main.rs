//! Whole commands, as far as they need no server: what is printed, where, and with which exit code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod offline;
