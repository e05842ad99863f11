//! Presigned requests: fetching and storing objects on configured origins.

use std::time::Duration;

use filemill_api::{SignedGet, SignedPut};
use filemill_seal::Digest;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode};

use super::backoff::Backoff;
use super::http::{BodyError, describe, read_body};
use super::origins::{ForeignUrl, StorageOrigins};

/// How often a request is made before storage counts as out of order.
const ATTEMPTS: u32 = 6;
/// Longest error document that is read.
const PROBLEM_MAX_BYTES: usize = 16 << 10;
/// How often an object is fetched that is not there or not what was stored, before that is believed.
pub(crate) const ASKED_AGAIN: u32 = 3;

/// Storage, as presigned URLs reach it.
pub(crate) struct Storage {
    http: Client,
    origins: StorageOrigins,
}

/// Why an object was not fetched or stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The URL is not one to follow. No request was made.
    #[error(transparent)]
    Foreign(#[from] ForeignUrl),
    /// Storage itself sends the request elsewhere. It was not followed.
    #[error("storage redirects the request, which is never followed")]
    Redirect,
    /// The URL does not hold any more (or never did): ask for another.
    #[error("storage refuses the presigned URL ({0})")]
    Expired(StatusCode),
    /// There is no such object.
    #[error("the object is not there")]
    NotFound,
    /// Another object than the one that was named.
    #[error("the object is not the one that was stored: {0}")]
    Other(String),
    /// Storage cannot be reached or is out of order, or something answers in its place, also after several attempts.
    #[error("storage cannot be used: {0}")]
    Away(String),
}

impl Storage {
    pub(crate) fn new(http: Client, origins: StorageOrigins) -> Self {
        Self { http, origins }
    }

    /// Fetches an object of at most `max_bytes`, of exactly the length that `get` names. The caller compares the digest.
    ///
    /// The bytes come in a buffer of `room_bytes`, or their own length if that is more.
    ///
    /// Tries several times, over some seconds, where storage is out of order or the connection breaks, and a few times where the object is
    /// not there or has another length. Cancel safe.
    pub(crate) async fn get(
        &self,
        get: &SignedGet,
        max_bytes: usize,
        room_bytes: usize,
    ) -> Result<Vec<u8>, StorageError> {
        let url = self.origins.check(&get.url)?;
        let Some(length) = usize::try_from(get.length).ok().filter(|length| *length <= max_bytes) else {
            return Err(StorageError::Other(format!("it has {} bytes, more than {max_bytes}", get.length)));
        };
        let mut backoff = backoff();
        let mut attempt = 1;
        loop {
            let why = match self.http.get(url.clone()).send().await {
                Err(error) => describe(error),
                Ok(response) => match checked(response).await {
                    // Something on the way may answer in storage's place, or damage what it answers.
                    Err(StorageError::NotFound) if attempt < ASKED_AGAIN => "the object is not there".to_owned(),
                    Err(error) => return Err(error),
                    Ok(Err(why)) => why,
                    Ok(Ok(response)) => match read_exactly(response, length, room_bytes).await {
                        Err(StorageError::Other(why)) if attempt < ASKED_AGAIN => why,
                        Err(error) => return Err(error),
                        Ok(Ok(bytes)) => return Ok(bytes),
                        Ok(Err(broken)) => broken,
                    },
                },
            };
            if attempt == ATTEMPTS {
                return Err(StorageError::Away(why));
            }
            attempt += 1;
            backoff.wait().await;
        }
    }

    /// Stores an object. Tries several times like [`get`](Self::get).
    pub(crate) async fn put(&self, put: &SignedPut, bytes: bytes::Bytes) -> Result<(), StorageError> {
        let url = self.origins.check(&put.url)?;
        let headers = signed_headers(put)?;
        let mut backoff = backoff();
        let mut attempt = 1;
        loop {
            let why = match self.http.put(url.clone()).headers(headers.clone()).body(bytes.clone()).send().await {
                Err(error) => describe(error),
                Ok(response) => match checked(response).await? {
                    Err(why) => why,
                    Ok(_) => return Ok(()),
                },
            };
            if attempt == ATTEMPTS {
                return Err(StorageError::Away(why));
            }
            attempt += 1;
            backoff.wait().await;
        }
    }
}

/// The digest that a presigned GET names.
pub(crate) fn named_digest(get: &SignedGet) -> Result<Digest, StorageError> {
    get.sha256.parse().map_err(|error| StorageError::Other(format!("the server names it by {error}")))
}

/// The pauses between attempts.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(4))
}

/// What an answer means: go on, try again (`Err` within, which says why), or stop.
async fn checked(response: Response) -> Result<Result<Response, String>, StorageError> {
    let status = response.status();
    if status.is_success() {
        let page = Err("something answers in its place, with a page".to_owned());
        return Ok(if is_page(&response) { page } else { Ok(response) });
    }
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        return Ok(Err(format!("it answers {status}")));
    }
    // Not storage but something on the way to it, such as a captive portal, which says nothing of the object or its URL.
    if !is_storages_own(response).await {
        return Ok(Err(format!("something answers in its place, with {status}")));
    }
    match status {
        _ if status.is_redirection() => Err(StorageError::Redirect),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(StorageError::NotFound),
        _ if status.is_client_error() => Err(StorageError::Expired(status)),
        _ => Ok(Err(format!("it answers {status}"))),
    }
}

/// Whether the answer is a page for people, which no object is.
fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// Whether a refusal is in S3's form, which has a code: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
async fn is_storages_own(response: Response) -> bool {
    match read_body(response, PROBLEM_MAX_BYTES, 0).await {
        Ok(body) => body.windows(b"<Code>".len()).any(|part| part == b"<Code>"),
        Err(_) => false,
    }
}

/// The body, if it has `length` bytes; a broken connection is an `Err` within.
async fn read_exactly(
    response: Response,
    length: usize,
    room_bytes: usize,
) -> Result<Result<Vec<u8>, String>, StorageError> {
    let other = |found: String| StorageError::Other(format!("it has {found} bytes instead of {length}"));
    match read_body(response, length, room_bytes).await {
        Ok(bytes) if bytes.len() == length => Ok(Ok(bytes)),
        Ok(bytes) => Err(other(bytes.len().to_string())),
        Err(BodyError::TooLong) => Err(other("more".to_owned())),
        Err(BodyError::Broken(why)) => Ok(Err(why)),
    }
}

/// The headers to send: those that were signed, except the host, which the URL gives.
fn signed_headers(put: &SignedPut) -> Result<HeaderMap, StorageError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &put.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
            return Err(StorageError::Foreign(ForeignUrl::Malformed));
        };
        if name != HOST {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}
