//! The server's HTTP API, as a client sees it: requests that are repeated until they are answered.
//!
//! Whoever calls speaks version 2. That a server may speak version 1 only, nobody knows but this module.

mod asking;
mod attempt;
mod backoff;
mod combiner;
mod majors;
mod reach;
mod sse;
mod storage;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvanceUpload, AdvancedUpload, CancelRequest, Cancelled, DescriptionQuery,
    ErrorBody, ErrorCode, Event, EventPage, FetchAnswer, FetchRequest, Item, JobStates, JoinAnswer, JoinRequest,
    OpenAnswer, OpenRequest, OpenUpload, OpenedUpload, Pools, Releases, ResultKey, Uploads, WhoAmI, paths, v1,
};
use filemill_seal::{DESCRIPTION_MAX_BYTES, Digest, UploadId};
use filemill_transport::{BodyError, Comparison, Http, HttpOptions, ServerClock, read_body};
use reqwest::header::HeaderValue;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use url::Url;

use crate::error::Error;
use crate::event::Recovery;
use crate::teller::Teller;
use attempt::Attempt;
pub(crate) use backoff::backoff;
pub(crate) use combiner::Combiner;
use majors::{Answer, Asked, Majors, in_turn, page_of_v1};
use reach::Reach;
pub(crate) use sse::EventStream;
pub(crate) use storage::{Got, Put, Storage};

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
    /// Who reads events; none while somebody logs in.
    device: Option<String>,
    majors: Arc<Majors>,
    reach: Reach,
    clock: Arc<ServerClock>,
    /// When it answered anything last.
    heard: Arc<Mutex<Option<Instant>>>,
    /// Rung when it has answered nothing for long, for whoever is told nothing.
    silence: Arc<Notify>,
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
            device: None,
            majors: Arc::default(),
            reach: Reach::new(Teller::to_nobody()),
            clock: Arc::default(),
            heard: Arc::default(),
            silence: Arc::default(),
        })
    }

    /// The same for a home whose device has this id.
    pub(crate) fn of_device(self, device: Option<String>) -> Self {
        Self { device, ..self }
    }

    /// The same server over the same connections, for an activity that is told whether it can be reached.
    pub(crate) fn telling(&self, events: Teller) -> Self {
        Self {
            http: self.http.clone(),
            server: self.server.clone(),
            authorization: self.authorization.clone(),
            device: self.device.clone(),
            majors: Arc::clone(&self.majors),
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

    /// Whether it has shown a short time ago that it speaks version 1 only, which has no words for an upload of format 2.
    pub(crate) fn is_older(&self) -> bool {
        self.majors.is_old()
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
        let path = format!("{}?pool={pool}", paths::RELEASES);
        let answer = self.call::<Releases, Releases>(patience, Asked::get(&path).new_first()).await?;
        Ok(match answer {
            Answer::New(releases) => releases,
            // Whatever processors read, an upload of a later format has no words in version 1: a server of this version may answer behind
            // something that lets only the paths of version 1 through.
            Answer::Old(releases) => Releases { formats: Vec::new(), ..releases },
        })
    }

    /// What a release's engine says of itself: the document that has this SHA-256, if the server is honest.
    pub(crate) async fn description(&self, release: &Digest, sha256: &Digest) -> Result<String, Error> {
        let query = DescriptionQuery { sha256: Some(sha256.to_string()), pool: None };
        let path = paths::description(&release.to_string(), &query);
        let asked = Asked::get(&path);
        let answer = in_turn(&self.majors, &asked, |major| self.send_in(major, &asked)).await;
        let response = answer.map_err(Attempt::into_error)?;
        let body = match read_body(response, DESCRIPTION_MAX_BYTES, 0).await {
            Ok(body) => String::from_utf8(body).ok(),
            Err(BodyError::TooLong) => None,
            Err(BodyError::Broken(why)) => return Err(self.cut_off(why)),
        };
        body.ok_or_else(|| self.protocol("a description is too long, or no text".to_owned()))
    }

    /// What a release's engine says of itself, as processors of this pool passed it on last, or its publisher; `None` while nobody
    /// has.
    pub(crate) async fn description_in(&self, release: &Digest, pool: &str) -> Result<Option<String>, Error> {
        let query = DescriptionQuery { sha256: None, pool: Some(pool.to_owned()) };
        let path = paths::description(&release.to_string(), &query);
        match self.get::<Box<RawValue>>(&path, Patience::Endless).await {
            Ok(document) if document.get().len() <= DESCRIPTION_MAX_BYTES => Ok(Some(document.get().to_owned())),
            Ok(_) => Err(self.protocol("a description is too long".to_owned())),
            Err(Error::Refused { body, .. }) if body.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Uploads that are not done, oldest first: the first page, or the one after another's end.
    pub(crate) async fn uploads(&self, after: Option<UploadId>) -> Result<Uploads, Error> {
        let path = after.map_or_else(|| paths::UPLOADS.to_owned(), |after| format!("{}?after={after}", paths::UPLOADS));
        self.call::<_, v1::Uploads>(Patience::Brief, Asked::get(&path)).await.map(Answer::into_new)
    }

    pub(crate) async fn upload(&self, upload: UploadId) -> Result<JobStates, Error> {
        let path = paths::UPLOAD.replace("{upload}", &upload.to_string());
        self.call::<_, v1::JobStates>(Patience::Brief, Asked::get(&path)).await.map(Answer::into_new)
    }

    /// Opens uploads, each by itself, in the order asked. One of format 2 that only a server of an earlier version answers for is
    /// `unavailable`: it is to be asked for again.
    pub(crate) async fn open(&self, uploads: Vec<OpenUpload>) -> Result<Vec<Item<OpenedUpload>>, Error> {
        let request = OpenRequest { uploads };
        let uploads = &request.uploads;
        let in_v1 = || uploads.iter().filter_map(|upload| v1::OpenUpload::try_from(upload.clone()).ok());
        let is_in_v1 = |upload: &OpenUpload| upload.format == 1;
        let asked = Asked::post(paths::UPLOADS, self.encoded(&request)?);
        let asked = match uploads.iter().filter(|upload| is_in_v1(upload)).count() {
            0 => asked.not_in_v1(),
            count if count == uploads.len() => asked,
            _ => asked.new_first(),
        };
        let asked = if uploads.iter().any(is_in_v1) {
            asked.with_body_in_v1(|| self.encoded(&v1::OpenRequest { uploads: in_v1().collect() }).ok())
        } else {
            asked
        };
        let answered = match self.call::<OpenAnswer, OpenAnswer>(Patience::Endless, asked).await {
            Ok(Answer::New(answer)) => return self.all_answered(uploads.len(), answer.uploads),
            Ok(Answer::Old(answer)) => self.all_answered(in_v1().count(), answer.uploads)?,
            Err(Error::Refused { body, .. }) if body.code == ErrorCode::NotFound && !uploads.iter().all(is_in_v1) => {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let mut answered = answered.into_iter();
        let answer = |upload: &OpenUpload| {
            let answer = if is_in_v1(upload) { answered.next() } else { None };
            answer.unwrap_or_else(|| Item::Error(self.older()))
        };
        Ok(uploads.iter().map(answer).collect())
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
        self.events_by(position, limit, patience).await.map(|(page, _)| page)
    }

    /// The same, and whether a server of an earlier version may have told them, which does not know that results come in batches.
    pub(crate) async fn events_by(
        &self,
        position: &Position,
        limit: u32,
        patience: Patience,
    ) -> Result<(EventPage, bool), Error> {
        let path_in_v1 = format!("{}?{}&limit={limit}", paths::EVENTS, position.query());
        let path = format!("{path_in_v1}{}", self.device_query());
        let asked = Asked::get(&path).with_path_in_v1(&path_in_v1);
        self.call::<EventPage, v1::EventPage>(patience, asked).await.map(|answer| match answer {
            Answer::New(page) => (page, false),
            Answer::Old(page) => (page_of_v1(page), true),
        })
    }

    /// Listens to events after `position`. Does not try again: whoever follows the stream does.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where a server or something before it does not stream.
    pub(crate) async fn event_stream(&self, position: &Position) -> Result<EventStream, Error> {
        let path_in_v1 = format!("{}?{}", paths::EVENT_STREAM, position.query());
        let path = format!("{path_in_v1}{}", self.device_query());
        let asked = Asked::get(&path).with_path_in_v1(&path_in_v1);
        let (this, asked) = (self, &asked);
        let answer = in_turn(&self.majors, asked, |major| async move {
            let request = this.request(major, asked).map_err(Attempt::Final)?;
            // The number alone, which every server understands: it goes before the query's, and the mark stands there.
            let request =
                request.header("last-event-id", position.cursor.to_string()).header("accept", "text/event-stream");
            Ok((major, this.send(request, None).await?))
        });
        let (major, response) = answer.await.map_err(Attempt::into_error)?;
        Ok(EventStream::new(response, self.server().to_owned(), major))
    }

    /// Asks for results again, and says which need not be kept any more. With `has_batches` only in version 2: what version 1 answers does
    /// not say which jobs a batch is of.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the server does not know the call.
    pub(crate) async fn fetch(
        &self,
        position: &Position,
        want: &[(UploadId, u32)],
        fetched: &[(UploadId, u32)],
        has_batches: bool,
    ) -> Result<FetchAnswer, Error> {
        let keys = |places: &[(UploadId, u32)]| {
            places.iter().map(|(upload, job)| ResultKey { upload: upload.to_string(), job: *job }).collect()
        };
        let request = FetchRequest {
            after: position.cursor,
            mark: Some(position.mark.clone().unwrap_or_default()),
            device: self.device.clone(),
            want: keys(want),
            fetched: keys(fetched),
        };
        let asked = Asked::post(paths::FETCH, self.encoded(&request)?);
        let asked = match has_batches {
            true => asked.not_in_v1(),
            false => asked.with_body_in_v1(|| self.encoded(&v1::FetchRequest::from(request.clone())).ok()),
        };
        let answer = match self.call::<FetchAnswer, v1::FetchAnswer>(Patience::Brief, asked).await? {
            Answer::New(answer) => answer,
            Answer::Old(answer) if answer.reset || answer.results.len() == want.len() => answer.into_v2(&request.want),
            Answer::Old(answer) => return Err(self.not_all_answered(want.len(), answer.results.len())),
        };
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

    /// Why an upload of format 2 cannot be opened now.
    fn older(&self) -> ErrorBody {
        let message = format!(
            "server `{}` is of an earlier version, and does not know the format in which this upload is sealed",
            self.server()
        );
        let hint = "it waits, and goes on by itself when a server answers there that is of this version".to_owned();
        ErrorBody { code: ErrorCode::Unavailable, message, hint: Some(hint) }
    }

    /// What says in a query who reads.
    fn device_query(&self) -> String {
        self.device.as_ref().map(|device| format!("&device={device}")).unwrap_or_default()
    }
}

/// Without a limit of silence: a large body goes up a slow line for as long as it takes, and a stream of events has its own.
fn http_client(server: &Url) -> Result<Http, Error> {
    let options = HttpOptions { user_agent: concat!("filemill/", env!("CARGO_PKG_VERSION")), silence: None };
    Http::new(options).map_err(|error| Error::Address { server: server.to_string(), detail: error.to_string() })
}
