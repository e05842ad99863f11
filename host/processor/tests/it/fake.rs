//! A server and a storage service in this process, which do as a test says: the node's view of a hostile world.

mod world;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use filemill_api::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::world::{Reply, Said, Speaks, World};
use super::http::{Answer, Request, serve};

pub(crate) const TOKEN: &str = "a-processor's-token";

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The fake. Its servers end when it is dropped.
#[derive(Clone)]
pub(crate) struct Fake {
    world: Arc<Mutex<World>>,
    changes: watch::Sender<u64>,
    pub(crate) server: String,
    pub(crate) storage: String,
    /// An origin that is not configured; nobody should ever come.
    pub(crate) elsewhere: String,
    _running: Arc<Running>,
}

struct Running {
    stop: CancellationToken,
    _tasks: TaskTracker,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let [server, storage, elsewhere] = [listen().await, listen().await, listen().await];
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let world = World {
            scope: "processor".into(),
            pool: Some("lab".into()),
            lease_ms: 5000,
            storage: address(&storage),
            ..World::default()
        };
        let fake = Self {
            world: Arc::new(Mutex::new(world)),
            changes: watch::Sender::new(0),
            server: address(&server),
            storage: address(&storage),
            elsewhere: address(&elsewhere),
            _running: Arc::new(Running { stop: stop.clone(), _tasks: tasks.clone() }),
        };
        for (listener, origin) in [(storage, ""), (elsewhere, "elsewhere")] {
            let handle = fake.handle();
            tasks.spawn(serve(listener, stop.clone(), move |request| {
                let handle = handle.clone();
                async move { handle.object(origin, request) }
            }));
        }
        let handle = fake.handle();
        tasks.spawn(serve(server, stop, move |request| {
            let handle = handle.clone();
            async move { handle.api(request).await }
        }));
        fake
    }

    fn handle(&self) -> Handle {
        Handle { world: Arc::clone(&self.world), changes: self.changes.clone() }
    }

    /// Reads or changes the world.
    pub(crate) fn world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.handle().change(change)
    }

    /// Puts an object into storage and gives the presigned GET of it.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) -> SignedGet {
        self.world(|world| world.objects.insert(key.to_owned(), VecDeque::from([Reply::Bytes(bytes.to_vec())])));
        SignedGet {
            url: format!("{}/{key}?X-Amz-Signature=fake", self.storage),
            length: bytes.len() as u64,
            sha256: filemill_seal::Digest::of(bytes).to_string(),
            expires_in_s: 900,
        }
    }

    /// What storage answers for a key from now on: each reply once, the last for ever.
    pub(crate) fn replies(&self, key: &str, replies: impl IntoIterator<Item = Reply>) {
        self.world(|world| world.objects.insert(key.to_owned(), replies.into_iter().collect()));
    }

    /// Offers an upload to whoever leases next.
    pub(crate) fn offer(&self, leased: LeasedUpload, chunks: Vec<ChunkUrl>) {
        self.world(|world| {
            for span in &leased.spans {
                world.span_sizes.insert(span.span, span.jobs.len());
                world.chunks.insert(span.span, chunks.clone());
            }
            world.offers.push_back(leased);
        });
    }

    /// Waits until the world is so.
    pub(crate) async fn until<T>(&self, what: &str, mut found: impl FnMut(&World) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if let Some(value) = found(&self.handle().lock()) {
                    return value;
                }
                changes.changed().await.expect("the fake lives");
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(value) => value,
            Err(_) => panic!("waited in vain for: {what}; the node said {:#?}", self.handle().lock().said),
        }
    }

    /// Waits for the result that answers a job.
    pub(crate) async fn completion(&self, span: i64, job: u32) -> SpanResult {
        self.until(&format!("completion of job {job} of span {span}"), |world| {
            world.said.iter().find_map(|said| match said {
                Said::Completed(key, results) if key.span == span => {
                    results.iter().find(|result| result.jobs.iter().any(|ended| ended.job == job)).cloned()
                }
                _ => None,
            })
        })
        .await
    }

    /// All results of a span that were recorded so far.
    pub(crate) fn results(&self, span: i64) -> Vec<SpanResult> {
        self.world(|world| {
            let results = world.said.iter().filter_map(|said| match said {
                Said::Completed(key, results) if key.span == span => Some(results.clone()),
                _ => None,
            });
            results.flatten().collect()
        })
    }

    /// Waits until a span is handed back, and says why.
    pub(crate) async fn returned(&self, span: i64) -> ReturnReason {
        self.until(&format!("return of span {span}"), |world| {
            world.said.iter().find_map(|said| match said {
                Said::Returned(key, reason) if key.span == span => Some(*reason),
                _ => None,
            })
        })
        .await
    }

    /// Waits until the header of a span is reported missing.
    pub(crate) async fn no_header(&self, span: i64) {
        self.until(&format!("missing header of span {span}"), |world| {
            world.said.iter().find_map(|said| matches!(said, Said::NoHeader(key) if key.span == span).then_some(()))
        })
        .await
    }

    /// Waits until chunks of a span are reported missing.
    pub(crate) async fn missing(&self, span: i64) -> Vec<(u32, String)> {
        self.until(&format!("missing chunks of span {span}"), |world| {
            world.said.iter().find_map(|said| match said {
                Said::Missing(key, chunks) if key.span == span => Some(chunks.clone()),
                _ => None,
            })
        })
        .await
    }
}

/// What the routes share.
#[derive(Clone)]
struct Handle {
    world: Arc<Mutex<World>>,
    changes: watch::Sender<u64>,
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics under the lock")
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let value = change(&mut self.lock());
        self.changes.send_modify(|n| *n += 1);
        value
    }

    /// Waits up to `wait_ms` until the world has something to say.
    async fn within<T>(&self, wait_ms: u32, mut found: impl FnMut(&mut World) -> Option<T>) -> Option<T> {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                if let Some(value) = found(&mut self.lock()) {
                    return value;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_millis(wait_ms.into()), waiting).await.ok()
    }

    /// The server's API.
    async fn api(&self, request: Request) -> Answer {
        let answer = self.answer(request).await;
        // It is said when the answer is sent.
        let date = self.lock().date_ahead.map(|ahead| http_date(super::mill::now().cast_signed() + ahead));
        Answer { date, ..answer }
    }

    async fn answer(&self, request: Request) -> Answer {
        let old = paths::is_v1(&request.path);
        let has_version_2 = self.change(|world| {
            *world.calls.entry(request.path.clone()).or_default() += 1;
            world.requests += 1;
            match world.speaks {
                Speaks::Both => true,
                Speaks::One => false,
                Speaks::InTurn => world.requests.is_multiple_of(2),
            }
        });
        let is_known = old || has_version_2;
        // The same call in version 2.
        let path = if old { request.path.replacen("/v1/", "/v2/", 1) } else { request.path.clone() };
        if path == paths::JOINS {
            let nothing = || problem(404, ErrorCode::NotFound, "there is nothing at this path");
            return if is_known { self.join(&request) } else { nothing() };
        }
        if request.authorization != format!("Bearer {TOKEN}") {
            return problem(401, ErrorCode::Unauthenticated, "unknown token");
        }
        if !is_known {
            return problem(404, ErrorCode::NotFound, "there is nothing at this path");
        }
        let path = path.as_str();
        let down = self.change(|world| match world.unavailable.get_mut(path) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        });
        if down {
            return problem(503, ErrorCode::Unavailable, "starting");
        }
        if self.lock().conflicts.contains(path) {
            self.change(|world| world.said.push(Said::Refused(path.to_owned())));
            if let Some(code) = self.lock().newer_code {
                let error = serde_json::json!({ "code": code, "message": "it is too old", "request_id": "1" });
                return Answer::json(409, &error);
            }
            return problem(409, ErrorCode::Conflict, "it exists and differs");
        }
        match path {
            paths::WHOAMI => self.whoami(),
            paths::POOLS if request.method == "GET" => Answer::json(200, &Pools { pools: self.lock().pools.clone() }),
            paths::POOLS => self.publish(&read(&request)),
            paths::LEASES => {
                let answer = self.lease(heard::<_, v1::LeaseRequest>(&request, old)).await;
                said::<_, v1::LeaseAnswer>(answer, old)
            }
            paths::LEASE_CHUNKS => Answer::json(200, &self.chunks(heard::<_, v1::ChunksRequest>(&request, old)).await),
            paths::LEASE_REPORT => {
                let answer = self.report(&heard::<_, v1::ReportRequest>(&request, old));
                said::<_, v1::ReportAnswer>(answer, old)
            }
            paths::LEASE_RETURN => {
                let answer = self.hand_back(&heard::<_, v1::ReturnRequest>(&request, old));
                said::<_, v1::ReportAnswer>(answer, old)
            }
            paths::LEASE_MISSING => {
                let answer = self.missing(heard::<_, v1::MissingRequest>(&request, old));
                said::<_, v1::ReportAnswer>(answer, old)
            }
            paths::RESULTS => Answer::json(200, &self.complete(heard::<_, v1::CompleteRequest>(&request, old))),
            paths::RESULT_URLS => {
                Answer::json(200, &self.result_urls(&heard::<_, v1::ResultUrlRequest>(&request, old)))
            }
            path if path.starts_with("/v2/pools/") => self.engines(read(&request)),
            path if path.ends_with("/description") && request.method == "PUT" => {
                let digest = path.split('/').nth(3).unwrap_or_default().to_owned();
                let document = String::from_utf8_lossy(&request.body).into_owned();
                self.change(|world| world.described.push((digest, document)));
                Answer::status(204)
            }
            path if path.ends_with("/component") => self.component(path.split('/').nth(3).unwrap_or_default()),
            _ => problem(404, ErrorCode::NotFound, "no such thing"),
        }
    }

    fn component(&self, digest: &str) -> Answer {
        let world = self.lock();
        match world.components.get(digest).or(world.component.as_ref()).cloned() {
            Some(get) => Answer::json(200, &ComponentUrl { get }),
            None => problem(404, ErrorCode::NotFound, "no such thing"),
        }
    }

    fn join(&self, request: &Request) -> Answer {
        assert_eq!(request.authorization, "", "nobody has a token yet");
        let request: JoinRequest = read(request);
        self.change(|world| {
            world.joins.push(request.clone());
            if let Some(code) = world.join_refusals.pop_front() {
                return problem(code.status(), code, "not now");
            }
            let code = join_code(&request.code);
            if code.is_none() || code != world.code.as_deref().and_then(join_code) {
                return problem(404, ErrorCode::NotFound, "there is no such one-time code");
            }
            if world.redeemer.get_or_insert_with(|| request.redeemer.clone()) != &request.redeemer {
                return problem(409, ErrorCode::Conflict, "the one-time code has been used");
            }
            if world.lost_joins > 0 {
                world.lost_joins -= 1;
                return Answer { cut_off: true, ..Answer::json(200, &"lost") };
            }
            let (scope, pool, login) = (world.scope.clone(), world.pool.clone(), world.login.clone());
            let (organisation, user) = ("lab".into(), "node".into());
            let token = world.token.clone().unwrap_or_else(|| TOKEN.into());
            Answer::json(200, &JoinAnswer { token, organisation, user, scope, pool, login })
        })
    }

    fn whoami(&self) -> Answer {
        let (scope, pool, storage_origins) = self.change(|world| {
            world.whoami_calls += 1;
            (world.scope.clone(), world.pool.clone(), world.stores_on.clone())
        });
        let (organisation, user, server) = ("lab".into(), "node".into(), "0.0.0".into());
        Answer::json(200, &WhoAmI { organisation, user, scope, pool, server, storage_origins })
    }

    fn publish(&self, request: &PublishPool) -> Answer {
        let serial = |signed: &SignedStatement| {
            serde_json::from_str::<serde_json::Value>(&signed.statement).expect("JSON")["serial"].as_u64()
        };
        if self.lock().root.as_ref().is_some_and(|root| Some(root) != request.root.as_ref()) {
            return problem(409, ErrorCode::Conflict, "the statement counts for nothing");
        }
        if self.lock().pools.iter().any(|pool| serial(pool) > serial(&request.pool)) {
            return problem(409, ErrorCode::Conflict, "it was replaced");
        }
        self.change(|world| world.said.push(Said::Published(request.pool.clone())));
        Answer::status(204)
    }

    /// Engines are seen once their component is stored.
    fn engines(&self, request: OfferRequest) -> Answer {
        let storage = self.lock().storage.clone();
        let one = |world: &mut World, offer: &Offer| {
            if let Some(left) = world.refused_offers.get_mut(&offer.name).filter(|left| **left > 0) {
                *left -= 1;
                let message = "not now".to_owned();
                return Item::Error(ErrorBody { code: ErrorCode::Unavailable, message, hint: None });
            }
            let key = format!("engine/{}", offer.digest);
            let visible = world.stored.contains_key(&key);
            let headers = [("content-length".to_owned(), offer.length.to_string())].into();
            let put = (!visible).then(|| SignedPut { url: format!("{storage}/{key}"), headers, expires_in_s: 900 });
            Item::Ok(OfferState { visible, put })
        };
        let engines = self.change(|world| {
            let engines = request.engines.iter().map(|offer| one(world, offer)).collect();
            if request.stopping {
                world.said.push(Said::SignedOff);
            }
            world.offered.push(request.engines);
            engines
        });
        Answer::json(200, &OfferAnswer { engines })
    }

    async fn lease(&self, request: LeaseRequest) -> LeaseAnswer {
        let wait_ms = if self.lock().never_held { 0 } else { request.wait_ms };
        let has_told = request.told.is_some();
        let (lacks, describe, lease_ms) = self.change(|world| {
            world.said.push(Said::Leased(request));
            let mut describe = std::mem::take(&mut world.describe);
            let lacks = if has_told { std::mem::take(&mut world.lacks) } else { Vec::new() };
            if has_told {
                describe.append(&mut world.lacks_descriptions);
            }
            (lacks, describe, world.lease_ms)
        });
        if !lacks.is_empty() || !describe.is_empty() {
            return LeaseAnswer { uploads: Vec::new(), lease_ms, describe, lacks };
        }
        let give = |world: &mut World| {
            let offer = world.offers.pop_front()?;
            world.speaks = world.speaks_then.take().unwrap_or(world.speaks);
            Some(offer)
        };
        let offer = self.within(wait_ms, give).await;
        let uploads = offer.into_iter().collect();
        LeaseAnswer { uploads, lease_ms, describe: Vec::new(), lacks: Vec::new() }
    }

    async fn chunks(&self, request: ChunksRequest) -> ChunksAnswer {
        let stored = |world: &mut World| {
            let known = world.chunks.get(&request.lease.span)?;
            let found = (request.from..request.from.saturating_add(request.count))
                .map_while(|sequence| known.iter().find(|chunk| chunk.sequence == sequence).cloned());
            Some(found.collect::<Vec<_>>()).filter(|found| !found.is_empty())
        };
        ChunksAnswer { chunks: self.within(request.wait_ms, stored).await.unwrap_or_default() }
    }

    fn report(&self, request: &ReportRequest) -> ReportAnswer {
        self.change(|world| {
            world.reports += 1;
            for report in &request.leases {
                if !report.started.is_empty() {
                    world.said.push(Said::Started(report.lease, report.started.clone()));
                }
            }
            let named = |spans: &HashSet<i64>| {
                let keys = request.leases.iter().map(|report| report.lease);
                keys.filter(|key| spans.contains(&key.span)).collect::<Vec<_>>()
            };
            ReportAnswer { cancelled: named(&world.cancelled), lost: named(&world.lost), lease_ms: world.lease_ms }
        })
    }

    fn hand_back(&self, request: &ReturnRequest) -> ReportAnswer {
        let said = request.leases.iter().map(|back| Said::Returned(back.lease, back.reason));
        self.change(|world| world.said.extend(said));
        ReportAnswer::default()
    }

    fn missing(&self, request: MissingRequest) -> ReportAnswer {
        let MissingRequest { lease, chunks, header, .. } = request;
        let said = if header { Said::NoHeader(lease) } else { Said::Missing(lease, chunks) };
        self.change(|world| world.said.push(said));
        ReportAnswer::default()
    }

    fn complete(&self, request: CompleteRequest) -> CompleteAnswer {
        let one = |world: &mut World, complete: Complete| {
            let span = complete.lease.span;
            if world.fenced.contains(&span) {
                let message = "the lease has passed to another".to_owned();
                return Item::Error(ErrorBody { code: ErrorCode::Fenced, message, hint: None });
            }
            let recorded = complete.results.iter().map(|result| result.jobs.len()).sum::<usize>();
            let done = world.completed.entry(span).or_default();
            *done += recorded;
            let ended = Some(&*done) == world.span_sizes.get(&span);
            world.said.push(Said::Completed(complete.lease, complete.results));
            Item::Ok(Completed { recorded: recorded as u32, ended })
        };
        let leases = self.change(|world| request.leases.into_iter().map(|complete| one(world, complete)).collect());
        CompleteAnswer { leases }
    }

    fn result_urls(&self, request: &ResultUrlRequest) -> ResultUrls {
        let storage = self.change(|world| world.results_to.clone().unwrap_or_else(|| world.storage.clone()));
        let put = |want: &WantResult| {
            let url = format!("{storage}/result/{}", want.sha256);
            let headers = [("content-length".to_owned(), want.length.to_string())].into();
            Item::Ok(SignedPut { url, headers, expires_in_s: 900 })
        };
        ResultUrls { results: request.results.iter().map(put).collect() }
    }

    /// Storage: serves what the world holds under the path, and takes what is put there.
    fn object(&self, origin: &str, request: Request) -> Answer {
        let key = format!("{origin}{}", request.path.trim_start_matches('/'));
        let reply = self.change(|world| {
            *world.fetched.entry(key.clone()).or_default() += 1;
            if request.method == "PUT" {
                if let Some(reply) = &world.put_reply {
                    return Some(reply.clone());
                }
                world.stored.insert(key.clone(), request.body);
                return Some(Reply::Status(200));
            }
            let replies = world.objects.get_mut(&key)?;
            if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
        });
        match reply.unwrap_or(Reply::Status(404)) {
            Reply::Bytes(body) => Answer { body, ..Answer::status(200) },
            Reply::Status(status) => {
                Answer { body: b"<Error><Code>Fake</Code></Error>".to_vec(), ..Answer::status(status) }
            }
            Reply::Portal(status) => Answer { is_page: true, body: b"log in".to_vec(), ..Answer::status(status) },
            Reply::Redirect(to) => Answer { location: Some(to), ..Answer::status(307) },
            Reply::CutOff(body) => Answer { body, cut_off: true, ..Answer::status(200) },
        }
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

fn read<T: DeserializeOwned>(request: &Request) -> T {
    serde_json::from_slice(&request.body).expect("a request of the API")
}

/// A request of the version that it came by, in the words of version 2.
fn heard<T: DeserializeOwned, Old: DeserializeOwned + Into<T>>(request: &Request, old: bool) -> T {
    if old { read::<Old>(request).into() } else { read(request) }
}

/// An answer in the version that was asked by.
fn said<T: Serialize, Old: Serialize + From<T>>(answer: T, old: bool) -> Answer {
    if old { Answer::json(200, &Old::from(answer)) } else { Answer::json(200, &answer) }
}

fn problem(status: u16, code: ErrorCode, message: &str) -> Answer {
    let error = ErrorBody { code, message: message.to_owned(), hint: None };
    Answer::json(status, &Problem { error, request_id: "1".to_owned() })
}

/// A moment as servers write it into the header `Date`.
fn http_date(seconds: i64) -> String {
    // Days since 0000-03-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 2, 0) } else { (month - 10, 1) };
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month as usize];
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("Mon, {day:02} {name} {:04} {hour:02}:{minute:02}:{second:02} GMT", year + era * 400 + later)
}
