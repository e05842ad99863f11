//! What needs more than one function: the tree as it is, real processes, a real database.

mod by_hand;
mod chaos;
mod choice;
mod demo;
mod engine;
mod faults;
mod harness;
mod hostile;
mod install;
mod plugins;
mod postgres;
mod recovery;
mod released;
mod secrecy;
mod stored;
mod streaming;
mod tidy;
mod watch;
mod way;
