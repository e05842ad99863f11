//! Uploaders and processors that speak the API as fast as it answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
// Version 1, which every server speaks that this one is compared with.
use filemill_api::paths::v1 as paths;
use filemill_api::v1::{
    Complete, CompleteRequest, Completion, LeaseAnswer, LeaseReport, LeaseRequest, OpenRequest, OpenUpload,
    ReportAnswer, ReportRequest, RunKey,
};
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvanceUpload, Base64, ChunkWant, CompleteAnswer, FileRange, OpenAnswer, Outcome,
    PublishPool, SealedBody, SignedStatement,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::Options;
use crate::served::Served;

pub(crate) const POOL: &str = "bench";
const FILES_IN_A_BUNDLE: u32 = 4_096;
/// 4,096 files of 34 KiB on average, in chunks of 8 MiB.
const CHUNKS_IN_A_BUNDLE: u32 = 17;
const SEALED_RESULT_BYTES: usize = 900;
/// Uploaders that ask at the same time.
const UPLOADERS: usize = 16;
/// One-file uploads that a watcher opens in one request.
const SINGLES_IN_A_REQUEST: usize = 1;

/// How the uploads look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 4,096 files in an upload.
    Bundles,
    /// One file in an upload, one upload in a request.
    Singles,
}

impl Shape {
    /// As it stands in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bundles => "bundles of 4,096",
            Self::Singles => "one-file uploads",
        }
    }

    fn files(self) -> u32 {
        match self {
            Self::Bundles => FILES_IN_A_BUNDLE,
            Self::Singles => 1,
        }
    }

    fn chunks(self) -> u32 {
        match self {
            Self::Bundles => CHUNKS_IN_A_BUNDLE,
            Self::Singles => 1,
        }
    }
}

/// Jobs and the time they took.
pub(crate) struct Rate {
    /// How many.
    pub(crate) jobs: usize,
    time: Duration,
}

impl Rate {
    /// Jobs a second.
    pub(crate) fn per_second(&self) -> f64 {
        (self.jobs as f64 / self.time.as_secs_f64()).round()
    }
}

/// What came of leasing and completing.
pub(crate) struct Drained {
    /// Of all jobs.
    pub(crate) rate: Rate,
    /// How long each small upload waited, from the request that completes it to its lease, in milliseconds.
    pub(crate) small_waits_ms: Vec<f64>,
}

/// Everybody who talks to the server.
pub(crate) struct Load {
    http: reqwest::Client,
    address: String,
    users: Vec<String>,
    processor: String,
    release: String,
    shape: Shape,
    processors: usize,
    max_jobs: u32,
    small_every: Option<Duration>,
    left: Arc<AtomicUsize>,
    small: Arc<Mutex<Small>>,
}

#[derive(Default)]
struct Small {
    ready: HashMap<String, Instant>,
    waits_ms: Vec<f64>,
}

impl Load {
    /// Talks to this server.
    pub(crate) fn new(served: &Served, options: &Options) -> Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?,
            address: served.address.clone(),
            users: served.known.users.clone(),
            processor: served.known.processor.clone(),
            release: served.known.release.clone(),
            shape: options.shape,
            processors: options.processors,
            max_jobs: options.max_jobs,
            small_every: options.small_every_ms.map(Duration::from_millis),
            left: Arc::default(),
            small: Arc::default(),
        })
    }

    /// Announces the pool that everything is sent to. What its root signed does not matter to a server.
    pub(crate) async fn announce_pool(&self) -> Result<()> {
        let statement = json!({ "pool": POOL, "serial": 1 }).to_string();
        let request = PublishPool { pool: SignedStatement { statement, signature: "0".repeat(128) }, root: None };
        let url = format!("{}{}", self.address, paths::POOLS);
        self.http.post(url).bearer_auth(&self.processor).json(&request).send().await?.error_for_status()?;
        Ok(())
    }

    /// Opens uploads of at least `jobs` files in all and says that they are stored.
    pub(crate) async fn enqueue(&self, jobs: usize) -> Result<Rate> {
        let uploads = jobs.div_ceil(self.shape.files() as usize);
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let uploaders = (0..UPLOADERS).map(|_| async {
            loop {
                let first = next.fetch_add(SINGLES_IN_A_REQUEST, Ordering::Relaxed);
                if first >= uploads {
                    return Ok::<_, anyhow::Error>(());
                }
                let organisations = self.users.len() - 1;
                let token = &self.users[first % organisations];
                let count = SINGLES_IN_A_REQUEST.min(uploads - first);
                self.upload(token, count, self.shape.files(), self.shape.chunks()).await?;
            }
        });
        futures::future::try_join_all(uploaders).await?;
        let rate = Rate { jobs: uploads * self.shape.files() as usize, time: begun.elapsed() };
        self.left.store(rate.jobs, Ordering::Relaxed);
        Ok(rate)
    }

    /// Leases and completes until nothing is left, or the time is over.
    pub(crate) async fn drain(&self, limit: Duration) -> Result<Drained> {
        let total = self.left.load(Ordering::Relaxed);
        let over = AtomicBool::new(false);
        let begun = Instant::now();
        let processors = async {
            let nodes = (0..self.processors).map(|number| self.process(number, &over, begun + limit));
            let done = futures::future::try_join_all(nodes).await;
            over.store(true, Ordering::Relaxed);
            done
        };
        let small = async {
            if let Some(every) = self.small_every {
                self.small_uploads(every, &over).await?;
            }
            Ok(())
        };
        futures::future::try_join(processors, small).await?;
        let left = self.left.load(Ordering::Relaxed);
        let rate = Rate { jobs: total - left, time: begun.elapsed() };
        let waits = std::mem::take(&mut lock(&self.small).waits_ms);
        Ok(Drained { rate, small_waits_ms: waits })
    }

    async fn small_uploads(&self, every: Duration, over: &AtomicBool) -> Result<()> {
        let token = self.users.last().context("there is no organisation for the small uploads")?;
        let mut ticks = tokio::time::interval(every);
        while !over.load(Ordering::Relaxed) {
            ticks.tick().await;
            self.upload(token, 1, 3, 1).await?;
        }
        Ok(())
    }

    async fn upload(&self, token: &str, count: usize, files: u32, chunks: u32) -> Result<()> {
        let uploads: Vec<OpenUpload> = (0..count).map(|_| self.announce(files, chunks)).collect();
        let stored: Vec<AdvanceUpload> = uploads
            .iter()
            .map(|upload| AdvanceUpload {
                id: upload.id.clone(),
                header_stored: true,
                stored: upload.want.clone(),
                want: Vec::new(),
            })
            .collect();
        let opened: OpenAnswer = self.call(token, paths::UPLOADS, &OpenRequest { uploads }).await?;
        for item in opened.uploads {
            item.into_result().map_err(|error| anyhow::anyhow!("open: {error}"))?;
        }
        if self.users.last().is_some_and(|last| last == token) {
            let now = Instant::now();
            lock(&self.small).ready.extend(stored.iter().map(|upload| (upload.id.clone(), now)));
        }
        let advanced: AdvanceAnswer = self.call(token, paths::ADVANCE, &AdvanceRequest { uploads: stored }).await?;
        for item in advanced.uploads {
            item.into_result().map_err(|error| anyhow::anyhow!("advance: {error}"))?;
        }
        Ok(())
    }

    fn announce(&self, files: u32, chunks: u32) -> OpenUpload {
        let jobs = (0..chunks)
            .map(|chunk| {
                let first = files * chunk / chunks;
                let end = files * (chunk + 1) / chunks;
                FileRange { first_index: first, count: end - first, first_chunk: chunk, last_chunk: chunk }
            })
            .collect();
        let want = (0..chunks).map(|sequence| ChunkWant { sequence, length: 1 << 20, sha256: hex(32) }).collect();
        OpenUpload {
            id: hex(16),
            release: self.release.clone(),
            pool: POOL.into(),
            header_length: 1_000,
            header_sha256: hex(32),
            chunks,
            jobs,
            long_parameters: false,
            want,
        }
    }

    async fn process(&self, number: usize, over: &AtomicBool, deadline: Instant) -> Result<()> {
        let node = format!("bench-{number}");
        let sealed = Base64(vec![7; SEALED_RESULT_BYTES]);
        let ask = LeaseRequest {
            node: node.clone(),
            pool: POOL.into(),
            contracts: vec![1],
            backends: vec!["component".into()],
            parameters_bytes: filemill_api::limits::USUAL_PARAMETERS_BYTES,
            max_jobs: self.max_jobs,
            idle_slots: 0,
            wait_ms: 200,
            told: None,
        };
        while self.left.load(Ordering::Relaxed) > 0 && Instant::now() < deadline && !over.load(Ordering::Relaxed) {
            let leased: LeaseAnswer = self.call(&self.processor, paths::LEASES, &ask).await?;
            let now = Instant::now();
            let mut started = Vec::new();
            let mut leases = Vec::new();
            let mut counted = 0;
            for upload in leased.uploads {
                let small = lock(&self.small).ready.remove(&upload.upload);
                if let Some(ready) = small {
                    lock(&self.small).waits_ms.push(now.duration_since(ready).as_secs_f64() * 1e3);
                }
                for run in upload.runs {
                    let lease = RunKey { run: run.run, fence: run.fence };
                    counted += if small.is_some() { 0 } else { run.indexes.len() };
                    started.push(LeaseReport { lease, started: run.indexes.clone(), per_mille: 0 });
                    leases.push(complete(lease, &run.indexes, &sealed));
                }
            }
            if leases.is_empty() {
                continue;
            }
            let report = ReportRequest { node: node.clone(), leases: started };
            let _: ReportAnswer = self.call(&self.processor, paths::LEASE_REPORT, &report).await?;
            let request = CompleteRequest { node: node.clone(), leases };
            let answer: CompleteAnswer = self.call(&self.processor, paths::RESULTS, &request).await?;
            for item in answer.leases {
                item.into_result().map_err(|error| anyhow::anyhow!("complete: {error}"))?;
            }
            let _ =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(counted)));
        }
        Ok(())
    }

    async fn call<T: DeserializeOwned>(&self, token: &str, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.http.post(format!("{}{path}", self.address)).bearer_auth(token).json(body).send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        if !status.is_success() {
            bail!("`{path}` answered {status}: {}", String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes).with_context(|| format!("`{path}` answered what is not understood"))
    }
}

fn complete(lease: RunKey, indexes: &[u32], sealed: &Base64) -> Complete {
    let job = |index: &u32| Completion {
        index: *index,
        outcome: Outcome::Succeeded,
        sealed: Some(SealedBody::Inline(sealed.clone())),
    };
    Complete { lease, jobs: indexes.iter().map(job).collect() }
}

fn hex(bytes: usize) -> String {
    let mut raw = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut raw).expect("the system gives random bytes");
    data_encoding::HEXLOWER.encode(&raw)
}

fn lock(small: &Mutex<Small>) -> std::sync::MutexGuard<'_, Small> {
    small.lock().unwrap_or_else(PoisonError::into_inner)
}
