//! What is upgraded: two servers on one database and one storage, behind a load balancer; four processors of two pools; four
//! users who watch a folder each.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

use super::balancer::Balancer;
use super::usage::{self, Usage};
use crate::binaries::Binaries;
use crate::engine::Engine;
use crate::people::Person;
use crate::program;
use crate::stack::{
    Addresses, Client, ORGANISATION, Operator, Place, Process, Processor, ProcessorOptions, Program, Scope, free_port,
    read_log, ready, socket,
};

const SERVERS: usize = 2;
const SECOND_POOL: &str = "second";
/// Processors, by pool.
const PROCESSORS: [&str; 4] = [ORGANISATION, ORGANISATION, SECOND_POOL, SECOND_POOL];
/// Users with their organisations and pools.
const USERS: [(&str, &str, &str); 4] = [
    ("ada", "north", ORGANISATION),
    ("ben", "north", SECOND_POOL),
    ("cat", "south", ORGANISATION),
    ("dan", "south", SECOND_POOL),
];

/// How long the first file of each user may take.
const SEND_LIMIT: Duration = Duration::from_secs(60);

/// One program that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Server(usize),
    Processor(usize),
    Person(usize),
}

impl Part {
    /// All of them, in the order in which an operator upgrades them: who is asked before who asks.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let servers = (0..SERVERS).map(Self::Server);
        let processors = (0..PROCESSORS.len()).map(Self::Processor);
        servers.chain(processors).chain((0..USERS.len()).map(Self::Person))
    }

    /// Its name, for people.
    pub(super) fn name(self) -> String {
        match self {
            Self::Server(number) => format!("server {}", number + 1),
            Self::Processor(number) => format!("processor {}", number + 1),
            Self::Person(number) => format!("client of {}", USERS[number].0),
        }
    }
}

/// Everything that runs.
pub(super) struct Site {
    // In this order: who is dropped first ends first.
    pub(super) people: Vec<Person>,
    processors: Vec<Processor>,
    servers: Vec<Process>,
    _balancer: Balancer,
    storage: Process,
    /// Where the servers listen.
    addresses: Vec<SocketAddr>,
    operator_token: PathBuf,
    dir: PathBuf,
}

impl Site {
    /// Starts everything of `old`, state under `dir`; everybody has sent a file and has its result.
    pub(super) fn start(dir: &Path, old: &Binaries, engines: &[Engine], database_url: &str) -> Result<Self> {
        let (storage, keys) = start_storage(dir, old)?;
        let mut env: Vec<(OsString, OsString)> = vec![("FILEMILL_DATABASE_URL".into(), database_url.into())];
        env.extend([
            ("AWS_ACCESS_KEY_ID".into(), keys.access_key_id.into()),
            ("AWS_SECRET_ACCESS_KEY".into(), keys.secret_access_key.into()),
        ]);
        let place: Vec<OsString> =
            ["--s3-bucket", "filemill", "--s3-endpoint", &storage.1, "--s3-region", "us-east-1"].map(Into::into).into();
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for number in 0..SERVERS {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let mut args: Vec<OsString> = vec!["serve".into(), "--listen".into(), address.to_string().into()];
            args.extend(place.clone());
            let mut server = start(&format!("server-{}", number + 1), old, dir, args, env.clone())?;
            ready(&mut server)?;
            servers.push(server);
            addresses.push(address);
        }
        let balancer = Balancer::start(addresses.clone())?;
        let told = Addresses { listening: balancer.origin(), storage: storage.1 };

        let operator = Operator::new(dir, old, place, env);
        for engine in engines {
            operator.publish(engine)?;
        }
        let mut tokens = Vec::new();
        for (number, pool) in PROCESSORS.into_iter().enumerate() {
            operator.add_pool(pool)?;
            let name = format!("processor-{}", number + 1);
            let token = operator.token(ORGANISATION, &name, Scope::Processor, Some(pool))?;
            tokens.push((name, token, operator.pool_dir(pool)));
        }
        for pool in [ORGANISATION, SECOND_POOL] {
            operator.open_pool(pool)?;
        }
        let mut processors = Vec::new();
        for (name, token, pool) in &tokens {
            let place = Place { dir, name, token, pool, survives: false };
            processors.push(Processor::start(place, old, &told, ProcessorOptions::default())?);
        }
        let operator_token = operator.token(ORGANISATION, "operator", Scope::Operator, None)?;

        let warm = dir.join("warm.txt");
        fs::write(&warm, "so that the pools are announced and the engine is compiled")?;
        let mut people = Vec::new();
        for (name, organisation, pool) in USERS {
            let token = operator.token(organisation, name, Scope::User, None)?;
            let client = Client::new(old, dir.join(name));
            client.log_in(&told.listening, &token, &operator.enrolment_of(pool))?;
            let mut send = client.command();
            send.args(["send", "--engine", "size"]).arg(&warm);
            program::run_within(&mut send, SEND_LIMIT)?;
            people.push(Person::start(name, client, &dir.join("people"))?);
        }
        let (storage, dir) = (storage.0, dir.to_owned());
        Ok(Self { people, processors, servers, _balancer: balancer, storage, addresses, operator_token, dir })
    }

    /// Ends one part as an operator or its user would, and starts it again with the program of `new`.
    pub(super) fn upgrade(&mut self, part: Part, new: &Binaries) -> Result<()> {
        match part {
            Part::Server(number) => {
                self.servers[number].upgrade(&new.server);
                self.start_server_again(number)
            }
            Part::Processor(number) => {
                let processor = &mut self.processors[number];
                processor.stop()?;
                processor.upgrade(&new.processor);
                processor.start_again()
            }
            Part::Person(number) => {
                let client = Client::new(new, self.dir.join(USERS[number].0));
                self.people[number].upgrade(client)
            }
        }
    }

    /// Ends a server as an operator would, and starts it again.
    pub(super) fn start_server_again(&mut self, number: usize) -> Result<()> {
        let server = &mut self.servers[number];
        server.stop()?;
        server.start()?;
        ready(server).map(drop)
    }

    /// An error if a part has ended by itself.
    pub(super) fn expect_running(&mut self) -> Result<()> {
        self.storage.expect_running()?;
        self.servers.iter_mut().try_for_each(Process::expect_running)?;
        self.processors.iter_mut().try_for_each(|processor| processor.expect_running())?;
        self.people.iter_mut().try_for_each(Person::expect_running)
    }

    /// What the servers counted since each was started; nothing of those that count nothing.
    pub(super) fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::new();
        for address in &self.addresses {
            usage::add(&mut sum, usage::ask(*address, &self.operator_token)?.unwrap_or_default());
        }
        Ok(sum)
    }

    /// What the servers' logs say of leases that nobody prolonged, and how many lines are warnings or errors.
    pub(super) fn server_logs(&self) -> Result<(u64, u64)> {
        let mut sum = (0, 0);
        for server in &self.servers {
            let log = server.log();
            let text = fs::read(&log).with_context(|| format!("cannot read `{}`", log.display()))?;
            let (leases, warnings) = read_log(&String::from_utf8_lossy(&text));
            sum = (sum.0 + leases, sum.1 + warnings);
        }
        Ok(sum)
    }

    /// Ends everything in order.
    pub(super) fn stop(mut self) -> Result<()> {
        for processor in &mut self.processors {
            processor.stop()?;
        }
        for server in &mut self.servers {
            server.stop()?;
        }
        self.storage.stop().map(drop)
    }
}

/// The keys to the embedded storage, as they stand in its folder.
#[derive(Deserialize)]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
}

/// A storage that stays while everything else is upgraded: that of a server by itself, which nobody else asks for anything.
fn start_storage(dir: &Path, binaries: &Binaries) -> Result<((Process, String), Keys)> {
    let folder = dir.join("storage");
    let args = vec!["serve".into(), "--embedded".into(), folder.clone().into_os_string()];
    let mut process = start("storage", binaries, dir, args, Vec::new())?;
    let origin = ready(&mut process)?.storage;
    let file = folder.join("secrets.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let keys = serde_json::from_str(&text).with_context(|| format!("`{}` has no keys", file.display()))?;
    if socket(&origin).is_err() {
        bail!("the storage listens at `{origin}`, which is not on this machine");
    }
    Ok(((process, origin), keys))
}

fn start(
    name: &str,
    binaries: &Binaries,
    dir: &Path,
    args: Vec<OsString>,
    mut env: Vec<(OsString, OsString)>,
) -> Result<Process> {
    // What is published here, the operator says.
    env.push(("FILEMILL_SERVER_ENGINES".into(), OsString::new()));
    Process::spawn(Program {
        name: name.into(),
        file: binaries.server.clone(),
        args,
        env,
        logs: dir.join("logs"),
        user: None,
        stop: Signal::TERM,
        survives: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_come_first_and_clients_last() {
        let order: Vec<Part> = Part::all().collect();
        assert_eq!(order.len(), SERVERS + PROCESSORS.len() + USERS.len());
        assert_eq!((order[0], order[SERVERS]), (Part::Server(0), Part::Processor(0)));
        assert_eq!(order.last().map(|part| part.name()), Some("client of dan".to_owned()));
    }
}
