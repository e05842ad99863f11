//! A node under test, the fake world around it, and uploads sealed for its pool.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use filemill_api::{ChunkUrl, LeasedSpan, LeasedUpload, SealedBody, SpanResult};
use filemill_processor::{NodeConfig, NodeError, PoolFolder, Totals};
use filemill_runtime::{Backend, Limits, ReleaseLimits, Runtime, RuntimeConfig, TimeLimit};
use filemill_seal::{
    ChunkSealer, Compressor, DataKey, Digest, Expected, FileEntry, Format, Header, Identity, Layout, Member,
    ResultBody, SealedHeader, Task, UploadId, Verdict, open_batch, open_result,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, TOKEN};

/// A running node and its world.
pub(crate) struct Mill {
    pub(crate) fake: Fake,
    pub(crate) uploader: Identity,
    pub(crate) component: Vec<u8>,
    dir: tempfile::TempDir,
    runtime: RuntimeConfig,
    backend: fn(Runtime) -> Arc<dyn Backend>,
    stop: CancellationToken,
    node: Option<JoinHandle<Result<Totals, NodeError>>>,
}

impl Mill {
    /// Starts a node whose only release is `component`.
    pub(crate) async fn start(component: Vec<u8>) -> Self {
        Self::start_with(component, |_| {}).await
    }

    /// The same, with other settings.
    pub(crate) async fn start_with(component: Vec<u8>, change: impl FnOnce(&mut NodeConfig)) -> Self {
        Self::stopped(component).await.started_with(change)
    }

    /// Starts the node of a world that was prepared.
    pub(crate) fn started(self) -> Self {
        self.started_with(|_| {})
    }

    /// Sets the node's runtime up otherwise.
    pub(crate) fn with_runtime(mut self, change: impl FnOnce(&mut RuntimeConfig)) -> Self {
        change(&mut self.runtime);
        self
    }

    /// Makes another backend of the node's runtime.
    pub(crate) fn with_backend(mut self, backend: fn(Runtime) -> Arc<dyn Backend>) -> Self {
        self.backend = backend;
        self
    }

    /// Starts the node of a world that was prepared, with other settings.
    pub(crate) fn started_with(mut self, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = self.config();
        change(&mut config);
        let runtime = Runtime::new(RuntimeConfig {
            slots: NodeConfig::runtime_slots(config.slots),
            maxima: config.limits.default.clone(),
            ..self.runtime.clone()
        });
        let backends = vec![(self.backend)(runtime.expect("a runtime"))];
        self.node = Some(tokio::spawn(filemill_processor::run(config, backends, self.stop.clone())));
        self
    }

    /// The world alone.
    pub(crate) async fn stopped(component: Vec<u8>) -> Self {
        let fake = Fake::start().await;
        let dir = tempfile::tempdir().expect("a temporary folder");
        PoolFolder::init(&dir.path().join("pool"), "lab", 7).expect("a pool");
        let get = fake.put("component", &component);
        fake.world(|world| world.component = Some(get));
        let (uploader, stop) = (Identity::generate(), CancellationToken::new());
        let runtime = RuntimeConfig::default();
        let backend: fn(Runtime) -> Arc<dyn Backend> = |runtime| Arc::new(runtime);
        Self { fake, uploader, component, dir, runtime, backend, stop, node: None }
    }

    pub(crate) fn config(&self) -> NodeConfig {
        NodeConfig {
            server: self.fake.server.parse().expect("a URL"),
            token: TOKEN.to_owned().into(),
            pool_dir: self.pool_dir(),
            storage_origins: vec![self.fake.storage.parse().expect("an origin")],
            allow_plain_http: false,
            slots: 2,
            memory_budget_bytes: 8 << 20,
            name: "node".into(),
            grace: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            engines_dir: None,
            abilities: Vec::new(),
            kept_code_bytes: NodeConfig::KEPT_CODE_DEFAULT_BYTES,
            metrics_url: None,
            limits: ReleaseLimits {
                default: Limits {
                    cpu_time: TimeLimit { base: Duration::from_secs(120), per_mib: Duration::ZERO },
                    wall_time: TimeLimit { base: Duration::from_secs(120), per_mib: Duration::ZERO },
                    ..Limits::default()
                },
                ..ReleaseLimits::default()
            },
        }
    }

    pub(crate) fn pool_dir(&self) -> PathBuf {
        self.dir.path().join("pool")
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Starts to seal an upload of these files, in chunks of 64 KiB.
    pub(crate) fn upload(&self, files: &[Vec<u8>]) -> Upload {
        let pool = PoolFolder::open(&self.pool_dir()).expect("the pool");
        let header = Header {
            format: Format::One,
            upload: UploadId::random(),
            key: DataKey::random(),
            uploader: self.uploader.recipient(),
            tasks: vec![Task { releases: vec![Digest::of(&self.component)], parameters: "{}".into() }],
            organisation: Vec::new(),
            isolation: [].into(),
            chunk_size: 64 << 10,
            not_after: now() + 3600,
            files: files
                .iter()
                .map(|file| FileEntry { name: b"marker-name".to_vec(), length: file.len() as u64 })
                .collect(),
        };
        let verdicts = files.iter().map(|file| Verdict::Intact(Digest::of(file))).collect();
        let recipient = pool.identities().last().expect("an identity").recipient();
        Upload { header, verdicts, stream: files.concat(), pool: recipient }
    }

    /// The same with a header of format 2, and these tasks.
    pub(crate) fn upload_two(&self, files: &[Vec<u8>], tasks: Vec<Task>) -> Upload {
        let mut upload = self.upload(files);
        (upload.header.format, upload.header.tasks) = (Format::Two, tasks);
        upload
    }

    /// A task for the release that the world gives.
    pub(crate) fn task(&self) -> Task {
        Task { releases: vec![Digest::of(&self.component)], parameters: "{}".into() }
    }

    /// Publishes another release, and gives a task for it with these parameters.
    pub(crate) fn another_task(&self, component: &[u8], parameters: &str) -> Task {
        let digest = Digest::of(component);
        let get = self.fake.put(&format!("component-{digest}"), component);
        self.fake.world(|world| world.components.insert(digest.to_string(), get));
        Task { releases: vec![digest], parameters: parameters.to_owned() }
    }

    /// Ends the node and gives what it counted.
    pub(crate) async fn end(mut self) -> Totals {
        self.stop.cancel();
        let node = self.node.take().expect("a running node");
        let ended = tokio::time::timeout(Duration::from_secs(40), node).await.expect("it ends in time");
        ended.expect("it does not panic").expect("it ends well")
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Opens a result as the uploader does: only what stands up to every check comes out, in the order of its jobs.
    pub(crate) fn open(&self, sent: &Sent, result: &SpanResult) -> Vec<ResultBody> {
        self.open_as(sent, result, &self.uploader)
    }

    /// The same with another identity that the results are sealed for.
    pub(crate) fn open_as(&self, sent: &Sent, result: &SpanResult, reader: &Identity) -> Vec<ResultBody> {
        let sealed = match result.sealed.as_ref().expect("a sealed result") {
            SealedBody::Inline(bytes) => bytes.0.clone(),
            SealedBody::Object { sha256, .. } => {
                self.fake.world(|world| world.stored[&format!("result/{sha256}")].clone())
            }
        };
        let readers = std::slice::from_ref(reader);
        let expected: Vec<_> = result.jobs.iter().map(|ended| sent.expected(ended.job)).collect();
        let bodies: Vec<_> = match (sent.header.format, &expected[..]) {
            (Format::One, [expected]) => {
                let opened = open_result(&sealed, readers).expect("it opens");
                vec![opened.verify(&sent.header.key, expected).expect("it is believed")]
            }
            (Format::One, _) => panic!("format 1 has no batches: {result:?}"),
            (Format::Two, expected) => {
                let opened = open_batch(&sealed, readers).expect("it opens");
                let members = opened.verify(&sent.header.key, expected).expect("it is believed");
                members.into_iter().map(Member::into_body).collect()
            }
        };
        for (body, ended) in bodies.iter().zip(&result.jobs) {
            assert_eq!(body.outcome.code(), ended.outcome.code(), "the server is told what was sealed");
        }
        bodies
    }

    /// Waits for the result of a job and opens it.
    pub(crate) async fn result(&self, sent: &Sent, job: u32) -> ResultBody {
        let result = self.fake.completion(sent.span_of(job), job).await;
        let place = result.jobs.iter().position(|ended| ended.job == job).expect("it is of that job");
        self.open(sent, &result).swap_remove(place)
    }
}

impl Drop for Mill {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An upload in the making.
pub(crate) struct Upload {
    pub(crate) header: Header,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) stream: Vec<u8>,
    pool: filemill_seal::Recipient,
}

/// A sealed upload, stored in the fake world, with the lease that offers it.
pub(crate) struct Sent {
    pub(crate) header: Header,
    pub(crate) sealed: SealedHeader,
    pub(crate) leased: LeasedUpload,
    pub(crate) chunks: Vec<ChunkUrl>,
    pub(crate) sealed_chunks: Vec<Vec<u8>>,
}

impl Upload {
    /// Seals header and chunks and puts them into storage.
    pub(crate) fn seal(self, fake: &Fake) -> Sent {
        let Self { header, verdicts, stream, pool } = self;
        let sealed = header.seal(&[pool]).expect("a header");
        let layout = header.layout().expect("a layout");
        let id = header.upload.to_string();
        let sealer = ChunkSealer::new(&header.key, header.upload, sealed.digest());
        let mut compressor = Compressor::new(1);
        let sealed_chunks: Vec<Vec<u8>> = (0..layout.chunk_count())
            .map(|sequence| {
                let shape = layout.shape(sequence).expect("such a chunk");
                let start = layout.chunk_offset(sequence).expect("such a chunk") as usize;
                let ends = layout.ends_in(sequence);
                let mut chunk = Vec::new();
                let data = &stream[start..start + shape.length as usize];
                let verdicts = &verdicts[ends.start as usize..ends.end as usize];
                sealer.seal(&shape, data, verdicts, &mut compressor, &mut chunk).expect("a chunk");
                chunk
            })
            .collect();
        let chunks = (0..)
            .zip(&sealed_chunks)
            .map(|(sequence, chunk)| ChunkUrl { sequence, get: fake.put(&chunk_key(&id, sequence), chunk) })
            .collect();
        let leased = LeasedUpload {
            upload: id.clone(),
            header: fake.put(&format!("{id}/header"), sealed.as_bytes()),
            chunks_expected: layout.chunk_count(),
            chunks: Vec::new(),
            spans: spans(&layout, &header.tasks),
        };
        Sent { header, sealed, leased, chunks, sealed_chunks }
    }
}

impl Sent {
    /// Offers it to the node, with the URLs of all its chunks.
    pub(crate) fn offer(&self, fake: &Fake) {
        fake.offer(self.leased.clone(), self.chunks.clone());
    }

    /// Offers it with these changes to the lease.
    pub(crate) fn offer_with(&self, fake: &Fake, change: impl FnOnce(&mut LeasedUpload)) {
        let mut leased = self.leased.clone();
        change(&mut leased);
        fake.offer(leased, self.chunks.clone());
    }

    pub(crate) fn span_of(&self, job: u32) -> i64 {
        self.leased.spans.iter().find(|span| span.jobs.contains(&job)).expect("such a job").span
    }

    /// What its uploader knows of a job.
    fn expected(&self, job: u32) -> Expected<'_> {
        let files = self.header.files.len() as u32;
        let of = Expected::from_header(&self.header, self.sealed.digest(), job / files, job % files);
        of.expect("such a job")
    }

    pub(crate) fn key(&self, sequence: u32) -> String {
        chunk_key(&self.leased.upload, sequence)
    }

    pub(crate) fn fetched(&self, fake: &Fake, sequence: u32) -> u32 {
        fake.world(|world| world.fetched.get(&self.key(sequence)).copied().unwrap_or(0))
    }
}

fn chunk_key(upload: &str, sequence: u32) -> String {
    format!("{upload}/{sequence}")
}

/// The spans as a server makes them: at most 64 neighbours in the same chunks, of one task.
fn spans(layout: &Layout, tasks: &[Task]) -> Vec<LeasedSpan> {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    let mut spans = Vec::new();
    for (task, of) in (0..).zip(tasks) {
        for range in layout.job_ranges() {
            let first = task * layout.file_count() + range.first_index;
            let jobs: Vec<u32> = (first..first + range.count).collect();
            spans.extend(jobs.chunks(64).map(|jobs| LeasedSpan {
                span: NEXT.fetch_add(1, Ordering::Relaxed),
                fence: 1,
                release: of.releases[0].to_string(),
                jobs: jobs.to_vec(),
                first_chunk: range.first_chunk,
                last_chunk: range.last_chunk,
                attempt: 1,
                alone: false,
            }));
        }
    }
    spans
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
