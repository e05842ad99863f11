//! A server and a storage service in this process, which do as a test says: the node's view of a hostile world.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use filemill_api::paths::v1 as paths;
use filemill_api::v1::{
    ChunksRequest, Complete, CompleteRequest, Completion, LeaseAnswer, LeaseRequest, LeasedUpload, MissingRequest,
    ReportAnswer, ReportRequest, ResultUrlRequest, ReturnRequest, RunKey, WantResult,
};
use filemill_api::*;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http::{Answer, Request, serve};

pub(crate) const TOKEN: &str = "a-processor's-token";

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What storage answers for an object.
#[derive(Clone)]
pub(crate) enum Reply {
    Bytes(Vec<u8>),
    /// Storage's own.
    Status(u16),
    /// Something in storage's place.
    Portal(u16),
    Redirect(String),
    /// Announces the length and breaks off before it.
    CutOff(Vec<u8>),
}

/// What the node said, in order.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Started(RunKey, Vec<u32>),
    Completed(RunKey, Vec<Completion>),
    Returned(RunKey, ReturnReason),
    Missing(RunKey, Vec<(u32, String)>),
    NoHeader(RunKey),
    Published(SignedStatement),
    Leased(LeaseRequest),
    /// It asks for no more work, and offers nothing.
    SignedOff,
    /// A call that was answered with 409.
    Refused(String),
}

/// How the fake behaves, and what it saw.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) scope: String,
    /// The pool that its token is for.
    pub(crate) pool: Option<String>,
    /// The one-time code that is good, and by whom it was redeemed.
    pub(crate) code: Option<String>,
    pub(crate) redeemer: Option<String>,
    /// What comes with it, if not a usual code.
    pub(crate) login: Option<LoginCode>,
    /// So many answers to whoever redeems it are lost.
    pub(crate) lost_joins: u32,
    /// What the code gives, if not the usual token.
    pub(crate) token: Option<String>,
    /// What whoever shows the code is answered first.
    pub(crate) join_refusals: VecDeque<ErrorCode>,
    pub(crate) joins: Vec<JoinRequest>,
    pub(crate) lease_ms: u32,
    storage: String,
    /// Where the server says that it stores.
    pub(crate) stores_on: Vec<String>,
    pub(crate) offers: VecDeque<LeasedUpload>,
    pub(crate) component: Option<SignedGet>,
    /// URLs of stored chunks, by run.
    pub(crate) chunks: HashMap<i64, Vec<ChunkUrl>>,
    pub(crate) objects: HashMap<String, VecDeque<Reply>>,
    pub(crate) lost: HashSet<i64>,
    pub(crate) cancelled: HashSet<i64>,
    /// Runs whose completions are fenced off.
    pub(crate) fenced: HashSet<i64>,
    /// Calls to the API that are answered with 503 first.
    pub(crate) unavailable: HashMap<String, u32>,
    /// Calls to the API that are answered with 409.
    pub(crate) conflicts: HashSet<String>,
    /// The code of these answers, if it is one of a newer server's.
    pub(crate) newer_code: Option<&'static str>,
    /// What storage answers whoever puts something, if not 200.
    pub(crate) put_reply: Option<Reply>,
    /// Where large results are to be put, if not to the storage that is configured.
    pub(crate) results_to: Option<String>,
    pub(crate) said: Vec<Said>,
    /// Requests for each object.
    pub(crate) fetched: HashMap<String, u32>,
    pub(crate) stored: HashMap<String, Vec<u8>>,
    pub(crate) reports: u32,
    /// How often the node asked who it is; its answer says what time it is, too.
    pub(crate) whoami_calls: u32,
    /// Whether a question for work is answered at once, with nothing if there is nothing.
    pub(crate) never_held: bool,
    /// Each list of engines that the node offered.
    pub(crate) offered: Vec<Vec<Offer>>,
    /// Offers of these names are refused that often.
    pub(crate) refused_offers: HashMap<String, u32>,
    /// By how many seconds the server's clock is ahead of this machine's, if it says what time it is.
    pub(crate) date_ahead: Option<i64>,
    /// The root whose statements it takes, hex, if it knows one.
    pub(crate) root: Option<String>,
    /// Statements that the server has, beside the node's.
    pub(crate) pools: Vec<SignedStatement>,
    /// What the server says that it lacks, the next time that a node names what it told.
    pub(crate) lacks: Vec<String>,
    /// As above, of descriptions.
    pub(crate) lacks_descriptions: Vec<String>,
    /// Releases that the server asks the next node to describe.
    pub(crate) describe: Vec<String>,
    /// Descriptions that nodes gave, by release.
    pub(crate) described: Vec<(String, String)>,
    completed: HashMap<i64, usize>,
    run_sizes: HashMap<i64, usize>,
}

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
            for run in &leased.runs {
                world.run_sizes.insert(run.run, run.indexes.len());
                world.chunks.insert(run.run, chunks.clone());
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

    /// Waits for the completion of a file.
    pub(crate) async fn completion(&self, run: i64, index: u32) -> Completion {
        self.until(&format!("completion of file {index} of run {run}"), |world| {
            world.said.iter().find_map(|said| match said {
                Said::Completed(key, jobs) if key.run == run => jobs.iter().find(|job| job.index == index).cloned(),
                _ => None,
            })
        })
        .await
    }

    /// Waits until a run is handed back, and says why.
    pub(crate) async fn returned(&self, run: i64) -> ReturnReason {
        self.until(&format!("return of run {run}"), |world| {
            world.said.iter().find_map(|said| match said {
                Said::Returned(key, reason) if key.run == run => Some(*reason),
                _ => None,
            })
        })
        .await
    }

    /// Waits until the header of a run is reported missing.
    pub(crate) async fn no_header(&self, run: i64) {
        self.until(&format!("missing header of run {run}"), |world| {
            world.said.iter().find_map(|said| matches!(said, Said::NoHeader(key) if key.run == run).then_some(()))
        })
        .await
    }

    /// Waits until chunks of a run are reported missing.
    pub(crate) async fn missing(&self, run: i64) -> Vec<(u32, String)> {
        self.until(&format!("missing chunks of run {run}"), |world| {
            world.said.iter().find_map(|said| match said {
                Said::Missing(key, chunks) if key.run == run => Some(chunks.clone()),
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
        if request.path == paths::JOINS {
            return self.join(&request);
        }
        if request.authorization != format!("Bearer {TOKEN}") {
            return problem(401, ErrorCode::Unauthenticated, "unknown token");
        }
        let path = request.path.as_str();
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
            paths::LEASES => self.lease(read(&request)).await,
            paths::LEASE_CHUNKS => self.chunks(read(&request)).await,
            paths::LEASE_REPORT => self.report(&read(&request)),
            paths::LEASE_RETURN => self.hand_back(&read(&request)),
            paths::LEASE_MISSING => self.missing(read(&request)),
            paths::RESULTS => self.complete(read(&request)),
            paths::RESULT_URLS => self.result_urls(&read(&request)),
            path if path.starts_with("/v1/pools/") => self.engines(read(&request)),
            path if path.ends_with("/description") && request.method == "PUT" => {
                let digest = path.split('/').nth(3).unwrap_or_default().to_owned();
                let document = String::from_utf8_lossy(&request.body).into_owned();
                self.change(|world| world.described.push((digest, document)));
                Answer::status(204)
            }
            _ => match self.lock().component.clone() {
                Some(get) if path.ends_with("/component") => Answer::json(200, &ComponentUrl { get }),
                _ => problem(404, ErrorCode::NotFound, "no such thing"),
            },
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

    async fn lease(&self, request: LeaseRequest) -> Answer {
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
            return Answer::json(200, &LeaseAnswer { uploads: Vec::new(), lease_ms, describe, lacks });
        }
        let offer = self.within(wait_ms, |world| world.offers.pop_front()).await;
        let uploads = offer.into_iter().collect();
        Answer::json(200, &LeaseAnswer { uploads, lease_ms, describe: Vec::new(), lacks: Vec::new() })
    }

    async fn chunks(&self, request: ChunksRequest) -> Answer {
        let stored = |world: &mut World| {
            let known = world.chunks.get(&request.lease.run)?;
            let found = (request.from..request.from.saturating_add(request.count))
                .map_while(|sequence| known.iter().find(|chunk| chunk.sequence == sequence).cloned());
            Some(found.collect::<Vec<_>>()).filter(|found| !found.is_empty())
        };
        let chunks = self.within(request.wait_ms, stored).await.unwrap_or_default();
        Answer::json(200, &ChunksAnswer { chunks })
    }

    fn report(&self, request: &ReportRequest) -> Answer {
        let answer = self.change(|world| {
            world.reports += 1;
            for report in &request.leases {
                if !report.started.is_empty() {
                    world.said.push(Said::Started(report.lease, report.started.clone()));
                }
            }
            let named = |runs: &HashSet<i64>| {
                let keys = request.leases.iter().map(|report| report.lease);
                keys.filter(|key| runs.contains(&key.run)).collect::<Vec<_>>()
            };
            ReportAnswer { cancelled: named(&world.cancelled), lost: named(&world.lost), lease_ms: world.lease_ms }
        });
        Answer::json(200, &answer)
    }

    fn hand_back(&self, request: &ReturnRequest) -> Answer {
        let said = request.leases.iter().map(|back| Said::Returned(back.lease, back.reason));
        self.change(|world| world.said.extend(said));
        Answer::json(200, &ReportAnswer::default())
    }

    fn missing(&self, request: MissingRequest) -> Answer {
        let MissingRequest { lease, chunks, header, .. } = request;
        let said = if header { Said::NoHeader(lease) } else { Said::Missing(lease, chunks) };
        self.change(|world| world.said.push(said));
        Answer::json(200, &ReportAnswer::default())
    }

    fn complete(&self, request: CompleteRequest) -> Answer {
        let one = |world: &mut World, complete: Complete| {
            let run = complete.lease.run;
            if world.fenced.contains(&run) {
                let message = "the lease has passed to another".to_owned();
                return Item::Error(ErrorBody { code: ErrorCode::Fenced, message, hint: None });
            }
            let recorded = complete.jobs.len();
            let done = world.completed.entry(run).or_default();
            *done += recorded;
            let ended = Some(&*done) == world.run_sizes.get(&run);
            world.said.push(Said::Completed(complete.lease, complete.jobs));
            Item::Ok(Completed { recorded: recorded as u32, ended })
        };
        let leases = self.change(|world| request.leases.into_iter().map(|complete| one(world, complete)).collect());
        Answer::json(200, &CompleteAnswer { leases })
    }

    fn result_urls(&self, request: &ResultUrlRequest) -> Answer {
        let storage = self.change(|world| world.results_to.clone().unwrap_or_else(|| world.storage.clone()));
        let put = |want: &WantResult| {
            let url = format!("{storage}/result/{}", want.sha256);
            let headers = [("content-length".to_owned(), want.length.to_string())].into();
            Item::Ok(SignedPut { url, headers, expires_in_s: 900 })
        };
        Answer::json(200, &ResultUrls { results: request.results.iter().map(put).collect() })
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
