//! The server's API, as a node calls it: by version 2, and where the server does not have that, by version 1.

mod calls;
mod error;
mod spoken;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filemill_api::{Problem, WhoAmI, paths};
use filemill_transport::{BodyError, Http, Moment, describe, read_body};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use self::calls::Call;
pub(crate) use self::error::CallError;
pub(crate) use self::spoken::Major;
use self::spoken::Spoken;
use super::server_clock::ServerClock;
use super::token::Token;

/// The longest answer that is read: a lease of a thousand spans has a few hundred KiB.
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
    spoken: Spoken,
    clock: ServerClock,
}

/// A request's body, as JSON.
type Body = Option<Vec<u8>>;

impl Server {
    /// The server at `base`, for a node of that name and pool.
    pub(crate) fn new(http: Http, base: &Url, token: Token, node: String, pool: String) -> Self {
        Self { token: Some(token), node, pool, ..Self::without_token(http, base) }
    }

    /// The server at `base`, for the calls that need no token.
    pub(crate) fn without_token(http: Http, base: &Url) -> Self {
        let base = base.as_str().trim_end_matches('/').to_owned();
        let (node, pool) = (String::new(), String::new());
        let (away, spoken, clock) = (AtomicBool::new(false), Spoken::default(), ServerClock::default());
        Self { http, base, token: None, node, pool, away, spoken, clock }
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

    /// Makes a call that the versions have in different words, in `least` or a later one. `wait` is how long the server may hold the call
    /// on purpose.
    ///
    /// # Errors
    ///
    /// [`CallError`]; [`OlderServer`](CallError::OlderServer) where only version 2 will do and the server does not have it.
    pub(crate) async fn ask<C: Call>(&self, call: &C, wait: Duration, least: Major) -> Result<C::Answer, CallError> {
        self.ask_in(call, wait, least).await.map(|(answer, _)| answer)
    }

    /// The same, and in which version it was answered.
    ///
    /// # Errors
    ///
    /// As for [`ask`](Self::ask).
    pub(crate) async fn ask_in<C: Call>(
        &self,
        call: &C,
        wait: Duration,
        least: Major,
    ) -> Result<(C::Answer, Major), CallError> {
        let body = |major| match major {
            Major::Two => json(call),
            Major::One => call.old().map_err(|_| CallError::OlderServer).and_then(|old| json(&old)),
        };
        let answered = self.exchange(Method::POST, C::PATH, body, wait, least).await;
        self.notice(answered.as_ref().err());
        let (answer, major) = answered?;
        let answer: C::Answer = match major {
            Major::Two => read(C::PATH, &answer)?,
            Major::One => read::<C::OldAnswer>(C::PATH, &answer)?.into(),
        };
        Ok((answer, major))
    }

    /// Posts `request`, which is the same in both versions, and reads the answer.
    pub(crate) async fn post<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, CallError> {
        self.call(Method::POST, path, json(request)?).await
    }

    /// Posts `request`, which is the same in both versions; the answer says nothing but that it was taken.
    pub(crate) async fn tell(&self, path: &str, request: &impl Serialize) -> Result<(), CallError> {
        self.alike(Method::POST, path, json(request)?).await.map(drop)
    }

    /// Puts `request`, which is the same in both versions, and reads the answer.
    pub(crate) async fn put<Answer: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<Answer, CallError> {
        self.call(Method::PUT, path, json(request)?).await
    }

    /// Puts a JSON document as it is; the answer says nothing but that it was taken.
    pub(crate) async fn put_document(&self, path: &str, document: &str) -> Result<(), CallError> {
        self.alike(Method::PUT, path, Some(document.as_bytes().to_vec())).await.map(drop)
    }

    /// Asks who this node is. Of a token that is refused nothing is said here: at a node's start that is its end.
    pub(crate) async fn first_answer(&self) -> Result<WhoAmI, CallError> {
        let answer = self.exchange(Method::GET, paths::WHOAMI, |_| Ok(None), Duration::ZERO, Major::One).await;
        self.notice(answer.as_ref().err().filter(|error| !error.is_unauthorised()));
        read(paths::WHOAMI, &answer?.0)
    }

    /// Gets the answer.
    pub(crate) async fn get<Answer: DeserializeOwned>(&self, path: &str) -> Result<Answer, CallError> {
        self.call(Method::GET, path, None).await
    }

    async fn call<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Answer, CallError> {
        read(path, &self.alike(method, path, body).await?)
    }

    /// A call that is the same in both versions but for its path.
    async fn alike(&self, method: Method, path: &str, body: Body) -> Result<Vec<u8>, CallError> {
        let answer = self.exchange(method, path, |_| Ok(body.clone()), Duration::ZERO, Major::One).await;
        self.notice(answer.as_ref().err());
        answer.map(|(answer, _)| answer)
    }

    /// Makes a call in the version that the server speaks, in `least` or a later one, and says in which. `path` is that of version 2.
    ///
    /// That there is nothing at a path is what a server says of a version that it does not speak, and of a thing that it does not have, in
    /// the same words. So the call is made in the other version then: only what there is in neither is not there. Behind one address there
    /// may be servers of both versions, which answer in turn.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: impl Fn(Major) -> Result<Body, CallError>,
        wait: Duration,
        least: Major,
    ) -> Result<(Vec<u8>, Major), CallError> {
        let first = least.max(self.spoken.first());
        let nothing = match self.send(&method, path, first, body(first)?, wait).await {
            Err(error) if self.is_nothing(&error) => error,
            answer => return self.answered(answer, first),
        };
        if first == Major::Two {
            self.look(path).await;
        }
        if least == Major::Two {
            return Err(CallError::OlderServer);
        }
        let other = first.other();
        match self.send(&method, path, other, body(other)?, wait).await {
            Err(error) if self.is_nothing(&error) => Err(nothing),
            answer => self.answered(answer, other),
        }
    }

    fn answered(&self, answer: Result<Vec<u8>, CallError>, major: Major) -> Result<(Vec<u8>, Major), CallError> {
        if answer.is_ok() && major == Major::Two {
            self.spoken.found(Major::Two);
        }
        answer.map(|answer| (answer, major))
    }

    /// Whether this may be what a server says of a version that it does not have, or a proxy of a path that it does not pass on; of the one
    /// call without a token it may also say that there has to be one.
    fn is_nothing(&self, error: &CallError) -> bool {
        match error {
            CallError::Foreign(status) => *status == StatusCode::NOT_FOUND,
            CallError::Refused { status: StatusCode::NOT_FOUND, .. } => true,
            CallError::Refused { status, .. } => self.token.is_none() && *status == StatusCode::UNAUTHORIZED,
            CallError::Away(_) | CallError::Malformed(_) | CallError::OlderServer => false,
        }
    }

    /// There is nothing at this path of version 2: finds out whether that is so of a call that each server of that version has. Without a
    /// token nothing is found out, because a server of either version answers that call with 401 then.
    async fn look(&self, path: &str) {
        if self.token.is_none() {
            return;
        }
        let nothing = if path == paths::WHOAMI {
            true
        } else {
            match self.send(&Method::GET, paths::WHOAMI, Major::Two, None, Duration::ZERO).await {
                Ok(_) => false,
                Err(error) if self.is_nothing(&error) => true,
                // It says neither.
                Err(_) => return,
            }
        };
        self.spoken.found(if nothing { Major::One } else { Major::Two });
    }

    /// Makes one request.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        major: Major,
        body: Body,
        wait: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let url = match major {
            Major::One => format!("{}{}", self.base, paths::in_v1(path)),
            Major::Two => format!("{}{path}", self.base),
        };
        let mut request = self.http.request(method.clone(), url).timeout(wait + CALL);
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
            // It is there, which was said where its version was found.
            Some(CallError::OlderServer) => {}
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

fn json(request: &impl Serialize) -> Result<Body, CallError> {
    serde_json::to_vec(request).map(Some).map_err(|error| CallError::Malformed(error.to_string()))
}

fn read<Answer: DeserializeOwned>(path: &str, answer: &[u8]) -> Result<Answer, CallError> {
    serde_json::from_slice(answer).map_err(|error| CallError::Malformed(format!("`{path}`: {error}")))
}

/// The server's error, whatever its code: a newer one may have others. What does not have its form is not the server's.
fn refusal(status: StatusCode, body: &[u8]) -> CallError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => CallError::Refused { status, body: problem.error },
        Err(_) => CallError::Foreign(status),
    }
}

#[cfg(test)]
mod tests {
    use filemill_api::{ErrorBody, ErrorCode};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::client;

    /// Where a server of both versions answers that there is no such one-time code, and whoever has no token that there has to be one.
    async fn current() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut stream, mut head) = (BufReader::new(stream), String::new());
                while stream.read_line(&mut head).await.is_ok_and(|bytes| bytes > 2) {}
                let code = if head.contains(paths::WHOAMI) { ErrorCode::Unauthenticated } else { ErrorCode::NotFound };
                let error = ErrorBody { code, message: "no".to_owned(), hint: None };
                let body = serde_json::to_string(&Problem { error, request_id: "1".to_owned() }).expect("JSON");
                let (status, length) = (code.status(), body.len());
                let answer =
                    format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        base.parse().expect("a URL")
    }

    #[tokio::test]
    async fn a_code_that_is_not_good_makes_no_server_an_old_one() {
        let server = Server::without_token(client().expect("a client"), &current().await);
        let answer = server.get::<WhoAmI>(paths::JOINS).await;
        assert!(
            matches!(answer, Err(CallError::Refused { status: StatusCode::NOT_FOUND, .. })),
            "{:?}",
            answer.map(|_| ())
        );
        assert_eq!(server.spoken.first(), Major::Two, "it is of today");
    }
}
