//! Presigned requests to storage: one attempt each, and what its answer means.

mod answer;
mod error;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filemill_api::{SignedGet, SignedPut};
use reqwest::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use reqwest::{Body, Method, RequestBuilder, Response};
use url::Url;

use crate::body::{BodyError, read_body};
use crate::describe::describe;
use crate::http::Http;
use crate::origins::{ForeignUrl, Origin, Origins};
pub use error::StorageError;

/// A request that is this slow is dead: bytes a second.
const SLOWEST_BYTES_PER_S: u64 = 16 << 10;
/// Added to what the slowest rate allows.
const GRACE: Duration = Duration::from_secs(60);
/// Bytes are handed to the connection in pieces of this many where somebody wants to see them go.
const PIECE_BYTES: usize = 256 << 10;
/// Longest error document that is read.
const PROBLEM_MAX_BYTES: usize = 16 << 10;
/// Headers that say how a connection is used, not what is stored: a server that could set them could hide one request in another.
const OF_THE_CONNECTION: [HeaderName; 4] = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

/// Storage, as presigned URLs reach it. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Storage {
    http: Http,
    origins: Arc<Origins>,
}

/// Is called with the number of bytes of a body that go out next.
pub type Sent = Arc<dyn Fn(u64) + Send + Sync>;

impl Storage {
    /// Storage on `origins`, and nowhere else.
    pub fn new(http: Http, origins: Origins) -> Self {
        Self { http, origins: Arc::new(origins) }
    }

    /// The origin that a presigned URL leads to, for what is said of it.
    ///
    /// # Errors
    ///
    /// [`ForeignUrl`], where it may not lead there.
    pub fn origin(&self, url: &str) -> Result<Origin, ForeignUrl> {
        self.origins.check(url).map(|url| Origin::of(&url))
    }

    /// Fetches an object of exactly the length that `get` names, which is at most `max_bytes`. The caller compares its SHA-256: until
    /// then it is anything of that length.
    ///
    /// The bytes come in a buffer of `room_bytes`, or of their own length if that is more. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; [`StorageError::Unusable`] does not occur.
    pub async fn get(&self, get: &SignedGet, max_bytes: usize, room_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let url = self.origins.check(&get.url)?;
        let Some(length) = usize::try_from(get.length).ok().filter(|length| *length <= max_bytes) else {
            return Err(StorageError::TooLong(format!("it has {} bytes, more than {max_bytes}", get.length)));
        };
        let response = self.answer(self.request(Method::GET, url, length)).await?;
        let other = |found: String| StorageError::Other(format!("it has {found} bytes instead of {length}"));
        match read_body(response, length, room_bytes).await {
            Ok(body) if body.len() == length => Ok(body),
            Ok(body) => Err(other(body.len().to_string())),
            Err(BodyError::TooLong) => Err(other("more".to_owned())),
            Err(BodyError::Broken(why)) => Err(StorageError::Away(why)),
        }
    }

    /// Stores an object, and tells `sent` of its bytes as they go. Cancel safe: it is stored or not.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; [`StorageError::NotFound`] is the bucket's absence, [`StorageError::TooLong`] and [`StorageError::Other`] do not occur.
    pub async fn put(&self, put: &SignedPut, body: Bytes, sent: Option<Sent>) -> Result<(), StorageError> {
        let url = self.origins.check(&put.url)?;
        let headers = signed_headers(put, body.len())?;
        let request = self.request(Method::PUT, url, body.len()).headers(headers);
        self.answer(request.body(outgoing(body, sent))).await.map(drop)
    }

    fn request(&self, method: Method, url: Url, length: usize) -> RequestBuilder {
        let patience = GRACE + Duration::from_secs(length as u64 / SLOWEST_BYTES_PER_S);
        self.http.request(method, url).timeout(patience)
    }

    /// The answer, if it is storage's own success.
    async fn answer(&self, request: RequestBuilder) -> Result<Response, StorageError> {
        let response = request.send().await.map_err(|error| StorageError::Away(describe(error)))?;
        let status = response.status();
        if !status.is_success() {
            let document = read_body(response, PROBLEM_MAX_BYTES, 0).await.unwrap_or_default();
            return Err(answer::meaning(status, &String::from_utf8_lossy(&document)));
        }
        if answer::is_page(response.headers()) {
            return Err(StorageError::Away(answer::in_its_place("a page")));
        }
        Ok(response)
    }
}

/// The headers to send: those that were signed, except the host, which the URL gives, and in any case the body's length, which a
/// body in pieces has not of its own.
fn signed_headers(put: &SignedPut, length: usize) -> Result<HeaderMap, StorageError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &put.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
            return Err(StorageError::Unusable("a header of it is malformed".to_owned()));
        };
        if OF_THE_CONNECTION.contains(&name) {
            return Err(StorageError::Unusable(format!("it signs the header `{name}`")));
        }
        if name != HOST {
            headers.insert(name, value);
        }
    }
    let named = headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    match named {
        Some(named) if named != length.to_string().as_str() => {
            Err(StorageError::Unusable(format!("it is not for an object of {length} bytes")))
        }
        _ => Ok(headers),
    }
}

fn outgoing(body: Bytes, sent: Option<Sent>) -> Body {
    let Some(sent) = sent else { return Body::from(body) };
    let pieces = pieces(body).map(move |piece| {
        sent(piece.len() as u64);
        Ok::<_, std::io::Error>(piece)
    });
    Body::wrap_stream(futures::stream::iter(pieces))
}

fn pieces(body: Bytes) -> impl Iterator<Item = Bytes> + Send {
    let length = body.len();
    (0..length.max(1)).step_by(PIECE_BYTES).map(move |from| body.slice(from..length.min(from + PIECE_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_into_pieces_without_loss() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let body = Bytes::from(vec![7; length]);
            assert_eq!(pieces(body).map(|piece| piece.len()).sum::<usize>(), length);
        }
    }

    fn headers(named: &[(&str, &str)], length: usize) -> Result<HeaderMap, StorageError> {
        let headers = named.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        signed_headers(&SignedPut { url: String::new(), headers, expires_in_s: 900 }, length)
    }

    #[test]
    fn what_was_signed_is_sent_but_for_the_host() {
        let sent = headers(&[("Host", "elsewhere"), ("Content-Length", "7"), ("x-amz-checksum-sha256", "AA==")], 7);
        let sent = sent.expect("usable");
        let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(sent.len(), 2);
        assert!(sent.contains(&("content-length", b"7")) && sent.contains(&("x-amz-checksum-sha256", b"AA==")));
        assert_eq!(headers(&[], 9).expect("usable")[CONTENT_LENGTH], "9", "a body in pieces has no length of its own");
    }

    #[test]
    fn a_server_cannot_hide_one_request_in_another() {
        for bad in [
            ("content-length", "8"),
            ("content-length", "07"),
            ("content-length", ""),
            ("Transfer-Encoding", "chunked"),
            ("connection", "upgrade"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("x", "a\r\nhost: elsewhere"),
            ("x y", "a"),
            ("", "a"),
        ] {
            assert!(matches!(headers(&[bad], 7), Err(StorageError::Unusable(_))), "{bad:?}");
        }
    }
}
