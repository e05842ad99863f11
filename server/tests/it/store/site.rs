//! A database of its own for each test, servers over it, and short ways to do what clients and nodes do.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filemill_api::abilities::{backend, contract};
use filemill_api::{
    AdvanceRequest, AdvanceUpload, Base64, ChunkWant, Complete, CompleteRequest, Completed, ErrorBody, ErrorCode,
    FileRange, JobOutcome, LeaseReport, LeaseRequest, LeaseReturn, LeasedSpan, OpenRequest, OpenTask, OpenUpload,
    Outcome, ReportAnswer, ReportRequest, ReturnReason, ReturnRequest, SealedBody, SignedStatement, SpanKey,
    SpanResult, UploadState,
};
use filemill_server::accounts::{Caller, Scope};
use filemill_server::catalog::NewRelease;
use filemill_server::queue::{Leased, Opened, QueueConfig, RecordedEvent, RecordedKind};
use filemill_server::store::{Store, StoreError, StoreOptions};
use filemill_server::{Domains, DomainsConfig};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a test waits for a state before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The release and the pool of every test.
pub(crate) const POOL: &str = "pool";

pub(crate) fn release() -> String {
    format!("{:064x}", 0xe1)
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A fresh database.
pub(crate) struct Site {
    pub(crate) store: Store,
    place: Place,
    servers: std::sync::Mutex<Vec<(TaskTracker, CancellationToken)>>,
    next: AtomicU64,
}

enum Place {
    Sqlite(tempfile::TempDir),
    Postgres { admin: String, url: String, name: String },
}

/// Runs a test on a database of that kind. A PostgreSQL one that is not there fails the test, unless
/// `FILEMILL_TEST_SQLITE_ONLY` is 1.
pub(crate) async fn run<F: Future<Output = ()>>(kind: Kind, test: impl FnOnce(std::sync::Arc<Site>) -> F) {
    let Some(site) = Site::new(kind).await else { return };
    let site = std::sync::Arc::new(site);
    tokio::time::timeout(Duration::from_secs(120), test(std::sync::Arc::clone(&site))).await.expect("the test hangs");
    site.close().await;
}

impl Site {
    async fn new(kind: Kind) -> Option<Self> {
        let place = match kind {
            Kind::Sqlite => Place::Sqlite(tempfile::tempdir().expect("a temporary folder")),
            Kind::Postgres => {
                let Ok(admin) = std::env::var("FILEMILL_TEST_POSTGRES_URL") else {
                    let sqlite_only = std::env::var("FILEMILL_TEST_SQLITE_ONLY").is_ok_and(|only| only == "1");
                    assert!(
                        sqlite_only,
                        "FILEMILL_TEST_POSTGRES_URL is not set\nhint: run `cargo xtask test`, which starts PostgreSQL, \
                         or set FILEMILL_TEST_SQLITE_ONLY=1"
                    );
                    return None;
                };
                let name = format!("filemill_{}_{:x}", std::process::id(), rand());
                let mut connection = PgConnection::connect(&admin).await.expect("PostgreSQL answers");
                execute_pg(&mut connection, &format!("create database {name}")).await;
                let (server, _) = admin.rsplit_once('/').expect("a URL with a database");
                Place::Postgres { url: format!("{server}/{name}"), admin, name }
            }
        };
        let site =
            Self { store: open(&place).await, place, servers: std::sync::Mutex::default(), next: AtomicU64::new(1) };
        let server = site.server();
        let release = NewRelease {
            engine: "size".to_owned(),
            version: "1.0.0".to_owned(),
            digest: release(),
            contract: 1,
            minor: 0,
            needs: Vec::new(),
            length: 1000,
        };
        server.catalog.add_release(&release).await.expect("a release");
        // Or each node would be sent to describe it first.
        server.catalog.describe_release(POOL, &release.digest, r#"{"version":"1.0.0"}"#).await.expect("a description");
        make_pool(&server, POOL).await;
        Some(site)
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.place {
            Place::Sqlite(_) => Kind::Sqlite,
            Place::Postgres { .. } => Kind::Postgres,
        }
    }

    /// A server over the database, with production's times.
    pub(crate) fn server(&self) -> Domains {
        self.server_with(DomainsConfig::default())
    }

    /// A server whose leases end after 700 ms without a report.
    pub(crate) fn hasty_server(&self) -> Domains {
        self.server_with(DomainsConfig {
            queue: QueueConfig { lease: Duration::from_millis(700), ..QueueConfig::default() },
            ..DomainsConfig::default()
        })
    }

    pub(crate) fn server_with(&self, config: DomainsConfig) -> Domains {
        self.server_on(self.store.clone(), config)
    }

    /// A server with connections of its own, as another process has them.
    pub(crate) async fn other_server(&self, config: DomainsConfig) -> Domains {
        self.server_on(open(&self.place).await, config)
    }

    /// Opens the database as a program that starts does.
    pub(crate) async fn open_again(&self) -> Result<Store, StoreError> {
        Store::open(&options(&self.place)).await
    }

    fn server_on(&self, store: Store, config: DomainsConfig) -> Domains {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let server = Domains::start(store, config, &tracker, &stop);
        tracker.close();
        self.servers.lock().expect("not poisoned").push((tracker, stop));
        server
    }

    pub(crate) async fn user(&self, server: &Domains, organisation: &str, member: &str) -> Caller {
        let token = server.accounts.create_token(organisation, member, Scope::User, None).await.expect("a token");
        server.accounts.authenticate(&token.text).await.expect("a caller")
    }

    /// Runs statements that belong to this kind of database, past the store.
    pub(crate) async fn sql(&self, sqlite: &str, postgres: &str) {
        match &self.place {
            Place::Sqlite(folder) => {
                let url = format!("sqlite:{}", folder.path().join("db").display());
                let mut connection = SqliteConnection::connect(&url).await.expect("the database");
                sqlx::raw_sql(AssertSqlSafe(sqlite.to_owned())).execute(&mut connection).await.expect("a statement");
            }
            Place::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.expect("the database");
                execute_pg(&mut connection, postgres).await;
            }
        }
    }

    /// Has the only turn to write, with SQLite, until what this answers is dropped. With PostgreSQL there are many.
    pub(crate) async fn keep_writing(&self) -> Option<SqliteConnection> {
        let Place::Sqlite(folder) = &self.place else { return None };
        let url = format!("sqlite:{}", folder.path().join("db").display());
        let mut connection = SqliteConnection::connect(&url).await.expect("the database");
        sqlx::raw_sql("begin immediate").execute(&mut connection).await.expect("a transaction");
        Some(connection)
    }

    /// The number that a statement answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.place {
            Place::Sqlite(folder) => {
                let url = format!("sqlite:{}", folder.path().join("db").display());
                let mut connection = SqliteConnection::connect(&url).await.expect("the database");
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a number")
            }
            Place::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.expect("the database");
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a number")
            }
        }
    }

    /// A number that no other call got.
    pub(crate) fn unique(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// An upload of `files` files that share one chunk.
    pub(crate) fn bundle(&self, files: u32) -> OpenUpload {
        self.upload(1, vec![FileRange { first_index: 0, count: files, first_chunk: 0, last_chunk: 0 }])
    }

    /// An upload of one file over `chunks` chunks.
    pub(crate) fn large(&self, chunks: u32) -> OpenUpload {
        self.upload(chunks, vec![FileRange { first_index: 0, count: 1, first_chunk: 0, last_chunk: chunks - 1 }])
    }

    pub(crate) fn upload(&self, chunks: u32, files: Vec<FileRange>) -> OpenUpload {
        let number = self.unique();
        OpenUpload {
            id: format!("{number:032x}"),
            format: 1,
            tasks: vec![task(&[&release()])],
            pool: POOL.to_owned(),
            header_length: 500,
            header_sha256: format!("{number:064x}"),
            chunks,
            files,
            want: Vec::new(),
        }
    }

    /// Where the database is, as the command line takes it.
    pub(crate) fn url(&self) -> String {
        match &self.place {
            Place::Sqlite(folder) => format!("sqlite:{}", folder.path().join("db").display()),
            Place::Postgres { url, .. } => url.clone(),
        }
    }

    pub(crate) fn options(&self) -> StoreOptions {
        options(&self.place)
    }

    /// The file of an SQLite database.
    pub(crate) fn path(&self) -> Option<std::path::PathBuf> {
        match &self.place {
            Place::Sqlite(folder) => Some(folder.path().join("db")),
            Place::Postgres { .. } => None,
        }
    }

    /// Ends what the servers so far do by themselves.
    pub(crate) async fn stop_servers(&self) {
        let servers = std::mem::take(&mut *self.servers.lock().expect("not poisoned"));
        for (tracker, stop) in servers {
            stop.cancel();
            tokio::time::timeout(LIMIT, tracker.wait()).await.expect("the servers' tasks end when they are told to");
        }
    }

    async fn close(&self) {
        self.stop_servers().await;
        self.store.close().await;
        if let Place::Postgres { admin, name, .. } = &self.place {
            let mut connection = PgConnection::connect(admin).await.expect("PostgreSQL answers");
            execute_pg(&mut connection, &format!("drop database {name} with (force)")).await;
        }
    }
}

/// Makes a pool that serves everyone.
pub(crate) async fn make_pool(server: &Domains, name: &str) {
    server.catalog.serve_everyone_at_first(name).await.expect("it serves");
    let statement = format!(r#"{{"filemill_pool":1,"pool":"{name}","serial":1}}"#);
    server
        .catalog
        .publish_pool(name, &SignedStatement { statement, signature: "ab".repeat(64) })
        .await
        .expect("a pool");
}

/// Who knows of every pool.
pub(crate) fn operator() -> Caller {
    Caller {
        organisation: 0,
        organisation_name: String::new(),
        member: 0,
        member_name: String::new(),
        scope: Scope::Operator,
        pool: None,
    }
}

async fn open(place: &Place) -> Store {
    Store::open(&options(place)).await.expect("a database")
}

fn options(place: &Place) -> StoreOptions {
    match place {
        Place::Sqlite(folder) => StoreOptions::sqlite(folder.path().join("db")),
        Place::Postgres { url, .. } => StoreOptions::from_url(url, 40).expect("a URL"),
    }
}

async fn execute_pg(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.expect("a statement");
}

fn rand() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Polls until it is some.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut poll: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn chunk(sequence: u32) -> ChunkWant {
    content(sequence, u64::from(sequence) + 1)
}

/// A chunk with some content.
pub(crate) fn content(sequence: u32, content: u64) -> ChunkWant {
    ChunkWant { sequence, length: 100, sha256: format!("{content:064x}") }
}

pub(crate) async fn open_one(server: &Domains, caller: &Caller, upload: &OpenUpload) -> Result<Opened, ErrorBody> {
    let mut answers = server.queue.open(caller, OpenRequest { uploads: vec![upload.clone()] }).await?;
    answers.remove(0)
}

pub(crate) async fn advance(
    server: &Domains,
    caller: &Caller,
    id: &str,
    header_stored: bool,
    stored: Vec<ChunkWant>,
) -> Result<UploadState, ErrorBody> {
    let upload = AdvanceUpload { id: id.to_owned(), header_stored, stored, want: Vec::new() };
    let mut answers = server.queue.advance(caller, AdvanceRequest { uploads: vec![upload] }).await?;
    Ok(answers.remove(0)?.state)
}

/// Opens an upload and stores all of it.
pub(crate) async fn send(server: &Domains, caller: &Caller, upload: &OpenUpload) -> String {
    open_one(server, caller, upload).await.expect("opened");
    let chunks = (0..upload.chunks).map(chunk).collect();
    let state = advance(server, caller, &upload.id, true, chunks).await.expect("advanced");
    assert_eq!(state, UploadState::Stored);
    upload.id.clone()
}

/// What may run each file.
pub(crate) fn task(releases: &[&str]) -> OpenTask {
    OpenTask { releases: releases.iter().map(|&release| release.to_owned()).collect(), needs: Vec::new() }
}

/// What a node has that runs components of these contracts.
pub(crate) fn abilities(contracts: &[(u32, u32)]) -> Vec<String> {
    let contracts = contracts.iter().map(|&(major, minor)| contract(major, minor));
    contracts.chain([backend("component")]).collect()
}

pub(crate) fn wish(node: &str, max_jobs: u32, idle_slots: u32, wait_ms: u32) -> LeaseRequest {
    LeaseRequest {
        node: node.to_owned(),
        pool: POOL.to_owned(),
        abilities: abilities(&[(1, 0)]),
        max_jobs,
        idle_slots,
        wait_ms,
        told: None,
    }
}

/// Leases up to so many jobs, and waits until some come.
pub(crate) async fn lease(server: &Domains, node: &str, max_jobs: u32) -> Leased {
    let leased = server.queue.lease(POOL, wish(node, max_jobs, 0, 20_000)).await.expect("leased");
    assert!(!leased.uploads.is_empty(), "no job for {node} within 20 s");
    leased
}

/// What can be leased at once, if anything.
pub(crate) async fn lease_now(server: &Domains, node: &str, max_jobs: u32, idle_slots: u32) -> Leased {
    server.queue.lease(POOL, wish(node, max_jobs, idle_slots, 0)).await.expect("leased")
}

pub(crate) fn runs(leased: &Leased) -> Vec<LeasedSpan> {
    leased.uploads.iter().flat_map(|work| work.spans.clone()).collect()
}

/// The only run of a lease.
pub(crate) fn only(leased: &Leased) -> LeasedSpan {
    let mut runs = runs(leased);
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.remove(0)
}

pub(crate) fn key(run: &LeasedSpan) -> SpanKey {
    SpanKey { span: run.span, fence: run.fence }
}

pub(crate) fn completion(job: u32) -> SpanResult {
    let sealed = Some(SealedBody::Inline(Base64(format!("result of {job}").into_bytes())));
    single(job, Outcome::Succeeded, sealed)
}

/// What one job alone came to.
pub(crate) fn single(job: u32, outcome: Outcome, sealed: Option<SealedBody>) -> SpanResult {
    SpanResult { jobs: vec![JobOutcome { job, outcome }], sealed }
}

/// Completes some jobs of a run.
pub(crate) async fn complete(server: &Domains, run: &LeasedSpan, indexes: &[u32]) -> Result<Completed, ErrorBody> {
    let results = indexes.iter().map(|&index| completion(index)).collect();
    let request = CompleteRequest { node: "node".to_owned(), leases: vec![Complete { lease: key(run), results }] };
    server.queue.complete(POOL, request).await?.leases.remove(0).into_result()
}

pub(crate) async fn complete_all(server: &Domains, leased: &Leased) {
    let leases: Vec<_> = runs(leased)
        .iter()
        .map(|run| Complete { lease: key(run), results: run.jobs.iter().map(|&job| completion(job)).collect() })
        .collect();
    for batch in leases.chunks(16) {
        let request = CompleteRequest { node: "node".to_owned(), leases: batch.to_vec() };
        for item in server.queue.complete(POOL, request).await.expect("completed").leases {
            assert!(item.into_result().expect("completed").ended);
        }
    }
}

pub(crate) async fn report(server: &Domains, run: &LeasedSpan, started: &[u32]) -> ReportAnswer {
    let lease = LeaseReport { lease: key(run), started: started.to_vec(), per_mille: 500 };
    server.queue.report(POOL, ReportRequest { node: "node".to_owned(), leases: vec![lease] }).await.expect("reported")
}

pub(crate) async fn give_back(server: &Domains, run: &LeasedSpan, reason: ReturnReason) -> ReportAnswer {
    let leases = vec![LeaseReturn { lease: key(run), reason }];
    server.queue.give_back(POOL, ReturnRequest { node: "node".to_owned(), leases }).await.expect("returned")
}

/// All events of a member, in pages of 7.
pub(crate) async fn events(server: &Domains, caller: &Caller) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = server.queue.events(caller, after, Some(7)).await.expect("events");
        if page.events.is_empty() {
            return all;
        }
        after = page.next;
        all.extend(page.events);
    }
}

/// Asserts that there are so many events, each once, in order and without a gap.
pub(crate) fn assert_gapless(cursors: &[i64], count: usize) {
    assert_eq!(cursors.len(), count);
    assert!(cursors.windows(2).all(|two| two[1] == two[0] + 1), "{cursors:?}");
}

/// (index, outcome) of the results among a member's events, by index.
pub(crate) async fn results(server: &Domains, caller: &Caller) -> Vec<(u32, Outcome)> {
    let mut results: Vec<_> = events(server, caller)
        .await
        .into_iter()
        .flat_map(|event| match event.kind {
            RecordedKind::Results { jobs, .. } => jobs.into_iter().map(|one| (one.job, one.outcome)).collect(),
            RecordedKind::ChunksMissing { .. } => Vec::new(),
        })
        .collect();
    results.sort_unstable_by_key(|(index, _)| *index);
    results
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, ErrorBody>) -> ErrorCode {
    result.expect_err("a refusal").code
}
