//! A server, its storage and a processor in one, in memory. It plays by the protocol unless it is told not to.

mod analyse;
mod events;
mod faults;
mod joins;
mod majors;
mod restored;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvancedUpload, Base64, CancelRequest, Cancelled, ChunkWant, DescriptionQuery,
    ErrorBody, ErrorCode, Event, EventKind, Item, JobOutcome, JobStates, OpenAnswer, OpenRequest, OpenUpload,
    OpenedUpload, Outcome, Pools, Problem, Release, Releases, SealedResult, SignedGet, SignedPut, SignedStatement,
    StateRange, UploadState, UploadSummary, Uploads, WaitReason, WhoAmI,
};
use filemill_seal::{Artifact, Digest, Header, Identity, PoolRoot, SealedHeader, Statement};

pub(crate) use analyse::{Batch, Twist};
pub(crate) use faults::{Cheat, Faults, Seen};
use faults::{portal, refusal};
pub(crate) use majors::Speaks;

pub(crate) const TOKEN: &str = "fm_u_secret-token";
/// Of the same user.
pub(crate) const OTHER_TOKEN: &str = "fm_u_other-token";

pub(crate) struct Upload {
    pub(crate) open: OpenUpload,
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) told_header: bool,
    /// Objects by sequence and digest.
    pub(crate) objects: HashMap<(u32, String), Vec<u8>>,
    /// Digests of the chunks that count.
    pub(crate) stored: BTreeMap<u32, String>,
    pub(crate) done: HashSet<u32>,
    pub(crate) cancelled: bool,
    pub(crate) lost: bool,
}

impl Upload {
    pub(crate) fn files(&self) -> u32 {
        self.open.files.iter().map(|range| range.count).sum()
    }

    fn jobs(&self) -> u32 {
        self.files() * self.open.tasks.len() as u32
    }

    /// The release that it was opened for first of all.
    pub(crate) fn release(&self) -> String {
        self.open.tasks[0].releases[0].clone()
    }
}

pub(crate) struct Inner {
    pub(crate) faults: Faults,
    pub(crate) seen: Seen,
    pub(crate) uploads: HashMap<String, Upload>,
    /// In the order of their opening.
    pub(crate) order: Vec<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) pools: Vec<SignedStatement>,
    pub(crate) releases: Vec<Release>,
    /// The longest parameters that processors of the pool take.
    pub(crate) parameters_bytes: Option<u32>,
    /// The formats of headers that processors of the pool read.
    pub(crate) formats: Vec<u8>,
    pub(crate) pool_identity: Identity,
    pub(crate) root: PoolRoot,
    /// What engines make beside their reports.
    pub(crate) artifacts: Vec<Artifact>,
    /// What every engine says of itself: by the processor, and by the server.
    pub(crate) description: Option<(String, String)>,
    /// SHA-256 of the descriptions that the server was asked for.
    pub(crate) described: Vec<String>,
    /// One-time codes.
    pub(crate) joins: joins::Joins,
    /// Those that lie in storage, by digest.
    results: HashMap<String, Vec<u8>>,
    storage: String,
    /// How often the database was restored.
    pub(crate) life: u64,
    /// Marks that were given.
    marks: u64,
    /// Requests that a load balancer has passed on.
    passed_on: u64,
}

#[derive(Clone)]
pub(crate) struct Fake {
    inner: Arc<Mutex<Inner>>,
    pub(crate) address: SocketAddr,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let api = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let storage = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (root, pool_identity) = (PoolRoot::generate(), Identity::generate());
        let inner = Inner {
            faults: Faults::default(),
            seen: Seen::default(),
            uploads: HashMap::new(),
            order: Vec::new(),
            events: Vec::new(),
            pools: Vec::new(),
            releases: vec![usual_release("size", b"component")],
            parameters_bytes: None,
            formats: vec![1, 2],
            pool_identity,
            root,
            artifacts: Vec::new(),
            description: None,
            described: Vec::new(),
            joins: joins::Joins::default(),
            results: HashMap::new(),
            life: 0,
            marks: 0,
            passed_on: 0,
            storage: format!("http://{}", storage.local_addr().unwrap()),
        };
        let fake = Self { inner: Arc::new(Mutex::new(inner)), address: api.local_addr().unwrap() };
        let statement = fake.lock().statement(1);
        fake.lock().pools.push(statement);
        let mut calls = Router::new()
            .route("/v2/releases", get(releases))
            .route("/v2/uploads", post(open).get(uploads))
            .route("/v2/uploads/{upload}", get(upload))
            .route("/v2/events", get(events::events))
            .route("/v2/events/stream", get(events::stream))
            .route("/v2/results/fetch", post(events::fetch))
            .route("/v1/releases", get(majors::releases_v1))
            .route("/v1/uploads", post(majors::open_v1).get(majors::uploads_v1))
            .route("/v1/uploads/{upload}", get(majors::upload_v1))
            .route("/v1/events", get(majors::events_v1))
            .route("/v1/events/stream", get(events::stream_v1))
            .route("/v1/results/fetch", post(majors::fetch_v1));
        for major in ["/v1", "/v2"] {
            calls = calls
                .route(&format!("{major}/joins"), post(joins::redeem))
                .route(&format!("{major}/whoami"), get(whoami))
                .route(&format!("{major}/pools"), get(pools))
                .route(&format!("{major}/releases/{{digest}}/description"), get(description))
                .route(&format!("{major}/uploads/advance"), post(advance))
                .route(&format!("{major}/uploads/cancel"), post(cancel));
        }
        let calls = calls
            .layer(axum::middleware::from_fn_with_state(fake.clone(), guard))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(fake.clone());
        let objects = Router::new()
            .route("/{upload}/{object}/{digest}", axum::routing::put(put))
            .route("/results/{digest}", get(result))
            .layer(DefaultBodyLimit::max(128 << 20))
            .with_state(fake.clone());
        // They end with the test's runtime.
        tokio::spawn(async move { axum::serve(api, calls).await });
        tokio::spawn(async move { axum::serve(storage, objects).await });
        fake
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// The headers of uploads in the order of their opening, as a processor reads them, and what was said of each openly.
    pub(crate) fn headers(&self) -> Vec<(Header, OpenUpload)> {
        let inner = self.lock();
        let of = |id: &String| {
            let upload = &inner.uploads[id];
            let sealed = SealedHeader::from_bytes(upload.header.clone()?).unwrap();
            let header = Header::open(&sealed, std::slice::from_ref(&inner.pool_identity)).unwrap();
            Some((header, upload.open.clone()))
        };
        inner.order.iter().filter_map(of).collect()
    }

    /// Processes what is complete and was held back.
    pub(crate) fn process_all(&self) {
        let mut inner = self.lock();
        inner.faults.hold_results = false;
        for id in inner.order.clone() {
            inner.process(&id);
        }
    }
}

impl Inner {
    pub(crate) fn statement(&self, serial: u64) -> SignedStatement {
        self.statement_for(serial, 3600)
    }

    /// One that is good for so many seconds from now on.
    pub(crate) fn statement_for(&self, serial: u64, seconds: u64) -> SignedStatement {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        self.statement_between(serial, now - 60, now + seconds)
    }

    /// One that is good between two moments, in seconds since 1970.
    pub(crate) fn statement_between(&self, serial: u64, not_before: u64, not_after: u64) -> SignedStatement {
        let recipient = self.pool_identity.recipient();
        let statement = Statement { pool: "main".into(), recipient, not_before, not_after, serial };
        let signed = serde_json::to_value(self.root.sign(&statement).unwrap()).unwrap();
        serde_json::from_value(signed).unwrap()
    }

    fn put_url(&self, path: String, length: u64) -> SignedPut {
        let storage = self.faults.storage_elsewhere.as_ref().unwrap_or(&self.storage);
        SignedPut {
            url: format!("{storage}/{path}?X-Amz-Signature=0"),
            headers: BTreeMap::from([("content-length".to_owned(), length.to_string())]),
            expires_in_s: 900,
        }
    }

    fn chunk_urls(&self, upload: &str, want: &[ChunkWant]) -> Vec<SignedPut> {
        want.iter()
            .map(|chunk| self.put_url(format!("{upload}/{}/{}", chunk.sequence, chunk.sha256), chunk.length))
            .collect()
    }

    fn state(&self, upload: &str) -> UploadState {
        let upload = &self.uploads[upload];
        if upload.cancelled {
            UploadState::Cancelled
        } else if upload.done.len() as u32 == upload.jobs() {
            UploadState::Done
        } else if upload.told_header && upload.stored.len() as u32 == upload.open.chunks {
            UploadState::Stored
        } else {
            UploadState::Uploading
        }
    }

    /// How many files were sent, each as often as it was.
    pub(crate) fn files(&self) -> u32 {
        self.uploads.values().map(Upload::files).sum()
    }

    fn event(&mut self, upload: &str, kind: EventKind) {
        let cursor = self.events.len() as i64 + 1;
        self.marks += 1;
        // As good as random: none is given twice.
        let mark = (!self.faults.old).then(|| format!("{:016x}", self.marks.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        self.events.push(Event { cursor, mark, upload: upload.to_owned(), kind });
    }

    /// Plays the processor for a complete upload.
    fn process(&mut self, id: &str) {
        if self.faults.hold_results || self.state(id) != UploadState::Stored {
            return;
        }
        let lose = self.faults.lose_chunks.clone();
        let upload = self.uploads.get_mut(id).unwrap();
        if !lose.is_empty() && !upload.lost {
            upload.lost = true;
            upload.objects.retain(|(sequence, _), _| !lose.contains(sequence));
        }
        // Also what is said to be stored once more, by a client that has not heard yet that it is gone.
        let there = |(sequence, sha256): (&u32, &String)| upload.objects.contains_key(&(*sequence, sha256.clone()));
        let sequences: Vec<u32> =
            upload.stored.iter().filter(|chunk| !there(*chunk)).map(|(sequence, _)| *sequence).collect();
        if !sequences.is_empty() {
            upload.stored.retain(|sequence, _| !sequences.contains(sequence));
            self.event(id, EventKind::ChunksMissing { sequences });
            return;
        }
        for (mut jobs, mut sealed) in self.analyse(id) {
            if let Some(other) = self.faults.instead.take() {
                sealed = other;
            }
            if let Some(length) = self.faults.cut_at.take() {
                sealed.truncate(length);
            }
            let is_gone = |of: u32| jobs.iter().any(|one| one.job == of);
            let in_storage =
                self.faults.large_results || self.faults.result_not_found.is_some_and(|(of, _)| is_gone(of));
            let mut sealed = Some(if in_storage {
                let sha256 = Digest::of(&sealed).to_string();
                let url = format!("{}/results/{sha256}?X-Amz-Signature=0", self.storage);
                let length = sealed.len() as u64;
                self.results.insert(sha256.clone(), sealed);
                SealedResult::Object(SignedGet { url, length, sha256, expires_in_s: 900 })
            } else {
                SealedResult::Inline(Base64(sealed))
            });
            match self.faults.cheat {
                Cheat::Withhold => sealed = None,
                Cheat::Quarantine => {
                    sealed = None;
                    jobs.iter_mut().for_each(|one| one.outcome = Outcome::Quarantined);
                }
                _ => {}
            }
            self.uploads.get_mut(id).unwrap().done.extend(jobs.iter().map(|one| one.job));
            self.event(id, EventKind::Results { jobs, sealed });
        }
    }

    /// Whether the server that is asked now is one of release 0.1.0.
    fn is_old_now(&mut self) -> bool {
        self.passed_on += 1;
        match self.faults.speaks {
            Speaks::Both => self.faults.old,
            Speaks::OnlyOne | Speaks::OnlyOneByProxy => true,
            Speaks::InTurn => self.passed_on % 2 == 1,
        }
    }
}

/// Version 1.0.0 of an engine, in use, which nobody has described.
pub(crate) fn usual_release(engine: &str, component: &[u8]) -> Release {
    let release = serde_json::json!({
        "engine": engine, "version": "1.0.0", "digest": Digest::of(component).to_string(),
        "contract": 1, "length": 9, "current": true,
    });
    serde_json::from_value(release).unwrap()
}

fn problem(status: StatusCode, code: ErrorCode, message: &str) -> Response {
    let error = ErrorBody { code, message: message.into(), hint: None };
    (status, Json(Problem { error, request_id: "1".into() })).into_response()
}

async fn guard(State(fake): State<Fake>, request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let is_token = |value: &HeaderValue| [TOKEN, OTHER_TOKEN].iter().any(|token| value == &format!("Bearer {token}"));
    let authorised =
        request.headers().get("authorization").is_some_and(is_token) || request.uri().path().ends_with("/joins");
    let is_v1 = request.uri().path().starts_with("/v1/");
    while fake.lock().faults.hang_calls {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    {
        let mut inner = fake.lock();
        if !authorised || inner.faults.revoked {
            return problem(StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated, "this token is unknown or revoked");
        }
        match is_v1 {
            true => inner.seen.by_major.0 += 1,
            false => inner.seen.by_major.1 += 1,
        }
        if inner.faults.speaks == Speaks::OnlyOneByProxy && !is_v1 {
            return (StatusCode::NOT_FOUND, "404 page not found").into_response();
        }
        if inner.is_old_now() && !is_v1 {
            return problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is nothing at this path");
        }
        if inner.faults.portal > 0 {
            inner.faults.portal -= 1;
            return portal(inner.faults.portal);
        }
        if inner.faults.busy_calls > 0 {
            inner.faults.busy_calls -= 1;
            let mut busy = problem(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable, "starting");
            if let Some(seconds) = inner.faults.retry_after {
                busy.headers_mut().insert("retry-after", seconds.parse().unwrap());
            }
            return busy;
        }
    }
    let mut response = next.run(request).await;
    if let Some(date) = fake.lock().faults.date {
        response.headers_mut().insert("date", date.parse().unwrap());
    }
    response
}

async fn whoami(State(fake): State<Fake>) -> Json<WhoAmI> {
    let inner = fake.lock();
    let storage_origins = inner.faults.storage_origins.clone().unwrap_or_else(|| vec![inner.storage.clone()]);
    let (organisation, user, scope) = ("acme".into(), "ada".into(), "user".into());
    Json(WhoAmI { organisation, user, scope, pool: None, server: "0".into(), storage_origins })
}

async fn pools(State(fake): State<Fake>) -> Json<Pools> {
    Json(Pools { pools: fake.lock().pools.clone() })
}

async fn releases(State(fake): State<Fake>) -> Json<Releases> {
    let inner = fake.lock();
    let (releases, formats) = (inner.releases.clone(), inner.formats.clone());
    Json(Releases { releases, parameters_bytes: inner.parameters_bytes, formats })
}

async fn description(State(fake): State<Fake>, Query(query): Query<DescriptionQuery>) -> Response {
    let mut inner = fake.lock();
    inner.described.extend(query.sha256);
    match &inner.description {
        Some((_, said)) => ([(CONTENT_TYPE, "application/json")], said.clone()).into_response(),
        None => problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is no description"),
    }
}

async fn open(State(fake): State<Fake>, Json(request): Json<OpenRequest>) -> Json<OpenAnswer> {
    while fake.lock().faults.hang_opens {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut inner = fake.lock();
    inner.seen.opens += 1;
    let mut answers = Vec::new();
    for open in request.uploads {
        let id = open.id.clone();
        if let Some(body) = refusal(&mut inner.faults.refused_opens) {
            answers.push(Item::Error(body));
            continue;
        }
        let want = open.want.clone();
        if !inner.uploads.contains_key(&id) {
            inner.order.push(id.clone());
            let upload = Upload {
                open,
                header: None,
                told_header: false,
                objects: HashMap::new(),
                stored: BTreeMap::new(),
                done: HashSet::new(),
                cancelled: false,
                // Of a database that was restored nobody knows what storage has.
                lost: inner.life > 0,
            };
            inner.uploads.insert(id.clone(), upload);
        }
        let upload = &inner.uploads[&id];
        let header = (!upload.told_header)
            .then(|| inner.put_url(format!("{id}/header/{}", upload.open.header_sha256), upload.open.header_length));
        let stored = upload.stored.keys().map(|sequence| (*sequence, *sequence)).collect();
        let state = inner.state(&id);
        answers.push(Item::Ok(OpenedUpload { header, chunks: inner.chunk_urls(&id, &want), stored, state }));
    }
    Json(OpenAnswer { uploads: answers, limits: Default::default() })
}

async fn advance(State(fake): State<Fake>, Json(request): Json<AdvanceRequest>) -> Json<AdvanceAnswer> {
    let mut inner = fake.lock();
    inner.seen.advances += 1;
    let mut answers = Vec::new();
    for advance in request.uploads {
        let id = advance.id;
        if let Some(body) = refusal(&mut inner.faults.refused_advances) {
            answers.push(Item::Error(body));
            continue;
        }
        let Some(upload) = inner.uploads.get_mut(&id) else {
            let body = ErrorBody { code: ErrorCode::NotFound, message: "no such upload".into(), hint: None };
            answers.push(Item::Error(body));
            continue;
        };
        if advance.header_stored {
            assert!(upload.header.is_some(), "told of a header that is not there");
            upload.told_header = true;
        }
        for chunk in &advance.stored {
            let object = upload.objects.get(&(chunk.sequence, chunk.sha256.clone()));
            assert!(
                upload.lost || object.is_some_and(|object| object.len() as u64 == chunk.length),
                "told of a chunk that is not there"
            );
            upload.stored.insert(chunk.sequence, chunk.sha256.clone());
        }
        let chunks = inner.chunk_urls(&id, &advance.want);
        let state = inner.state(&id);
        answers.push(Item::Ok(AdvancedUpload { chunks, state }));
        inner.process(&id);
    }
    Json(AdvanceAnswer { uploads: answers })
}

async fn cancel(State(fake): State<Fake>, Json(request): Json<CancelRequest>) -> Json<Cancelled> {
    let mut inner = fake.lock();
    inner.seen.cancels += 1;
    let mut answers = Vec::new();
    for id in request.uploads {
        let Some(upload) = inner.uploads.get(&id) else {
            answers.push(Item::Error(ErrorBody {
                code: ErrorCode::NotFound,
                message: "there is no such upload".into(),
                hint: None,
            }));
            continue;
        };
        let jobs = upload.jobs();
        let upload = inner.uploads.get_mut(&id).unwrap();
        let open = (0..jobs).filter(|job| upload.done.insert(*job));
        let jobs: Vec<_> = open.map(|job| JobOutcome { job, outcome: Outcome::Cancelled }).collect();
        let cancelled = jobs.len() as u32;
        if cancelled > 0 {
            inner.event(&id, EventKind::Results { jobs, sealed: None });
        }
        inner.uploads.get_mut(&id).unwrap().cancelled = true;
        answers.push(Item::Ok(cancelled));
    }
    Json(Cancelled { uploads: answers })
}

async fn uploads(State(fake): State<Fake>) -> Json<Uploads> {
    let inner = fake.lock();
    let open = inner.order.iter().filter(|id| !matches!(inner.state(id), UploadState::Done | UploadState::Cancelled));
    Json(Uploads { uploads: open.map(|id| inner.summary(id)).collect(), next: None })
}

async fn upload(State(fake): State<Fake>, Path(id): Path<String>) -> Response {
    upload_states(&fake, &id).map_or_else(|refusal| *refusal, |states| Json(states).into_response())
}

fn upload_states(fake: &Fake, id: &str) -> Result<JobStates, Box<Response>> {
    let mut inner = fake.lock();
    inner.seen.asked_about += 1;
    if !inner.uploads.contains_key(id) {
        return Err(Box::new(problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "no such upload")));
    }
    let upload = inner.summary(id);
    let reason = match upload.state {
        UploadState::Uploading => WaitReason::Uploading,
        _ => WaitReason::NoProcessor { lacks: inner.faults.lacks.clone() },
    };
    let is_over = matches!(upload.state, UploadState::Done | UploadState::Cancelled);
    let count = upload.files * upload.tasks;
    let waiting = if is_over { Vec::new() } else { vec![StateRange { first_job: 0, count, reason }] };
    Ok(JobStates { upload, waiting })
}

impl Inner {
    fn summary(&self, id: &str) -> UploadSummary {
        let upload = &self.uploads[id];
        UploadSummary {
            id: id.to_owned(),
            state: self.state(id),
            files: upload.files(),
            tasks: upload.open.tasks.len() as u32,
            done: upload.done.len() as u32,
            chunks: upload.open.chunks,
            stored: upload.stored.len() as u32,
        }
    }
}

async fn result(State(fake): State<Fake>, Path(digest): Path<String>) -> Response {
    let mut inner = fake.lock();
    if let Some((_, times)) = &mut inner.faults.result_not_found
        && *times > 0
    {
        *times = if *times == u32::MAX { *times } else { *times - 1 };
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response();
    }
    let mut bytes = inner.results[&digest].clone();
    if inner.faults.damaged_downloads > 0 {
        inner.faults.damaged_downloads -= 1;
        *bytes.last_mut().unwrap() ^= 1;
    }
    bytes.into_response()
}

async fn put(
    State(fake): State<Fake>,
    Path((id, object, digest)): Path<(String, String, String)>,
    body: Bytes,
) -> Response {
    let number = {
        let mut inner = fake.lock();
        inner.seen.puts += 1;
        inner.seen.puts
    };
    while fake.lock().faults.hang_puts_from.is_some_and(|from| number >= from) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut inner = fake.lock();
    if let Some(answer) = inner.faults.instead_of_storing() {
        return answer;
    }
    if Digest::of(&body).to_string() != digest {
        return (StatusCode::BAD_REQUEST, "<Error><Code>BadDigest</Code></Error>").into_response();
    }
    let upload = inner.uploads.get_mut(&id).unwrap();
    match object.as_str() {
        "header" => upload.header = Some(body.to_vec()),
        sequence => {
            upload.objects.insert((sequence.parse().unwrap(), digest), body.to_vec());
        }
    }
    StatusCode::OK.into_response()
}
