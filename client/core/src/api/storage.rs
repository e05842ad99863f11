//! Storage, by presigned requests only: where they may lead, and what to do when they fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_api::{SignedGet, SignedPut};
use filemill_seal::Digest;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc;
use url::Url;

use super::{Backoff, Reach, read_body, transport_detail};
use crate::error::Error;
use crate::notice::{Notice, Progress};

/// A request that is this slow is dead: bytes a second.
const SLOWEST_BYTES_PER_S: u64 = 16 << 10;
/// Added to what the slowest rate allows.
const GRACE: Duration = Duration::from_secs(60);
/// Bytes are handed to the connection in pieces of this many, so that progress is seen.
const PIECE_BYTES: usize = 256 << 10;
/// Longest error document that is read.
const PROBLEM_MAX_BYTES: usize = 16 << 10;

/// Storage.
#[derive(Clone)]
pub(crate) struct Storage {
    http: reqwest::Client,
    origins: Arc<[String]>,
    progress: Arc<Progress>,
    reach: Arc<Reach>,
}

/// What became of a PUT.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Storage has it.
    Stored,
    /// The URL is not good any more: ask for another.
    Expired,
}

/// What became of a GET.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// The object.
    Object(Vec<u8>),
    /// Storage does not hand it out, at this URL at least, for this reason.
    Refused(String),
}

enum Attempt {
    Final(Error),
    Expired,
    Again(String),
}

impl Storage {
    pub(crate) fn new(
        http: reqwest::Client,
        origins: &[String],
        progress: Arc<Progress>,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let origins = origins.iter().map(|origin| origin_of(origin).unwrap_or_else(|| origin.clone())).collect();
        Self { http, origins, progress, reach: Arc::new(Reach::new(notices)) }
    }

    /// Stores `body`, which was presigned at `signed_at`. Tries again for as long as the URL holds where storage cannot be reached, is out
    /// of order, or something answers in its place.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignOrigin`], [`Error::Storage`] if storage itself says that it does not take it.
    pub(crate) async fn put(&self, put: &SignedPut, signed_at: Instant, body: Bytes) -> Result<Put, Error> {
        let url = self.check(&put.url)?;
        let mut backoff = Backoff::new();
        loop {
            // Some seconds early: it must arrive before.
            if signed_at.elapsed() + Duration::from_secs(5) > Duration::from_secs(u64::from(put.expires_in_s)) {
                return Ok(Put::Expired);
            }
            match self.try_put(&url, put, body.clone()).await {
                Ok(()) => {
                    self.reach.recovered(|| format!("storage `{}` takes what is sent again", origin(&url)));
                    return Ok(Put::Stored);
                }
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Expired) => return Ok(Put::Expired),
                Err(Attempt::Again(detail)) => {
                    let wait = backoff.next_wait();
                    // One that failed once is no news.
                    if backoff.attempts() > 1 {
                        self.reach.in_trouble(&Error::Storage { origin: origin(&url), detail });
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Fetches an object that was announced with its length and digest, in so many attempts at most. It is the one that was announced, or
    /// not handed out at all: what was damaged on its way, or is no answer of storage's, says nothing of the object.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignOrigin`], [`Error::WrongObject`] if it is announced as longer than `bound` bytes or other bytes came each time,
    /// [`Error::Storage`] if storage does not answer or the URL has expired.
    pub(crate) async fn get(&self, get: &SignedGet, bound: u64, attempts: u32) -> Result<Got, Error> {
        let url = self.check(&get.url)?;
        let wrong = |detail: &str| Error::WrongObject { origin: origin(&url), detail: detail.to_owned() };
        if get.length > bound {
            return Err(wrong("it is longer than such an object may be"));
        }
        let length = usize::try_from(get.length).map_err(|_| wrong("it is longer than this machine can hold"))?;
        let mut backoff = Backoff::new();
        loop {
            let (error, wait) = match self.try_get(&url, length).await {
                Ok(Some(body)) if body.len() == length && Digest::of(&body).to_string() == get.sha256 => {
                    return Ok(Got::Object(body));
                }
                Ok(Some(_)) => (wrong("length or SHA-256 differ"), backoff.next_wait()),
                Ok(None) => (wrong("it is longer"), backoff.next_wait()),
                Err(Attempt::Final(Error::Storage { detail, .. })) => return Ok(Got::Refused(detail)),
                Err(Attempt::Final(error)) => return Err(error),
                // The same one does not become better.
                Err(Attempt::Expired) => {
                    return Err(Error::Storage { origin: origin(&url), detail: "the URL has expired".to_owned() });
                }
                Err(Attempt::Again(detail)) => (Error::Storage { origin: origin(&url), detail }, backoff.next_wait()),
            };
            if backoff.attempts() >= attempts {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Refuses every place that the login did not pin.
    fn check(&self, url: &str) -> Result<Url, Error> {
        let refuse = |origin: String| Error::ForeignOrigin { origin };
        let url = Url::parse(url).map_err(|_| refuse("(not a URL)".to_owned()))?;
        let origin = origin(&url);
        let plain = url.username().is_empty() && url.password().is_none();
        if plain && self.origins.contains(&origin) { Ok(url) } else { Err(refuse(origin)) }
    }

    async fn try_put(&self, url: &Url, put: &SignedPut, body: Bytes) -> Result<(), Attempt> {
        let timeout = GRACE + Duration::from_secs(body.len() as u64 / SLOWEST_BYTES_PER_S);
        let mut request = self.http.put(url.clone()).timeout(timeout);
        for (name, value) in &put.headers {
            if name.eq_ignore_ascii_case("host") {
                continue;
            }
            request = request.header(name, value);
        }
        // A body of known parts has no length of its own: hyper takes that of the header.
        if !put.headers.keys().any(|name| name.eq_ignore_ascii_case("content-length")) {
            request = request.header("content-length", body.len());
        }
        let progress = Arc::clone(&self.progress);
        let pieces = pieces(body).map(move |piece| {
            progress.sent(piece.len() as u64);
            Ok::<_, std::io::Error>(piece)
        });
        let request = request.body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
        let response = request.send().await.map_err(|error| Attempt::Again(transport_detail(&error)))?;
        if !response.status().is_success() {
            return Err(problem(url, response).await);
        }
        // Storage has nothing to show to whoever stores.
        if is_page(&response) { Err(Attempt::Again(in_its_place("a page"))) } else { Ok(()) }
    }

    async fn try_get(&self, url: &Url, length: usize) -> Result<Option<Vec<u8>>, Attempt> {
        let timeout = GRACE + Duration::from_secs(length as u64 / SLOWEST_BYTES_PER_S);
        let failed = |error: reqwest::Error| Attempt::Again(transport_detail(&error));
        let mut response = self.http.get(url.clone()).timeout(timeout).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(problem(url, response).await);
        }
        read_body(&mut response, length).await.map_err(failed)
    }
}

fn pieces(body: Bytes) -> impl Iterator<Item = Bytes> + Send {
    let length = body.len();
    (0..length.max(1)).step_by(PIECE_BYTES).map(move |from| body.slice(from..length.min(from + PIECE_BYTES)))
}

/// What an answer of storage means. S3's codes: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
async fn problem(url: &Url, mut response: Response) -> Attempt {
    let status = response.status();
    let body = read_body(&mut response, PROBLEM_MAX_BYTES).await.ok().flatten().unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let code = tag(&body, "Code").unwrap_or_default();
    let message = tag(&body, "Message").unwrap_or_default();
    let detail = match (code, message) {
        ("", _) => status.to_string(),
        // What is wrong with storage itself, such as a full disk, only its own words say.
        (code, message) if status.is_server_error() && !message.is_empty() => format!("{code}: {message} ({status})"),
        (code, _) => format!("{code} ({status})"),
    };
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        return Attempt::Again(detail);
    }
    if code == "RequestTimeout" || code == "SlowDown" || code == "IncompleteBody" {
        return Attempt::Again(detail);
    }
    let expired = code == "ExpiredToken" || message.to_ascii_lowercase().contains("expired");
    if status == StatusCode::FORBIDDEN && expired {
        return Attempt::Expired;
    }
    let elsewhere = format!("it points elsewhere ({status}), which is never followed");
    match (code, status.is_redirection()) {
        // Storage always has a code for it: this is a captive portal, for one, which goes away.
        ("", true) => Attempt::Again(elsewhere),
        ("", false) => Attempt::Again(in_its_place(&status.to_string())),
        (_, true) => Attempt::Final(Error::Storage { origin: origin(url), detail: elsewhere }),
        (_, false) => Attempt::Final(Error::Storage { origin: origin(url), detail }),
    }
}

/// What is said of an answer that is not storage's own.
fn in_its_place(answer: &str) -> String {
    format!("something answers in its place, with {answer}")
}

/// Whether the answer is a page for people.
fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// The text of the first such element of S3's flat error document.
fn tag<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn origin_of(text: &str) -> Option<String> {
    Url::parse(text).ok().map(|url| origin(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pinned_origins_are_served() {
        let storage = Storage::new(
            reqwest::Client::new(),
            &["http://127.0.0.1:9000/".to_owned(), "https://bucket.s3.example".to_owned()],
            Arc::default(),
            mpsc::channel(1).0,
        );
        for good in ["http://127.0.0.1:9000/b/k?X-Amz-Signature=1", "https://bucket.s3.example:443/k"] {
            storage.check(good).unwrap();
        }
        for bad in [
            "http://127.0.0.1:9001/b/k",
            "https://127.0.0.1:9000/b/k",
            "http://127.0.0.1:9000@evil.example/",
            "http://user@127.0.0.1:9000/",
            "https://bucket.s3.example.evil/k",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(matches!(storage.check(bad), Err(Error::ForeignOrigin { .. })), "{bad}");
        }
    }

    #[test]
    fn a_body_is_cut_into_pieces_without_loss() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let body = Bytes::from(vec![7; length]);
            assert_eq!(pieces(body).map(|piece| piece.len()).sum::<usize>(), length);
        }
    }

    #[test]
    fn the_code_of_an_error_document_is_found() {
        let document = "<?xml?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
        assert_eq!(tag(document, "Code"), Some("AccessDenied"));
        assert_eq!(tag(document, "Message"), Some("Request has expired"));
        assert_eq!(tag("", "Code"), None);
    }
}
