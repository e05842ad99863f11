//! The server over HTTP: a real embedded server in this process, spoken to as clients and processors do.

mod bounds;
mod cli;
mod engines;
mod errors;
mod events;
mod flow;
mod joins;
mod life;
mod odd;
mod openapi;
mod pools;
mod recorded;
mod revoked;
mod sign;
mod storage;
mod v1;

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvanceUpload, AdvancedUpload, ChunkWant, FileRange, LeaseAnswer, LeaseRequest,
    OpenAnswer, OpenRequest, OpenTask, OpenUpload, OpenedUpload, Problem, PublishPool, SignedPut, SignedStatement,
    paths,
};
use filemill_server::accounts::Scope;
use filemill_server::{Admin, Config, Embedded, Place, Server, SweepConfig};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// Longest wait for a state that must come.
const LIMIT: Duration = Duration::from_secs(20);
const POOL: &str = "main";

/// An embedded server with one release, one pool, and a token of each kind.
struct Mill {
    server: Server,
    config: Config,
    admin: Admin,
    http: reqwest::Client,
    user: String,
    processor: String,
    release: String,
    dir: TempDir,
}

impl Mill {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::embedded(dir.path());
        config.sweep = SweepConfig { doomed_every: Duration::from_millis(20), ..SweepConfig::default() };
        change(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        let admin = Admin::open(&embedded(&config).database().unwrap()).await.unwrap();
        admin.serve_everyone_at_first(POOL).await.unwrap();
        let user = admin.create_token("acme", "alice", Scope::User, None).await.unwrap().text;
        let processor = admin.create_token("mill", "node", Scope::Processor, Some(POOL)).await.unwrap().text;
        let release = admin.publish(&config.place, "size", "0.1.0", engine()).await.unwrap().digest;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mill = Self { server, config, admin, http, user, processor, release, dir };
        let described = mill.put_json(&mill.processor, &mill.describe_path(), "{}").await;
        assert_eq!(described.status(), StatusCode::NO_CONTENT);
        let pool = SignedStatement {
            statement: format!(
                r#"{{"filemill_pool":1,"pool":"{POOL}","recipient":"age1x","not_before":0,"not_after":1,"serial":1}}"#
            ),
            signature: "00".repeat(64),
        };
        let answer = mill.post(&mill.processor, paths::POOLS, &PublishPool { pool, root: None }).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        mill
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.addresses().listening)
    }

    async fn get(&self, token: &str, path: &str) -> Response {
        self.http.get(self.url(path)).bearer_auth(token).send().await.unwrap()
    }

    async fn post(&self, token: &str, path: &str, body: &impl Serialize) -> Response {
        self.http.post(self.url(path)).bearer_auth(token).json(body).send().await.unwrap()
    }

    /// Where the description of the release is.
    fn describe_path(&self) -> String {
        paths::DESCRIPTION.replace("{digest}", &self.release)
    }

    async fn put_json(&self, token: &str, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.http.put(self.url(path)).bearer_auth(token).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    }

    async fn ask<T: DeserializeOwned>(&self, token: &str, path: &str, body: &impl Serialize) -> T {
        ok(self.post(token, path, body).await).await
    }

    /// A file of one chunk, ready to be opened.
    fn upload(&self, id: u8) -> Sample {
        let (header, chunk) = (format!("header {id}").into_bytes(), format!("chunk {id}").into_bytes());
        let open = OpenUpload {
            id: HEXLOWER.encode(&[id; 16]),
            format: 1,
            tasks: vec![OpenTask { releases: vec![self.release.clone()], needs: Vec::new() }],
            pool: POOL.to_owned(),
            header_length: header.len() as u64,
            header_sha256: sha256(&header),
            chunks: 1,
            files: vec![FileRange { first_index: 0, count: 1, first_chunk: 0, last_chunk: 0 }],
            want: vec![want(0, &chunk)],
        };
        Sample { open, header, chunk }
    }

    async fn open(&self, upload: &OpenUpload) -> OpenedUpload {
        let request = OpenRequest { uploads: vec![upload.clone()] };
        let answer: OpenAnswer = self.ask(&self.user, paths::UPLOADS, &request).await;
        one(answer.uploads).into_result().unwrap()
    }

    async fn advance(&self, upload: AdvanceUpload) -> AdvancedUpload {
        let answer: AdvanceAnswer =
            self.ask(&self.user, paths::ADVANCE, &AdvanceRequest { uploads: vec![upload] }).await;
        one(answer.uploads).into_result().unwrap()
    }

    async fn put(&self, put: &SignedPut, body: impl Into<reqwest::Body>) -> Response {
        let mut request = self.http.put(&put.url).body(body);
        for (name, value) in &put.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    /// Opens, stores and confirms an upload, or what is still to be stored of it.
    async fn send(&self, sample: &Sample) {
        let opened = self.open(&sample.open).await;
        if let Some(put) = opened.header {
            assert_eq!(self.put(&put, sample.header.clone()).await.status(), StatusCode::OK);
        }
        let chunk = self.put(&opened.chunks[0], sample.chunk.clone()).await;
        assert_eq!(chunk.status(), StatusCode::OK);
        self.advance(AdvanceUpload {
            id: sample.open.id.clone(),
            header_stored: true,
            stored: vec![want(0, &sample.chunk)],
            want: Vec::new(),
        })
        .await;
    }

    async fn lease(&self, wait_ms: u32) -> LeaseAnswer {
        self.ask(&self.processor, paths::LEASES, &lease_request(wait_ms)).await
    }

    async fn stop(self) {
        self.admin.close().await;
        self.server.shutdown().await;
        self.dir.close().unwrap();
    }
}

/// An upload with what is to be stored.
struct Sample {
    open: OpenUpload,
    header: Vec<u8>,
    chunk: Vec<u8>,
}

fn lease_request(wait_ms: u32) -> LeaseRequest {
    LeaseRequest {
        node: "node-1".to_owned(),
        pool: POOL.to_owned(),
        abilities: ["backend:component", "contract:1.0", "long_parameters"].map(ToOwned::to_owned).to_vec(),
        max_jobs: 16,
        idle_slots: 4,
        wait_ms,
        told: None,
    }
}

fn embedded(config: &Config) -> &Embedded {
    match &config.place {
        Place::Embedded(embedded) => embedded,
        Place::Services { .. } => panic!("the tests run embedded"),
    }
}

fn want(sequence: u32, chunk: &[u8]) -> ChunkWant {
    ChunkWant { sequence, length: chunk.len() as u64, sha256: sha256(chunk) }
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

fn one<T>(items: Vec<T>) -> T {
    assert_eq!(items.len(), 1);
    items.into_iter().next().unwrap()
}

async fn ok<T: DeserializeOwned>(response: Response) -> T {
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{url}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The answer is an error of this status, in the one shape.
async fn problem(response: Response, status: StatusCode) -> Problem {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.request_id, id);
    assert!(!problem.error.message.is_empty());
    problem
}

/// Waits for a state, with a limit.
async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !reached().await {
        assert!(begin.elapsed() < LIMIT, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The smallest component that exports an analyzer of contract 1: an empty instance under that name.
fn engine() -> Vec<u8> {
    let name = b"filemill:engine/analyzer@1.0.0";
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    // An instance section: one instance, of no exports.
    component.extend([5, 3, 1, 1, 0]);
    // An export section: that instance, under the name.
    component.extend([11, 6 + name.len() as u8, 1, 0, name.len() as u8]);
    component.extend(name);
    component.extend([5, 0, 0]);
    component
}

/// Objects in the embedded bucket, as files.
fn objects(mill: &Mill) -> Vec<String> {
    let root = mill.dir.path().join("objects/filemill");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
