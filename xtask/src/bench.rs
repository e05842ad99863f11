//! `cargo xtask bench …`: measurements, with their raw figures under `docs/bench/`.

mod attacker;
mod compare;
mod idle;
mod inputs;
mod processor;
mod queue;
mod record;
mod soak;
mod way;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use record::Record;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Two builds' programs in turn over the same scenarios, and their paired ratios
    Compare(compare::CompareOptions),
    /// What a watcher of many quiet files takes of the processor, and how soon it finds a new one
    Idle(idle::IdleOptions),
    /// Jobs leased and completed through the HTTP API, on SQLite and PostgreSQL
    Queue(queue::QueueOptions),
    /// Users who drop small files for half an hour, perhaps with an attacker beside them; every file is accounted for
    Soak(soak::SoakOptions),
    /// What a soak runs beside its users
    #[command(hide = true)]
    SoakAttacker(attacker::AttackerOptions),
    /// From a dropped file to its opened result, next to s5cmd and rclone merely uploading
    Way(way::WayOptions),
}

/// Runs the command.
///
/// # Errors
///
/// When something does not build or start, or a measured program fails.
pub fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Compare(options) => compare::run(options),
        BenchCommand::Idle(options) => idle::run(options),
        BenchCommand::Queue(options) => queue::run(options),
        BenchCommand::Soak(options) => soak::run(options),
        BenchCommand::SoakAttacker(options) => attacker::run(options),
        BenchCommand::Way(options) => way::run(options),
    }
}
