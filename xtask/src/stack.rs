//! The whole product on one machine: server with its embedded storage, processor, client.
//!
//! Everything lies under one folder `DIR`:
//!
//! | where | what |
//! | --- | --- |
//! | `server/` | database (unless there is a database URL) and objects; `server.json` says where it listens |
//! | `pool/` | the processors' keys, and `enrolment.json` for clients; of a further pool `pool-NAME/` |
//! | `processor/` | compiled engines |
//! | `client/` | the client's home (`FILEMILL_HOME`): journal and identity |
//! | `tokens/` | bearer tokens, one file each |
//! | `logs/` | standard error of every process (`NAME.log`), standard output of its last start (`NAME.out`) |
//!
//! The folder may be used again: keys and journals stay, tokens and addresses are new.

mod client;
mod log;
mod nodes;
mod operator;
mod ports;
mod process;
mod spawn;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::binaries::Binaries;
use crate::engine::Engine;

pub use client::Client;
pub use nodes::{Addresses, Processor, ProcessorOptions, Server};
pub use process::Process;

pub(crate) use log::read_log;
pub(crate) use nodes::{Place, ready};
pub(crate) use operator::Operator;
pub(crate) use ports::{free_port, socket};
pub(crate) use process::Program;
pub(crate) use spawn::{ending_with_us, spawn};

/// The organisation that everybody of a stack belongs to, unless asked for otherwise.
pub const ORGANISATION: &str = "demo";

/// What to start.
#[derive(Debug)]
pub struct StackOptions {
    /// The folder for all state and logs. Made when missing.
    pub dir: PathBuf,
    /// The programs.
    pub binaries: Binaries,
    /// The engines to publish.
    pub engines: Vec<Engine>,
    /// `postgres://…`; none: SQLite under the folder.
    pub database_url: Option<String>,
    /// Added to the server's environment.
    pub server_env: Vec<(OsString, OsString)>,
    /// The processors to start, one for each.
    pub processors: Vec<ProcessorOptions>,
    /// Whether the processes stay when this program ends.
    pub survives: bool,
}

impl StackOptions {
    /// A server on SQLite and one processor, state under `dir`.
    pub fn new(dir: impl Into<PathBuf>, binaries: Binaries, engines: Vec<Engine>) -> Self {
        Self {
            dir: dir.into(),
            binaries,
            engines,
            database_url: None,
            server_env: Vec::new(),
            processors: vec![ProcessorOptions::default()],
            survives: false,
        }
    }
}

/// Who a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Sends files and reads results.
    User,
    /// Leases jobs.
    Processor,
    /// Runs the installation.
    Operator,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Processor => "processor",
            Self::Operator => "operator",
        }
    }
}

/// The product, running. Its processes are killed when this is dropped, unless they are to survive.
#[derive(Debug)]
pub struct Stack {
    dir: PathBuf,
    binaries: Binaries,
    operator: Operator,
    survives: bool,
    // In this order: a processor that is dropped after its server would only complain in its log.
    processors: Vec<Processor>,
    server: Server,
    route: Option<Addresses>,
}

/// What `stack.json` in the folder says of a running stack, for people and for the next start.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    listening: String,
    storage: String,
    processes: Vec<(String, u32)>,
}

impl Stack {
    /// Starts the server and waits until it is ready; makes tokens and the pool; publishes the engines; starts the processors.
    ///
    /// # Errors
    ///
    /// When a stack runs in that folder already, or a part does not start; the error shows the end of its log.
    pub fn start(options: StackOptions) -> Result<Self> {
        let StackOptions { dir, binaries, engines, database_url, server_env, processors, survives } = options;
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        let dir = fs::canonicalize(&dir).with_context(|| format!("cannot find `{}`", dir.display()))?;
        refuse_second(&dir)?;
        let (place, env) = nodes::state(&dir, database_url.as_deref());
        let operator = Operator::new(&dir, &binaries, place, env);
        let server = Server::start(&dir, &binaries, database_url.as_deref(), server_env, survives)?;
        let mut stack = Self { dir, binaries, operator, survives, processors: Vec::new(), server, route: None };
        stack.add_pool(ORGANISATION)?;
        for engine in &engines {
            stack.publish(engine)?;
        }
        for processor in processors {
            stack.add_processor(processor)?;
        }
        stack.write_record()?;
        Ok(stack)
    }

    /// The folder with all state, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the server and its storage listen.
    pub fn addresses(&self) -> &Addresses {
        self.server.addresses()
    }

    /// From now on tells clients and processors these addresses instead of the server's own: those of proxies that a test
    /// puts between the parts.
    pub fn route(&mut self, addresses: Addresses) {
        self.route = Some(addresses);
    }

    /// The server, to stop, kill, freeze and start again.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// The processors, in the order in which they were added.
    pub fn processors_mut(&mut self) -> &mut [Processor] {
        &mut self.processors
    }

    /// Makes a pool's keys, unless an earlier run made them: clients have pinned those. The default pool is there from the start.
    ///
    /// # Errors
    ///
    /// When the processor's program refuses.
    pub fn add_pool(&self, pool: &str) -> Result<()> {
        self.operator.add_pool(pool)
    }

    /// Starts one more processor, of the default pool unless its options name another, and returns its index.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn add_processor(&mut self, options: ProcessorOptions) -> Result<usize> {
        let index = self.processors.len();
        let name = if index == 0 { "processor".to_owned() } else { format!("processor-{}", index + 1) };
        let pool = options.pool.as_deref().unwrap_or(ORGANISATION);
        let token = self.processor_token(&name, pool)?;
        let pool = self.operator.pool_dir(pool);
        let place = nodes::Place { dir: &self.dir, name: &name, token: &token, pool: &pool, survives: self.survives };
        let processor = Processor::start(place, &self.binaries, self.told(), options)?;
        self.processors.push(processor);
        Ok(index)
    }

    /// A client of the default organisation, logged in, with a home of its own: `DIR/NAME`. The demo's is called `client`.
    ///
    /// # Errors
    ///
    /// When it cannot log in.
    pub fn client(&self, name: &str) -> Result<Client> {
        self.client_of(ORGANISATION, name)
    }

    /// As [`Self::client`], of the named organisation.
    ///
    /// # Errors
    ///
    /// When it cannot log in.
    pub fn client_of(&self, organisation: &str, name: &str) -> Result<Client> {
        self.client_of_pool(organisation, name, ORGANISATION)
    }

    /// As [`Self::client_of`], who sends to the named pool.
    ///
    /// # Errors
    ///
    /// When it cannot log in.
    pub fn client_of_pool(&self, organisation: &str, name: &str, pool: &str) -> Result<Client> {
        let token = self.token(organisation, name, Scope::User)?;
        let client = Client::new(&self.binaries, self.dir.join(name));
        client.log_in(&self.told().listening, &token, &self.enrolment_of(pool))?;
        Ok(client)
    }

    /// Makes a token, and returns the file it is in, which only this user can read. A processor's is for the default pool.
    ///
    /// # Errors
    ///
    /// When the server's program refuses.
    pub fn token(&self, organisation: &str, user: &str, scope: Scope) -> Result<PathBuf> {
        let pool = (scope == Scope::Processor).then_some(ORGANISATION);
        self.operator.token(organisation, user, scope, pool)
    }

    /// Makes a token for a processor of the named pool.
    ///
    /// # Errors
    ///
    /// As [`Self::token`].
    pub fn processor_token(&self, name: &str, pool: &str) -> Result<PathBuf> {
        self.operator.token(ORGANISATION, name, Scope::Processor, Some(pool))
    }

    /// Publishes a release of an engine.
    ///
    /// # Errors
    ///
    /// When the server's program refuses.
    pub fn publish(&self, engine: &Engine) -> Result<()> {
        self.operator.publish(engine)
    }

    /// What clients need to know of the default pool: the enrolment file.
    pub fn enrolment(&self) -> PathBuf {
        self.enrolment_of(ORGANISATION)
    }

    /// The enrolment file of the named pool.
    pub fn enrolment_of(&self, pool: &str) -> PathBuf {
        self.operator.enrolment_of(pool)
    }

    /// An error if the server or a processor has ended by itself; it shows the end of that one's log.
    ///
    /// # Errors
    ///
    /// That.
    pub fn expect_running(&mut self) -> Result<()> {
        self.server.expect_running()?;
        self.processors.iter_mut().try_for_each(|processor| processor.expect_running())
    }

    /// Ends everything as an operator would, processors first.
    ///
    /// # Errors
    ///
    /// When one does not end within its limit; it was killed then, and so are the others.
    pub fn stop(mut self) -> Result<()> {
        for processor in &mut self.processors {
            if processor.id().is_ok() {
                processor.stop()?;
            }
        }
        if self.server.id().is_ok() {
            self.server.stop()?;
        }
        let record = self.dir.join(RECORD);
        fs::remove_file(&record).with_context(|| format!("cannot remove `{}`", record.display()))
    }

    /// The ids of all running processes, with their names.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let processes = self.processors.iter().map(|processor| &**processor).chain([&*self.server]);
        processes.filter_map(|process| Some((process.name().to_owned(), process.id().ok()?))).collect()
    }

    /// What clients and processors are told of where the server is.
    fn told(&self) -> &Addresses {
        self.route.as_ref().unwrap_or(self.server.addresses())
    }

    fn write_record(&self) -> Result<()> {
        let Addresses { listening, storage } = self.addresses().clone();
        let record = Record { listening, storage, processes: self.processes() };
        let file = self.dir.join(RECORD);
        let text = serde_json::to_string_pretty(&record)?;
        fs::write(&file, text + "\n").with_context(|| format!("cannot write `{}`", file.display()))
    }
}

/// The file that says what runs in a folder.
const RECORD: &str = "stack.json";

/// Refuses a folder in which a stack still runs: two servers on one SQLite file would each lease the same jobs.
fn refuse_second(dir: &Path) -> Result<()> {
    let file = dir.join(RECORD);
    let Ok(text) = fs::read_to_string(&file) else {
        return Ok(());
    };
    let record: Record = serde_json::from_str(&text)
        .with_context(|| format!("`{}` is damaged\nhint: remove it if nothing runs there", file.display()))?;
    let alive = |id: u32| {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        name.starts_with("filemill")
    };
    let ids: Vec<String> = record.processes.iter().filter(|(_, id)| alive(*id)).map(|(_, id)| id.to_string()).collect();
    if !ids.is_empty() {
        bail!("a stack already runs in `{}`\nhint: end it with `kill {}`", dir.display(), ids.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_again_once_its_processes_are_gone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        refuse_second(dir.path()).expect("nothing there");
        let record = |id: u32| format!(r#"{{"listening":"","storage":"","processes":[["server",{id}]]}}"#);
        fs::write(dir.path().join(RECORD), record(u32::MAX)).expect("written");
        refuse_second(dir.path()).expect("that process is gone");
        fs::write(dir.path().join(RECORD), "{").expect("written");
        assert!(refuse_second(dir.path()).is_err());
    }
}
