//! The runtime with real components: good ones, hostile ones, and files that are not components.

mod cache;
mod compile;
mod describe;
mod harness;
mod hostile;
mod input;
mod install;
mod outcomes;
mod released;
mod run;
mod wasi;
