//! The server's API, as a node calls it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filemill_api::paths::v1 as paths;
use filemill_api::{ErrorBody, Problem, WhoAmI};
use filemill_transport::{BodyError, Http, Moment, describe, read_body};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::server_clock::ServerClock;
use super::token::Token;

/// The longest answer that is read: a lease of a thousand runs has a few hundred KiB.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// Longest answer to a request that failed, in bytes.
const PROBLEM_MAX_BYTES: usize = 64 << 10;
/// What a call may take beyond the time it waits on purpose.
const CALL: Duration = Duration::from_secs(30);

/// The server, as this node calls it.
pub(crate) struct Server {
    http: Http,
    base: String,
    /// None: nobody has given one yet.
    token: Option<Token>,
    /// The node's name with a number of its own for this start.
    node: String,
    pool: String,
    away: AtomicBool,
    clock: ServerClock,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Not reached, cut off, or answered by something else than the server.
    #[error("it does not answer: {0}")]
    Away(String),
    /// The server's own answer.
    #[error("it answers {status}: {body}")]
    Refused { status: StatusCode, body: ErrorBody },
    /// Something else answered in the server's place, or something before it, such as a proxy.
    #[error(
        "it answers {0} without a reason that this program can read (hint: check that the address is a filemill server's)"
    )]
    Foreign(StatusCode),
    /// An answer that breaks the protocol.
    #[error("its answer breaks the protocol: {0}")]
    Malformed(String),
}

impl CallError {
    /// Whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Refused { status, .. } | Self::Foreign(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                    // A token may be made valid again, and work in hand is worth the wait.
                    || self.is_unauthorised()
            }
            Self::Malformed(_) => false,
        }
    }

    /// Whether the token is not (or no longer) good.
    pub(crate) fn is_unauthorised(&self) -> bool {
        matches!(
            self,
            Self::Refused { status, .. } | Self::Foreign(status)
                if matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }
}

impl Server {
    /// The server at `base`, for a node of that name and pool.
    pub(crate) fn new(http: Http, base: &Url, token: Token, node: String, pool: String) -> Self {
        Self { token: Some(token), node, pool, ..Self::without_token(http, base) }
    }

    /// The server at `base`, for the calls that need no token.
    pub(crate) fn without_token(http: Http, base: &Url) -> Self {
        let base = base.as_str().trim_end_matches('/').to_owned();
        let (node, pool) = (String::new(), String::new());
        Self { http, base, token: None, node, pool, away: AtomicBool::new(false), clock: ServerClock::default() }
    }

    /// By what name this node calls.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// The pool that it belongs to.
    pub(crate) fn pool(&self) -> &str {
        &self.pool
    }

    /// What time the server says that it is.
    pub(crate) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Posts `request` and reads the answer. `wait` is how long the server may hold the call on purpose.
    pub(crate) async fn post<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
        wait: Duration,
    ) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(request).map_err(|error| CallError::Malformed(error.to_string()))?;
        self.call(Method::POST, path, Some(body), wait).await
    }

    /// Posts `request`; the answer says nothing but that it was taken.
    pub(crate) async fn tell(&self, path: &str, request: &impl Serialize) -> Result<(), CallError> {
        let body = serde_json::to_vec(request).map_err(|error| CallError::Malformed(error.to_string()))?;
        let answer = self.exchange(Method::POST, path, Some(body), Duration::ZERO).await;
        self.notice(answer.as_ref().err());
        answer.map(drop)
    }

    /// Puts `request` and reads the answer.
    pub(crate) async fn put<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(request).map_err(|error| CallError::Malformed(error.to_string()))?;
        self.call(Method::PUT, path, Some(body), Duration::ZERO).await
    }

    /// Puts a JSON document as it is; the answer says nothing but that it was taken.
    pub(crate) async fn put_document(&self, path: &str, document: &str) -> Result<(), CallError> {
        let answer = self.exchange(Method::PUT, path, Some(document.as_bytes().to_vec()), Duration::ZERO).await;
        self.notice(answer.as_ref().err());
        answer.map(drop)
    }

    /// Asks who this node is. Of a token that is refused nothing is said here: at a node's start that is its end.
    pub(crate) async fn first_answer(&self) -> Result<WhoAmI, CallError> {
        let answer = self.exchange(Method::GET, paths::WHOAMI, None, Duration::ZERO).await;
        self.notice(answer.as_ref().err().filter(|error| !error.is_unauthorised()));
        serde_json::from_slice(&answer?).map_err(|error| CallError::Malformed(format!("`{}`: {error}", paths::WHOAMI)))
    }

    /// Gets the answer.
    pub(crate) async fn get<Answer: DeserializeOwned>(&self, path: &str) -> Result<Answer, CallError> {
        self.call(Method::GET, path, None, Duration::ZERO).await
    }

    async fn call<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        wait: Duration,
    ) -> Result<Answer, CallError> {
        let answer = self.exchange(method, path, body, wait).await;
        self.notice(answer.as_ref().err());
        let answer = answer?;
        serde_json::from_slice(&answer).map_err(|error| CallError::Malformed(format!("`{path}`: {error}")))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        wait: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).timeout(wait + CALL);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let asked = Moment::now();
        let response = request.send().await.map_err(|error| CallError::Away(describe(error)))?;
        self.clock.learn(asked, response.headers());
        let status = response.status();
        if status.is_redirection() {
            return Err(CallError::Malformed("it redirects, which is not followed".to_owned()));
        }
        let most = if status.is_success() { ANSWER_MAX_BYTES } else { PROBLEM_MAX_BYTES };
        let bytes = match read_body(response, most, 0).await {
            Ok(bytes) => bytes,
            // No reason of the server's is as long.
            Err(BodyError::TooLong) if !status.is_success() => Vec::new(),
            Err(BodyError::Broken(why)) => return Err(CallError::Away(why)),
            Err(BodyError::TooLong) => {
                return Err(CallError::Malformed(format!("more than {ANSWER_MAX_BYTES} bytes")));
            }
        };
        if status.is_success() { Ok(bytes) } else { Err(refusal(status, &bytes)) }
    }

    /// Says when the server goes away and when it is back, once each.
    fn notice(&self, error: Option<&CallError>) {
        match error {
            Some(error) if error.is_transient() => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(server = %self.base, "the server cannot be used: {error}; trying again until it can");
                }
            }
            _ => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!(server = %self.base, "the server is back");
                }
            }
        }
    }
}

/// The server's error, whatever its code: a newer one may have others. What does not have its form is not the server's.
fn refusal(status: StatusCode, body: &[u8]) -> CallError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => CallError::Refused { status, body: problem.error },
        Err(_) => CallError::Foreign(status),
    }
}
