//! `cargo xtask`: see `cargo xtask --help`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{bench, compat, demo, engine, install, test, tidy};

/// What a developer runs on this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything, start it on this machine, and analyse files through it
    Demo(demo::DemoOptions),
    /// Build for a release, and put programs, engines and systemd units where a shell and systemd find them
    Install(install::InstallOptions),
    /// Remove what `install` put there; keys, journals and databases stay
    Uninstall(install::InstallOptions),
    /// Make, build, check, run and test engines
    #[command(subcommand)]
    Engine(engine::EngineCommand),
    /// Run every test, with everything it needs built and started first
    Test(test::TestOptions),
    /// Run the end-to-end tests with programs of an earlier revision among this checkout's
    Compat(compat::CompatOptions),
    /// Measure, and keep the raw figures
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Check the tree: frozen contracts, dependency direction, order in files, links, lints
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            filemill_text::tell_lines(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo(options) => demo::run(&options),
        Command::Install(options) => install::install(&options).map(|()| ExitCode::SUCCESS),
        Command::Uninstall(options) => install::uninstall(&options).map(|()| ExitCode::SUCCESS),
        Command::Engine(command) => engine::run(&command),
        Command::Test(options) => test::run(&options),
        Command::Compat(options) => compat::run(&options),
        Command::Bench(command) => bench::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run(),
    }
}
