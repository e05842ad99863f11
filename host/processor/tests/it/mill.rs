//! A node under test, the fake world around it, and uploads sealed for its pool.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use filemill_api::v1::{Completion, LeasedRun, LeasedUpload};
use filemill_api::{ChunkUrl, SealedBody};
use filemill_processor::{NodeConfig, NodeError, PoolFolder, Totals};
use filemill_runtime::{Backend, Limits, ReleaseLimits, Runtime, RuntimeConfig, TimeLimit};
use filemill_seal::{
    ChunkSealer, Compressor, DataKey, Digest, Expected, FileEntry, Format, Header, Identity, Layout, ResultBody,
    SealedHeader, Task, UploadId, Verdict, open_result,
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

    /// Starts the node of a world that was prepared, with other settings.
    pub(crate) fn started_with(mut self, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = self.config();
        change(&mut config);
        let runtime = Runtime::new(RuntimeConfig {
            slots: NodeConfig::runtime_slots(config.slots),
            maxima: config.limits.default.clone(),
            ..self.runtime.clone()
        });
        let backends: Vec<Arc<dyn Backend>> = vec![Arc::new(runtime.expect("a runtime"))];
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
        Self { fake, uploader, component, dir, runtime: RuntimeConfig::default(), stop, node: None }
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

    /// Opens a completion's result as the uploader does: only what stands up to every check comes out.
    pub(crate) fn open(&self, sent: &Sent, completion: &Completion) -> ResultBody {
        let sealed = match completion.sealed.as_ref().expect("a sealed result") {
            SealedBody::Inline(bytes) => bytes.0.clone(),
            SealedBody::Object { sha256, .. } => {
                self.fake.world(|world| world.stored[&format!("result/{sha256}")].clone())
            }
        };
        let expected =
            Expected::from_header(&sent.header, sent.sealed.digest(), 0, completion.index).expect("such a file");
        let result = open_result(&sealed, std::slice::from_ref(&self.uploader)).expect("it opens");
        result.verify(&sent.header.key, &expected).expect("it is believed")
    }

    /// Waits for a file's completion and opens it.
    pub(crate) async fn result(&self, sent: &Sent, index: u32) -> ResultBody {
        let run = sent.run_of(index);
        let completion = self.fake.completion(run, index).await;
        self.open(sent, &completion)
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
            release: header.tasks[0].releases[0].to_string(),
            header: fake.put(&format!("{id}/header"), sealed.as_bytes()),
            chunks_expected: layout.chunk_count(),
            chunks: Vec::new(),
            runs: runs(&layout),
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

    pub(crate) fn run_of(&self, index: u32) -> i64 {
        self.leased.runs.iter().find(|run| run.indexes.contains(&index)).expect("such a file").run
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

/// The runs as a server makes them: at most 64 neighbours in the same chunks.
fn runs(layout: &Layout) -> Vec<LeasedRun> {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    let mut runs = Vec::new();
    for range in layout.job_ranges() {
        let indexes: Vec<u32> = (range.first_index..range.first_index + range.count).collect();
        runs.extend(indexes.chunks(64).map(|indexes| LeasedRun {
            run: NEXT.fetch_add(1, Ordering::Relaxed),
            fence: 1,
            indexes: indexes.to_vec(),
            first_chunk: range.first_chunk,
            last_chunk: range.last_chunk,
            attempt: 1,
            alone: false,
        }));
    }
    runs
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
