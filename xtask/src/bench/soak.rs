//! `cargo xtask bench soak`: users who drop small files all the time, and perhaps an attacker; everything is counted.

mod cgroup;
mod memory;
mod site;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::attacker::{Kind, TokenKind};
use super::processor::Machine;
use super::record::Record;
use crate::binaries::{Binaries, Profile};
use crate::engine::Engine;
use crate::people::{self, Counts};
use crate::postgres::Postgres;
use crate::tree::Tree;
use memory::Memory;
use site::Site;

/// How to soak.
#[derive(Debug, Args)]
pub struct SoakOptions {
    /// How long files are dropped
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// Files a second, of all users together
    #[arg(long, default_value_t = 300.0, value_parser = rate)]
    rate: f64,
    /// Who is beside the users; with `spin,attack` one soak after the other, and what the attack costs the users
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none")]
    attacker: Vec<Attacker>,
    /// Whose token the attacker has
    #[arg(long, value_enum, default_value = "user")]
    token: TokenKind,
    /// Only some of the attack; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// The database
    #[arg(long, value_enum, default_value = "sqlite")]
    database: DatabaseKind,
    /// Run the dev profile
    #[arg(long)]
    dev: bool,
    /// Keep the raw figures apart from those that are published
    #[arg(long)]
    quick: bool,
}

/// Who is beside the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attacker {
    /// Nobody
    None,
    /// A process that only uses the processor time that an attacker is allowed
    Spin,
    /// An attacker with one token
    Attack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DatabaseKind {
    Sqlite,
    Postgresql,
}

/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two lines for a person.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long files may still come back when no more are dropped and nobody attacks.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
/// What the 99th percentile beside an attacker may be of that beside one who merely spins.
const MOST_RATIO: f64 = 3.0;
/// What the server may have resident.
const MOST_SERVER_MIB: u64 = 200;

pub(super) fn run(options: &SoakOptions) -> Result<()> {
    let tree = Tree::locate()?;
    let (profile, profile_name) = if options.dev { (Profile::Dev, "dev") } else { (Profile::Release, "release") };
    let engines = site::engines(&tree)?;
    let binaries = Binaries::find_or_build(&tree, profile)?;
    let record = Record::begin(&tree, if options.quick { "soak-quick" } else { "soak" }, profile_name)?;
    let mut p99 = Vec::new();
    let mut faults = Vec::new();
    for attacker in &options.attacker {
        let soaked =
            Soak { options, attacker: *attacker, record: &record, binaries: &binaries, engines: &engines }.run()?;
        faults.extend(soaked.faults.iter().map(|fault| format!("{}: {fault}", name(*attacker))));
        p99.push((*attacker, soaked.p99_s));
    }
    let of = |wanted| p99.iter().find(|(attacker, _)| *attacker == wanted).and_then(|(_, p99)| *p99);
    if let (Some(spin), Some(attack)) = (of(Attacker::Spin), of(Attacker::Attack)) {
        let ratio = attack / spin;
        record.add(&json!({ "p99_attack_s": attack, "p99_spin_s": spin, "ratio": (ratio * 100.0).round() / 100.0 }))?;
        if ratio > MOST_RATIO {
            faults.push(format!(
                "the 99th percentile is {ratio:.1} times as long beside an attacker, at most {MOST_RATIO}"
            ));
        }
    }
    record.add(&json!({ "faults": faults }))?;
    ensure!(faults.is_empty(), "the soak found faults:\n{}", faults.join("\n"));
    Ok(())
}

fn name(attacker: Attacker) -> &'static str {
    match attacker {
        Attacker::None => "none",
        Attacker::Spin => "spin",
        Attacker::Attack => "attack",
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=100_000.0).contains(&rate) { Ok(rate) } else { Err("not between 0.1 and 100,000".to_owned()) }
}

/// One soak.
struct Soak<'a> {
    options: &'a SoakOptions,
    attacker: Attacker,
    record: &'a Record,
    binaries: &'a Binaries,
    engines: &'a [Engine],
}

/// What came of it.
struct Soaked {
    p99_s: Option<f64>,
    /// What is not as promised.
    faults: Vec<String>,
}

impl Soak<'_> {
    fn run(&self) -> Result<Soaked> {
        let dir =
            tempfile::Builder::new().prefix("filemill-soak-").tempdir().context("cannot make a temporary folder")?;
        let postgres = match self.options.database {
            DatabaseKind::Sqlite => None,
            DatabaseKind::Postgresql => Some(Postgres::start()?),
        };
        let database = postgres.as_ref().map(Postgres::database).transpose()?;
        let url = database.as_ref().map(crate::postgres::Database::url);
        let mut site = Site::start(dir.path(), self.binaries, self.engines, url)?;
        let soaked = self.soak(dir.path(), &mut site);
        if soaked.is_err() && std::env::var_os("FILEMILL_TEST_KEEP").is_some() {
            filemill_text::tell!("soak: kept `{}`", dir.keep().display());
        }
        let soaked = soaked?;
        site.stack.stop()?;
        Ok(soaked)
    }

    fn soak(&self, dir: &Path, site: &mut Site) -> Result<Soaked> {
        let time = Duration::from_secs(self.options.minutes * 60);
        if self.attacker != Attacker::None {
            site.attack(dir, self.options, self.attacker, (time + 2 * DRAIN_LIMIT).as_secs())?;
        }
        let begin = Instant::now();
        let per_s = self.options.rate / site.people.len() as f64;
        for (number, person) in site.people.iter_mut().enumerate() {
            person.begin(number as u64 + 1, per_s)?;
        }
        let mut memory = Memory::default();
        self.watch(site, &mut memory, begin, time)?;
        for person in &mut site.people {
            person.end_dropping()?;
        }
        let end = Instant::now();
        let (p50, p99) = people::waits(&site.people, begin, end);
        let attacks = site.attacks();
        let dropped = people::counts(&site.people).dropped;
        site.end_attack();
        self.drain(site, &mut memory)?;
        for person in &mut site.people {
            person.stop()?;
        }
        let counts = people::counts(&site.people);
        let (lost, twice) = people::missing(&site.people)?;
        let (leases_ended, server_warnings) = site.server_log()?;
        let server_peak_mib = site.stack.server_mut().peak_resident_bytes()? >> 20;
        let faults = faults(&counts, &lost, twice, leases_ended, server_peak_mib);
        self.record.add(&json!({
            "attacker": name(self.attacker),
            "token": format!("{:?}", self.options.token).to_lowercase(),
            "only": self.options.only.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect::<Vec<_>>(),
            "database": format!("{:?}", self.options.database).to_lowercase(),
            "minutes": self.options.minutes,
            "files_per_s": (dropped as f64 / end.duration_since(begin).as_secs_f64()).round(),
            "p50_s": p50, "p99_s": p99,
            "counts": counts,
            "lost": lost, "twice_in_journal": twice,
            "leases_ended_by_themselves": leases_ended, "server_warnings": server_warnings,
            "most_resident_mib": memory.most_mib(), "server_peak_mib": server_peak_mib,
            "attacks": attacks,
            "examples": people::examples(&site.people),
            "faults": faults,
        }))?;
        Ok(Soaked { p99_s: p99, faults })
    }

    /// Until the time is over: looks every second, tells every ten, records every minute.
    fn watch(&self, site: &mut Site, memory: &mut Memory, begin: Instant, time: Duration) -> Result<()> {
        let (mut told, mut minute) = (begin, begin);
        let machine_now = |site: &Site| Machine::now(site.processes().into_iter().map(|(_, id)| id));
        let mut machine = machine_now(site)?;
        while begin.elapsed() < time {
            thread::sleep(LOOK_EVERY);
            memory.look(&site.processes());
            site.expect_running()?;
            let now = Instant::now();
            if now.duration_since(told) >= TELL_EVERY {
                self.tell(site, memory, begin, told, now);
                told = now;
            }
            if now.duration_since(minute) >= Duration::from_secs(60) {
                let (p50, p99) = people::waits(&site.people, minute, now);
                let counts = people::counts(&site.people);
                let before = std::mem::replace(&mut machine, machine_now(site)?);
                self.record.add(&json!({
                    "attacker": name(self.attacker), "minute": now.duration_since(begin).as_secs() / 60,
                    "p50_s": p50, "p99_s": p99, "dropped": counts.dropped, "results": counts.results,
                    "server_mib": memory.now_mib("server"), "processors_mib": memory.now_mib("processor"),
                    "clients_mib": memory.now_mib("client"),
                    "processor_time": machine.since(&before),
                }))?;
                minute = now;
            }
        }
        Ok(())
    }

    fn tell(&self, site: &Site, memory: &Memory, begin: Instant, from: Instant, now: Instant) {
        let (p50, p99) = people::waits(&site.people, from, now);
        let seconds = |wait: Option<f64>| wait.map_or("-".to_owned(), |wait| format!("{wait:.2} s"));
        let elapsed = now.duration_since(begin).as_secs();
        let Counts { dropped, results, unsuccessful, complaints, .. } = people::counts(&site.people);
        let attacks = site.attacks().map(|attacks| format!("; attacker {attacks}")).unwrap_or_default();
        filemill_text::tell!(
            "soak {}: {}:{:02} of {} min: {dropped} dropped, {results} results, {} unsuccessful, {complaints} complaints; wait p50 {}, p99 {}; \
             server {} MiB, processors {} MiB, clients {} MiB{attacks}",
            name(self.attacker),
            elapsed / 60,
            elapsed % 60,
            self.options.minutes,
            unsuccessful.values().sum::<u64>(),
            seconds(p50),
            seconds(p99),
            memory.now_mib("server"),
            memory.now_mib("processor"),
            memory.now_mib("client"),
        );
    }

    /// Waits until every file has its result.
    fn drain(&self, site: &mut Site, memory: &mut Memory) -> Result<()> {
        let begin = Instant::now();
        let mut told = begin;
        loop {
            let open = people::open(&site.people, None);
            if open == 0 || begin.elapsed() > DRAIN_LIMIT {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
            memory.look(&site.processes());
            site.expect_running()?;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                filemill_text::tell!("soak {}: {open} files are still to come back", name(self.attacker));
            }
        }
    }
}

/// What is not as promised.
fn faults(counts: &Counts, lost: &[String], twice: u64, leases_ended: u64, server_peak_mib: u64) -> Vec<String> {
    let mut faults = people::faults(counts, lost, twice, DRAIN_LIMIT);
    if leases_ended > 0 {
        faults.push(format!("{leases_ended} leases ended by themselves, though every processor was there"));
    }
    if server_peak_mib > MOST_SERVER_MIB {
        faults.push(format!("the server had {server_peak_mib} MiB resident, at most {MOST_SERVER_MIB}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_promises_is_looked_at_beside_what_users_are_promised() {
        let counts = Counts { dropped: 3, results: 2, ..Counts::default() };
        assert_eq!(faults(&counts, &[], 0, 0, MOST_SERVER_MIB).len(), 1);
        assert_eq!(faults(&counts, &[], 0, 2, MOST_SERVER_MIB + 1).len(), 3);
    }

    #[test]
    fn a_rate_is_a_number_that_can_be_kept() {
        assert_eq!(rate("300"), Ok(300.0));
        for wrong in ["0", "-1", "nan", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
