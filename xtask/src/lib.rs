//! What a developer runs on this repository: `cargo xtask engine build`, `demo`, `install`, `test`, `tidy`.
//!
//! One file a command. `stack` starts the whole product on one machine (server, processor, client) and `postgres` a private
//! database; commands, the end-to-end tests and the benchmarks all start their parts through these two. Only text, files
//! and processes cross into the product: this crate depends on none of its crates (`tidy` checks that, and allows it to
//! the tests alone).
//!
//! ```no_run
//! use xtask::{Binaries, Profile, Stack, StackOptions, Tree, engine};
//!
//! # fn main() -> anyhow::Result<()> {
//! let tree = Tree::locate()?;
//! let binaries = Binaries::find_or_build(&tree, Profile::Dev)?;
//! let engines = engine::find_or_build(&tree, &["size".into()])?;
//! let dir = tempfile::tempdir()?;
//! let mut stack = Stack::start(StackOptions::new(dir.path(), binaries, engines))?;
//! stack.server_mut().kill()?; // as `kill -9`
//! stack.server_mut().start_again()?; // on the same ports
//! let client = stack.client("second")?;
//! client.command().arg("send").arg("README.md").status()?;
//! stack.stop()?;
//! # Ok(()) }
//! ```

mod apt;
pub mod bench;
mod binaries;
pub mod compat;
pub mod demo;
pub mod engine;
pub mod install;
mod people;
pub mod postgres;
mod program;
mod random;
pub mod stack;
pub mod test;
pub mod tidy;
mod tree;
pub mod wait;
mod whole;

pub use binaries::{Binaries, Profile};
pub use postgres::Postgres;
pub use stack::{Client, Process, Stack, StackOptions};
pub use tree::Tree;
