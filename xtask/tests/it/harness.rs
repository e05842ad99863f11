//! The stage of the end-to-end tests: real processes, and what a test may put between them.
//!
//! ```ignore
//! let mut stage = Stage::new(Backend::Sqlite)?;
//! let between = stage.put_between()?; // optional: proxies that slow, fail, lie
//! stage.processor(ProcessorOptions::default())?;
//! let ada = stage.person("ada")?;
//! let report = ada.send(&[folder.path()])?;
//! stage.end()?;
//! ```
//!
//! A stage that is dropped before [`Stage::end`] belongs to a test that failed: it shows the end of every log, and keeps its
//! folder if `FILEMILL_TEST_KEEP` is set.

mod api_proxy;
mod asker;
mod backend;
mod files;
mod person;
mod program;
mod proxy;
mod recorded;
mod storage_proxy;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use xtask::engine::{self, Engine};
use xtask::stack::{Addresses, ProcessorOptions, Scope};
use xtask::{Binaries, Client, Profile, Stack, StackOptions, Tree};

pub(crate) use api_proxy::{ApiProxy, Call};
pub(crate) use asker::Asker;
pub(crate) use backend::{Backend, on_both};
pub(crate) use files::{Files, incompressible};
pub(crate) use person::{Line, Person, Running, Said};
pub(crate) use program::{Ran, xtask};
pub(crate) use proxy::Proxy;
pub(crate) use recorded::Recorded;
pub(crate) use storage_proxy::{Asked, Deed, Object, StorageProxy};

/// How long anything on a stage may take. Generous: the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The newest format of what is sealed on a stage: among programs of an earlier revision `cargo xtask compat` says which that is.
pub(crate) fn newest_format() -> String {
    env::var("FILEMILL_TEST_FORMAT").unwrap_or_else(|_| "2".to_owned())
}

/// The lease of a stage, so short that a test can outlast it, so long that a busy machine does not.
pub(crate) const LEASE: Duration = Duration::from_secs(4);

/// Lines of each log that a failed test shows.
const TAIL_LINES: usize = 40;

/// Server and processors on a database of their own, in a folder of their own.
pub(crate) struct Stage {
    // None once it has ended.
    stack: Option<Stack>,
    database: backend::Database,
    binaries: Binaries,
    engines: Vec<Engine>,
    dir: Option<TempDir>,
}

/// Proxies between the parts: clients and processors that are started after them know nothing else.
pub(crate) struct Between {
    pub(crate) api: ApiProxy,
    pub(crate) storage: StorageProxy,
}

impl Stage {
    /// A server with the engine `size`, and no processor yet.
    pub(crate) fn new(backend: Backend) -> Result<Self> {
        let tree = Tree::locate()?;
        let binaries = Binaries::find_or_build(&tree, Profile::Dev)?;
        let engines = engine::find_or_build(&tree, &["size".into()])?;
        let database = backend.database()?;
        let dir = tempfile::Builder::new().prefix("filemill-e2e-").tempdir()?;
        let stack = Stack::start(StackOptions {
            database_url: database.url(),
            server_env: vec![
                ("FILEMILL_LEASE_SECONDS".into(), LEASE.as_secs().to_string().into()),
                ("FILEMILL_LOG".into(), "info".into()),
            ],
            processors: Vec::new(),
            ..StackOptions::new(dir.path().join("stack"), binaries.clone(), engines.clone())
        })?;
        Ok(Self { stack: Some(stack), database, binaries, engines, dir: Some(dir) })
    }

    /// As [`Self::new`], with one processor of default settings: for tests in which nothing goes wrong.
    pub(crate) fn complete(backend: Backend) -> Result<Self> {
        let mut stage = Self::new(backend)?;
        stage.processor(ProcessorOptions::default())?;
        Ok(stage)
    }

    pub(crate) fn stack(&mut self) -> &mut Stack {
        self.stack.as_mut().expect("a stage that has not ended")
    }

    /// The engine that is published.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engines[0]
    }

    /// Where the database is, if it is not under the server's folder.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.url()
    }

    /// A folder of the test's own, beside the stack's.
    pub(crate) fn folder(&self, name: &str) -> Result<Files> {
        let dir = self.dir.as_ref().context("the stage has ended")?;
        Files::new(dir.path().join(name))
    }

    /// Puts proxies between the parts.
    pub(crate) fn put_between(&mut self) -> Result<Between> {
        let Addresses { listening, storage } = self.stack().addresses().clone();
        let before_storage = StorageProxy::start(&storage)?;
        let api = ApiProxy::start(&listening, (&storage, &before_storage.origin()))?;
        self.stack().route(Addresses { listening: api.origin(), storage: before_storage.origin() });
        Ok(Between { api, storage: before_storage })
    }

    /// Starts a processor that records its events, and waits until the pool is announced.
    pub(crate) fn processor(&mut self, mut options: ProcessorOptions) -> Result<Recorded> {
        Recorded::ask(&mut options);
        let index = self.stack().add_processor(options)?;
        let recorded = Recorded::of(&self.stack().processors_mut()[index]);
        recorded.until("pool published", |_| true)?;
        Ok(recorded)
    }

    /// As [`Self::processor`], but it leaves when it has announced the pool: uploads then wait for it to
    /// [return](Self::return_processors).
    pub(crate) fn absent_processor(&mut self) -> Result<Recorded> {
        let recorded = self.processor(ProcessorOptions::default())?;
        let processors = self.stack().processors_mut();
        processors.last_mut().context("it was started")?.stop()?;
        Ok(recorded)
    }

    /// Starts every processor again that left.
    pub(crate) fn return_processors(&mut self) -> Result<()> {
        for processor in self.stack().processors_mut() {
            if processor.id().is_err() {
                processor.start_again()?;
            }
        }
        Ok(())
    }

    /// A user with a home of their own.
    pub(crate) fn person(&mut self, name: &str) -> Result<Person> {
        let client = self.stack().client(name)?;
        let dir = self.stack().dir();
        let token = dir.join(format!("tokens/{}-{name}-user.token", xtask::stack::ORGANISATION));
        let server = self.stack().addresses().listening.clone();
        Person::new(client, Asker::new(server, &token)?)
    }

    /// As [`Self::person`], who has pinned another pool and knows the server by another address.
    pub(crate) fn person_of_pool(&mut self, name: &str, server: &str, enrolment: &Path) -> Result<Person> {
        let token = self.stack().token(xtask::stack::ORGANISATION, name, Scope::User)?;
        let client = self.client(name);
        client.log_in(server, &token, enrolment)?;
        let server = self.stack().addresses().listening.clone();
        Person::new(client, Asker::new(server, &token)?)
    }

    /// A client that is not logged in.
    pub(crate) fn client(&mut self, name: &str) -> Client {
        let home = self.stack().dir().join(name);
        Client::new(&self.binaries, home)
    }

    /// A call of the server's program on this stage's database; what it prints.
    pub(crate) fn administer(&mut self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binaries.server);
        let dir = self.stack().dir().join("server");
        command.args(args).arg("--embedded").arg(dir);
        if let Some(url) = self.database_url() {
            command.args(["--database-url", &url]);
        }
        let output = command.output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Ends everything as an operator would; each part has to end by itself.
    pub(crate) fn end(mut self) -> Result<()> {
        let stack = self.stack.take().context("a stage ends once")?;
        stack.stop()?;
        self.dir = None;
        Ok(())
    }

    fn show_logs(&self, dir: &TempDir) -> Result<()> {
        for log in fs::read_dir(dir.path().join("stack/logs"))? {
            let path = log?.path();
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            eprintln!("=== the end of `{}`\n{tail}", path.display());
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let Some(dir) = self.dir.take() else { return };
        drop(self.stack.take());
        if let Err(error) = self.show_logs(&dir) {
            eprintln!("the logs cannot be shown: {error:#}");
        }
        if env::var_os("FILEMILL_TEST_KEEP").is_some() {
            eprintln!("=== kept `{}`", dir.keep().display());
        }
    }
}
