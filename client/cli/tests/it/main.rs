//! Whole commands, as far as they need no server: what is printed, where, and with which exit code.

mod command;
mod offline;
