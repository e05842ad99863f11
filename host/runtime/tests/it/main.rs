//! The runtime with real components: good ones, hostile ones, and ones that are none.

mod cache;
mod compile;
mod describe;
mod harness;
mod hostile;
mod input;
mod install;
mod released;
mod run;
mod wasi;
