//! The server's HTTP API, as a client sees it: requests that are repeated until they are answered.

mod backoff;
mod combiner;
mod sse;
mod storage;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use filemill_api::paths::v1 as paths;
use filemill_api::v1::{
    Event, EventPage, FetchAnswer, FetchRequest, JobStates, OpenRequest, OpenUpload, ResultKey, Uploads,
};
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvanceUpload, AdvancedUpload, CancelRequest, Cancelled, DescriptionQuery,
    ErrorCode, Item, JoinAnswer, JoinRequest, OpenAnswer, OpenedUpload, Pools, Problem, Releases, WhoAmI,
};
use filemill_seal::{DESCRIPTION_MAX_BYTES, Digest, UploadId};
use filemill_transport::{
    BodyError, Comparison, Http, HttpOptions, Moment, ServerClock, describe, read_body, retry_after,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use url::Url;

use crate::error::{Error, NoAnswer};
use crate::event::{self, Recovery, Trouble};
use crate::teller::Teller;
pub(crate) use backoff::backoff;
pub(crate) use combiner::Combiner;
pub(crate) use sse::EventStream;
pub(crate) use storage::{Got, Put, Storage};

/// How long one request may take. The largest carries a few MiB.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// After so long without an answer it is said what is waited for.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes. A page of results that are as large as may be inline is the longest.
const ANSWER_MAX_BYTES: usize = 32 << 20;
/// Longest answer to a request that failed, in bytes.
const PROBLEM_MAX_BYTES: usize = 64 << 10;
/// Attempts of a caller that does not want to wait long.
const BRIEF_ATTEMPTS: u32 = 4;

/// For how long such a caller waits before an attempt, whatever the server asks for.
const BRIEF_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A longer pause is told of such a caller's first attempt, too.
const TOLD_PAUSE: Duration = Duration::from_secs(1);

/// How long to go on when the server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A few attempts: somebody waits for the answer.
    Brief,
    /// Until it answers: nothing can go on without it, and nothing is lost meanwhile.
    Endless,
}

/// How far the events of an account were read: a cursor, and the mark of the event there, if the server gave one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) cursor: i64,
    pub(crate) mark: Option<String>,
}

impl Position {
    /// Behind an event.
    pub(crate) fn of(event: &Event) -> Self {
        // What is no mark would be refused for ever.
        let is_mark = |mark: &String| mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self { cursor: event.cursor, mark: event.mark.clone().filter(is_mark) }
    }

    fn query(&self) -> String {
        format!("after={}&mark={}", self.cursor, self.mark.as_deref().unwrap_or_default())
    }
}

/// The server.
pub(crate) struct Api {
    http: Http,
    server: Url,
    /// None: nobody has logged in yet.
    authorization: Option<HeaderValue>,
    reach: Reach,
    clock: Arc<ServerClock>,
    /// When it answered anything last.
    heard: Arc<Mutex<Option<Instant>>>,
    /// Rung when it has answered nothing for long, for whoever is told nothing.
    silence: Arc<Notify>,
}

/// Whether the server or storage can be reached, told once for each change.
struct Reach {
    events: Teller,
    told: Mutex<Told>,
}

/// What was told last of whether somebody can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    /// That no answer comes.
    Silence,
    Trouble,
}

/// What one attempt came to.
enum Attempt {
    /// Asking again is no use.
    Final(Error),
    /// Ask again, after as long as the server wants.
    Again(Error, Option<Duration>),
}

impl Api {
    pub(crate) fn new(server: Url, token: &str) -> Result<Self, Error> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::Unauthenticated {
                server: server.to_string(),
                message: "the token has characters that no token has".to_owned(),
            })?;
        authorization.set_sensitive(true);
        Ok(Self { authorization: Some(authorization), ..Self::without_token(server)? })
    }

    /// The server, for the call that needs no token.
    pub(crate) fn without_token(server: Url) -> Result<Self, Error> {
        Ok(Self {
            http: http_client(&server)?,
            server,
            authorization: None,
            reach: Reach::new(Teller::to_nobody()),
            clock: Arc::default(),
            heard: Arc::default(),
            silence: Arc::default(),
        })
    }

    /// The same server over the same connections, for an activity that is told whether it can be reached.
    pub(crate) fn telling(&self, events: Teller) -> Self {
        Self {
            http: self.http.clone(),
            server: self.server.clone(),
            authorization: self.authorization.clone(),
            reach: Reach::new(events),
            clock: Arc::clone(&self.clock),
            heard: Arc::clone(&self.heard),
            silence: Arc::clone(&self.silence),
        }
    }

    /// The connection pool, for storage.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    pub(crate) fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// By how many seconds this machine's clock is ahead of the server's, less than 0 where it is behind; `None` if by minutes at most.
    pub(crate) fn clock_ahead(&self) -> Option<i64> {
        match self.clock.compare() {
            Comparison::Apart(ahead) => Some(ahead),
            Comparison::Close | Comparison::Unknown => None,
        }
    }

    /// Redeems a one-time code.
    pub(crate) async fn join(&self, request: &JoinRequest) -> Result<JoinAnswer, Error> {
        self.post(paths::JOINS, request, Patience::Brief).await
    }

    pub(crate) async fn whoami(&self) -> Result<WhoAmI, Error> {
        self.get(paths::WHOAMI, Patience::Brief).await
    }

    pub(crate) async fn pools(&self, patience: Patience) -> Result<Pools, Error> {
        self.get(paths::POOLS, patience).await
    }

    /// The releases that there are, with those that processors of the pool bring.
    pub(crate) async fn releases(&self, pool: &str, patience: Patience) -> Result<Releases, Error> {
        // A pool's name has nothing to escape.
        self.get(&format!("{}?pool={pool}", paths::RELEASES), patience).await
    }

    /// What a release's engine says of itself: the document that has this SHA-256, if the server is honest.
    pub(crate) async fn description(&self, release: &Digest, sha256: &Digest) -> Result<String, Error> {
        let query = DescriptionQuery { sha256: Some(sha256.to_string()), pool: None };
        let path = filemill_api::paths::in_v1(&filemill_api::paths::description(&release.to_string(), &query));
        let answer = self.send(self.request(Method::GET, &path)?, Some(REQUEST_TIMEOUT)).await;
        let response = answer.map_err(|attempt| match attempt {
            Attempt::Final(error) | Attempt::Again(error, _) => error,
        })?;
        let body = match read_body(response, DESCRIPTION_MAX_BYTES, 0).await {
            Ok(body) => String::from_utf8(body).ok(),
            Err(BodyError::TooLong) => None,
            Err(BodyError::Broken(why)) => return Err(self.unreachable(why)),
        };
        body.ok_or_else(|| self.protocol("a description is too long, or no text".to_owned()))
    }

    /// What a release's engine says of itself, as processors of this pool passed it on last, or its publisher; `None` while nobody
    /// has.
    pub(crate) async fn description_in(&self, release: &Digest, pool: &str) -> Result<Option<String>, Error> {
        let query = DescriptionQuery { sha256: None, pool: Some(pool.to_owned()) };
        let path = filemill_api::paths::in_v1(&filemill_api::paths::description(&release.to_string(), &query));
        match self
            .call::<Box<serde_json::value::RawValue>>(Patience::Endless, || self.request(Method::GET, &path))
            .await
        {
            Ok(document) if document.get().len() <= DESCRIPTION_MAX_BYTES => Ok(Some(document.get().to_owned())),
            Ok(_) => Err(self.protocol("a description is too long".to_owned())),
            Err(Error::Refused { body, .. }) if body.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Uploads that are not done, oldest first: the first page, or the one after another's end.
    pub(crate) async fn uploads(&self, after: Option<UploadId>) -> Result<Uploads, Error> {
        match after {
            None => self.get(paths::UPLOADS, Patience::Brief).await,
            Some(after) => self.get(&format!("{}?after={after}", paths::UPLOADS), Patience::Brief).await,
        }
    }

    pub(crate) async fn upload(&self, upload: UploadId) -> Result<JobStates, Error> {
        self.get(&paths::UPLOAD.replace("{upload}", &upload.to_string()), Patience::Brief).await
    }

    /// Opens uploads, each by itself, in the order asked.
    pub(crate) async fn open(&self, uploads: Vec<OpenUpload>) -> Result<Vec<Item<OpenedUpload>>, Error> {
        let asked = uploads.len();
        let answer: OpenAnswer = self.post(paths::UPLOADS, &OpenRequest { uploads }, Patience::Endless).await?;
        self.all_answered(asked, answer.uploads)
    }

    /// Advances uploads, each by itself, in the order asked.
    pub(crate) async fn advance(&self, uploads: Vec<AdvanceUpload>) -> Result<Vec<Item<AdvancedUpload>>, Error> {
        let asked = uploads.len();
        let answer: AdvanceAnswer = self.post(paths::ADVANCE, &AdvanceRequest { uploads }, Patience::Endless).await?;
        self.all_answered(asked, answer.uploads)
    }

    /// Cancels what has no result yet, and says for each upload how many jobs that were.
    pub(crate) async fn cancel(&self, uploads: &[UploadId], patience: Patience) -> Result<Vec<Item<u32>>, Error> {
        let request = CancelRequest { uploads: uploads.iter().map(UploadId::to_string).collect() };
        let answer: Cancelled = self.post(paths::CANCEL, &request, patience).await?;
        self.all_answered(uploads.len(), answer.uploads)
    }

    pub(crate) async fn events(&self, position: &Position, limit: u32, patience: Patience) -> Result<EventPage, Error> {
        self.get(&format!("{}?{}&limit={limit}", paths::EVENTS, position.query()), patience).await
    }

    /// Listens to events after `position`. Does not try again: whoever follows the stream does.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where a server or something before it does not stream.
    pub(crate) async fn event_stream(&self, position: &Position) -> Result<EventStream, Error> {
        let request = self
            .request(Method::GET, &format!("{}?{}", paths::EVENT_STREAM, position.query()))?
            // The number alone, which every server understands: it goes before the query's, and the mark stands there.
            .header("last-event-id", position.cursor.to_string())
            .header("accept", "text/event-stream");
        match self.send(request, None).await {
            Ok(response) => Ok(EventStream::new(response, self.server().to_owned())),
            Err(Attempt::Final(error) | Attempt::Again(error, _)) => Err(error),
        }
    }

    /// Asks for results again, and says which need not be kept any more.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the server does not know the call.
    pub(crate) async fn fetch(
        &self,
        position: &Position,
        want: &[(UploadId, u32)],
        fetched: &[(UploadId, u32)],
    ) -> Result<FetchAnswer, Error> {
        let keys = |places: &[(UploadId, u32)]| {
            places.iter().map(|(upload, index)| ResultKey { upload: upload.to_string(), index: *index }).collect()
        };
        let request = FetchRequest {
            after: position.cursor,
            mark: Some(position.mark.clone().unwrap_or_default()),
            want: keys(want),
            fetched: keys(fetched),
        };
        let answer: FetchAnswer = self.post(paths::FETCH, &request, Patience::Brief).await?;
        if answer.reset {
            return Ok(answer);
        }
        let results = self.all_answered(want.len(), answer.results)?;
        Ok(FetchAnswer { results, reset: false })
    }

    /// Says once that the server does not answer.
    pub(crate) fn in_trouble(&self, error: &Error) {
        self.reach.in_trouble(error);
    }

    /// Waits until a request, of whatever activity, has waited for its answer for long.
    pub(crate) async fn is_silent(&self) {
        self.silence.notified().await;
    }

    /// Says once that it answers again.
    pub(crate) fn recovered(&self) {
        self.reach.recovered(|| Recovery::Server { server: self.server().to_owned() });
    }

    fn all_answered<T>(&self, asked: usize, answers: Vec<Item<T>>) -> Result<Vec<Item<T>>, Error> {
        if answers.len() == asked {
            return Ok(answers);
        }
        Err(self.protocol(format!("{} answers to {asked} questions", answers.len())))
    }

    fn protocol(&self, detail: String) -> Error {
        Error::Protocol { server: self.server().to_owned(), detail }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, patience: Patience) -> Result<T, Error> {
        self.call(patience, || self.request(Method::GET, path)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        patience: Patience,
    ) -> Result<T, Error> {
        // Encoded once, however often it is sent.
        let body =
            serde_json::to_vec(body).map(bytes::Bytes::from).map_err(|error| self.protocol(error.to_string()))?;
        self.call(patience, || {
            Ok(self.request(Method::POST, path)?.header("content-type", "application/json").body(body.clone()))
        })
        .await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Error> {
        let url = self.server.join(path).map_err(|error| self.protocol(format!("path `{path}`: {error}")))?;
        let request = self.http.request(method, url);
        Ok(match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        patience: Patience,
        request: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<T, Error> {
        let mut backoff = backoff();
        loop {
            let (error, wanted) = match self.ask(request()?).await {
                Ok(answer) => {
                    self.recovered();
                    return Ok(answer);
                }
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Again(error, wanted)) => (error, wanted),
            };
            let wait = backoff.delay();
            if patience == Patience::Brief && backoff.attempts() >= BRIEF_ATTEMPTS {
                return Err(error);
            }
            let pause = match patience {
                Patience::Brief => wanted.unwrap_or(wait).min(BRIEF_PAUSE_MAX),
                Patience::Endless => wanted.unwrap_or(wait),
            };
            // One lost connection is no news; that nothing happens for seconds is, to somebody who waits.
            if backoff.attempts() > 1 || patience == Patience::Brief && pause > TOLD_PAUSE {
                self.in_trouble(&error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until the server has answered nothing for a while, from now on. One that is busy answers others meanwhile.
    async fn until_silent(&self) {
        let mut since = Instant::now();
        while since.elapsed() < SILENT_AFTER {
            tokio::time::sleep(SILENT_AFTER.saturating_sub(since.elapsed())).await;
            let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            since = heard.map_or(since, |heard| heard.max(since));
        }
    }

    /// Asks once, and says after a while that nothing has come yet.
    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Attempt> {
        let answer = self.answer(request);
        tokio::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = self.until_silent() => {}
        }
        let (server, for_s) = (self.server().to_owned(), SILENT_AFTER.as_secs());
        self.reach.tell(Told::Silence, || Trouble::Silent { server, for_s });
        self.silence.notify_one();
        answer.await
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Attempt> {
        let response = self.send(request, Some(REQUEST_TIMEOUT)).await?;
        if let Some(kind) = other_than_json(&response) {
            // A captive portal's page, for one: it says nothing of the server, and goes away.
            let why = NoAnswer::Other(format!("something answers in its place, with `{kind}`"));
            return Err(Attempt::Again(Error::Unreachable { server: self.server().to_owned(), why }, None));
        }
        let body = match read_body(response, ANSWER_MAX_BYTES, 0).await {
            Ok(body) => body,
            Err(BodyError::TooLong) => {
                return Err(Attempt::Final(self.protocol("its answer is longer than 32 MiB".to_owned())));
            }
            Err(BodyError::Broken(why)) => return Err(Attempt::Again(self.unreachable(why), None)),
        };
        serde_json::from_slice(&body).map_err(|error| Attempt::Final(self.protocol(error.to_string())))
    }

    /// Sends one request, and hands the answer back if it is a success.
    async fn send(&self, request: RequestBuilder, timeout: Option<Duration>) -> Result<Response, Attempt> {
        let request = match timeout {
            Some(timeout) => request.timeout(timeout),
            None => request,
        };
        let asked = Moment::now();
        let response = request.send().await.map_err(|error| Attempt::Again(self.unreachable(describe(error)), None))?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.clock.learn(asked, response.headers());
        if response.status().is_success() { Ok(response) } else { Err(self.problem(response).await) }
    }

    async fn problem(&self, response: Response) -> Attempt {
        let status = response.status();
        let wanted = retry_after(response.headers());
        let body = read_body(response, PROBLEM_MAX_BYTES, 0).await.unwrap_or_default();
        let server = self.server().to_owned();
        let Ok(Problem { error: body, .. }) = serde_json::from_slice::<Problem>(&body) else {
            // Not the server itself, but something before it or in its place, such as a captive portal: whatever it says of
            // tokens or paths, it says nothing of the server's, and may go away.
            let why = match status {
                status if status.is_server_error() => NoAnswer::Failed(status.to_string()),
                status if status.is_redirection() => {
                    NoAnswer::Other(format!("it points elsewhere ({status}), which is never followed"))
                }
                status => NoAnswer::Other(format!("status {status} without a reason")),
            };
            return Attempt::Again(Error::Unreachable { server, why }, wanted);
        };
        match status {
            StatusCode::UNAUTHORIZED => Attempt::Final(Error::Unauthenticated { server, message: body.message }),
            StatusCode::FORBIDDEN => Attempt::Final(Error::Forbidden { server, message: body.message }),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Attempt::Again(Error::Refused { server, body }, wanted)
            }
            status if status.is_server_error() => {
                let why = NoAnswer::Failed(format!("{} ({status})", body.message));
                Attempt::Again(Error::Unreachable { server, why }, wanted)
            }
            _ => Attempt::Final(Error::Refused { server, body }),
        }
    }

    fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { server: self.server().to_owned(), why: NoAnswer::Unreached(why) }
    }
}

impl Reach {
    fn new(events: Teller) -> Self {
        Self { events, told: Mutex::new(Told::Nothing) }
    }

    fn in_trouble(&self, error: &Error) {
        self.tell(Told::Trouble, || Trouble::Unreachable { error: error.clone() });
    }

    /// Tells `what` unless that, or worse, was told already.
    fn tell(&self, now: Told, what: impl FnOnce() -> Trouble) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told < now {
            *told = now;
            // Nobody waits for this: whoever is too slow for it sees later that nothing moves.
            self.events.try_tell(event::Event::Trouble(what()));
        }
    }

    fn recovered(&self, what: impl FnOnce() -> Recovery) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *told, Told::Nothing) != Told::Nothing {
            self.events.try_tell(event::Event::Recovered(what()));
        }
    }
}

/// Without a limit of silence: a large body goes up a slow line for as long as it takes, and a stream of events has its own.
fn http_client(server: &Url) -> Result<Http, Error> {
    let options = HttpOptions { user_agent: concat!("filemill/", env!("CARGO_PKG_VERSION")), silence: None };
    Http::new(options).map_err(|error| Error::Address { server: server.to_string(), detail: error.to_string() })
}

/// What an answer is that the server does not give: it answers in JSON.
fn other_than_json(response: &Response) -> Option<String> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    (!kind.eq_ignore_ascii_case("application/json")).then(|| kind.chars().take(80).collect())
}
