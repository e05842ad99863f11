//! What a soak runs on: the whole product with two pools and four users, and beside them perhaps an attacker.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::cgroup::Cgroup;
use super::{Attacker, SoakOptions};
use crate::bench::attacker::{Kind, TokenKind};
use crate::binaries::Binaries;
use crate::engine::{self, Engine};
use crate::people::Person;
use crate::program;
use crate::stack::{
    ORGANISATION, ProcessorOptions, Scope, Stack, StackOptions, ending_with_us, read_log, socket, spawn,
};

/// Users with their organisations and pools: two of each, crossed, so that nobody shares everything with anybody.
const USERS: [(&str, &str, &str); 4] = [
    ("ada", "north", ORGANISATION),
    ("ben", "north", SECOND_POOL),
    ("cat", "south", ORGANISATION),
    ("dan", "south", SECOND_POOL),
];
const SECOND_POOL: &str = "second";

/// The attacker's organisation, and the pool whose processor's token it has.
const EVIL: &str = "evil";

/// What an attacker gets of a core.
const ATTACKER_CORES: f64 = 0.2;

/// Files whose results the attacker has, so that a page of its events is large.
const ATTACKER_FILES: u64 = 1_000;

/// Everything that runs.
pub(super) struct Site {
    // In this order: who is dropped first ends first.
    attacker: Option<Running>,
    pub(super) people: Vec<Person>,
    pub(super) stack: Stack,
}

struct Running {
    child: Child,
    out: PathBuf,
    cgroup: Cgroup,
}

impl Site {
    /// Starts the product in `dir`, and a watcher for each user; everybody has sent a file and has its result.
    pub(super) fn start(
        dir: &Path,
        binaries: &Binaries,
        engines: &[Engine],
        database_url: Option<&str>,
    ) -> Result<Self> {
        let mut stack = Stack::start(StackOptions {
            database_url: database_url.map(str::to_owned),
            processors: Vec::new(),
            ..StackOptions::new(dir.join("stack"), binaries.clone(), engines.to_vec())
        })?;
        for pool in [ORGANISATION, SECOND_POOL] {
            stack.add_pool(pool)?;
            stack.add_processor(ProcessorOptions { pool: Some(pool.to_owned()), ..ProcessorOptions::default() })?;
        }
        let warm = dir.join("warm.txt");
        fs::write(&warm, "so that the pools are announced and the engine is compiled")?;
        let mut people = Vec::new();
        for (name, organisation, pool) in USERS {
            let client = stack.client_of_pool(organisation, name, pool)?;
            let mut send = client.command();
            send.args(["send", "--engine", "size"]).arg(&warm);
            program::output(&mut send)?;
            people.push(Person::start(name, client, &dir.join("people"))?);
        }
        Ok(Self { attacker: None, people, stack })
    }

    /// Starts the attacker, in its control group.
    pub(super) fn attack(&mut self, dir: &Path, options: &SoakOptions, attacker: Attacker, limit_s: u64) -> Result<()> {
        let token = match options.token {
            TokenKind::User => {
                // Only where it is of use: what its organisation was served counts against its next turn.
                let pages = options.only.is_empty() || options.only.contains(&Kind::Pages);
                if attacker == Attacker::Attack && pages {
                    self.equip(dir)?;
                }
                self.stack.token(EVIL, "eve", Scope::User)?
            }
            TokenKind::Processor => {
                self.stack.add_pool(EVIL)?;
                self.stack.processor_token("evil-node", EVIL)?
            }
        };
        let addresses = self.stack.addresses();
        let (api, storage) = (socket(&addresses.listening)?, socket(&addresses.storage)?);
        let cgroup = Cgroup::make("soak", ATTACKER_CORES)?;
        let us = std::env::current_exe().context("cannot find this program")?;
        let mut command = ending_with_us(&us, Signal::KILL);
        command.args(["bench", "soak-attacker", "--api", &api.to_string(), "--storage", &storage.to_string()]);
        command.arg("--token-file").arg(token).args(["--pool", ORGANISATION, "--limit-s", &limit_s.to_string()]);
        command.args(["--token", if options.token == TokenKind::User { "user" } else { "processor" }]);
        if attacker == Attacker::Spin {
            command.arg("--spin");
        }
        for kind in &options.only {
            use clap::ValueEnum as _;
            let value = kind.to_possible_value().context("a kind has a name")?;
            command.args(["--only", value.get_name()]);
        }
        let out = dir.join("attacker.out");
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(dir.join("attacker.log"))?);
        let child = spawn(command).context("cannot start the attacker")?;
        let id = child.id();
        // From here on it is ended whatever happens.
        let running = self.attacker.insert(Running { child, out, cgroup });
        running.cgroup.add(id)
    }

    /// An error if a part has ended by itself.
    pub(super) fn expect_running(&mut self) -> Result<()> {
        self.stack.expect_running()?;
        self.people.iter_mut().try_for_each(Person::expect_running)?;
        if let Some(Running { child, out, .. }) = &mut self.attacker {
            let ended = child.try_wait()?;
            ensure!(
                ended.is_none(),
                "the attacker ended by itself ({ended:?}): see `{}`",
                out.with_extension("log").display()
            );
        }
        Ok(())
    }

    /// Processes whose memory counts, by name: `server`, `processor…`, `client-…`.
    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        let clients = self.people.iter().map(|person| (format!("client-{}", person.name()), person.id()));
        self.stack.processes().into_iter().chain(clients).collect()
    }

    /// What the attacker says that it did so far.
    pub(super) fn attacks(&self) -> Option<Value> {
        let running = self.attacker.as_ref()?;
        let said = fs::read_to_string(&running.out).ok()?;
        let last = said.lines().rev().find(|line| line.ends_with('}'))?;
        let mut attacks: Value = serde_json::from_str(last).ok()?;
        attacks["throttled_periods"] = running.cgroup.throttled_periods().into();
        Some(attacks)
    }

    /// Ends the attacker, if there is one.
    pub(super) fn end_attack(&mut self) {
        self.attacker = None;
    }

    /// What the server's log says of leases that nobody prolonged, and how many lines are warnings or errors.
    pub(super) fn server_log(&mut self) -> Result<(u64, u64)> {
        let log = self.stack.server_mut().log();
        let text = fs::read(&log).with_context(|| format!("cannot read `{}`", log.display()))?;
        Ok(read_log(&String::from_utf8_lossy(&text)))
    }

    /// Lets the attacker's user have results, so that its pages of events are as large as a user can make them.
    fn equip(&self, dir: &Path) -> Result<()> {
        filemill_text::tell!("soak: the attacker collects {ATTACKER_FILES} results");
        let files = dir.join("evil-files");
        crate::bench::inputs::small_files(&files, ATTACKER_FILES)?;
        let client = self.stack.client_of_pool(EVIL, "eve", ORGANISATION)?;
        let mut send = client.command();
        send.args(["send", "--json", "--engine", ATTACKER_ENGINE]).arg(&files);
        program::output(&mut send)?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reports that are as long as those of any engine here.
const ATTACKER_ENGINE: &str = "digest";

/// The engines of a soak.
pub(super) fn engines(tree: &crate::tree::Tree) -> Result<Vec<Engine>> {
    engine::find_or_build(tree, &["size".into(), ATTACKER_ENGINE.into()])
}
