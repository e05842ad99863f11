//! How a call is made: in either major, repeated until it is answered.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_api::{ErrorBody, ErrorCode, Item, Problem, paths};
use filemill_transport::{BodyError, Moment, describe, read_body, retry_after};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attempt::Attempt;
use super::backoff::backoff;
use super::majors::{Answer, Asked, Major, in_turn};
use super::reach::Told;
use super::{Api, Patience};
use crate::error::{Error, NoAnswer};
use crate::event::Trouble;

/// How long one request may take. The largest carries a few MiB.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// After so long without an answer it is said what is waited for.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes. A page of results that are as large as may be inline is the longest.
pub(super) const ANSWER_MAX_BYTES: usize = 32 << 20;
/// Longest answer to a request that failed, in bytes.
const PROBLEM_MAX_BYTES: usize = 64 << 10;
/// Attempts of a caller that does not want to wait long.
const BRIEF_ATTEMPTS: u32 = 4;

/// For how long such a caller waits before an attempt, whatever the server asks for.
const BRIEF_PAUSE_MAX: Duration = Duration::from_secs(5);
/// A longer pause is told of such a caller's first attempt, too.
const TOLD_PAUSE: Duration = Duration::from_secs(1);

impl Api {
    pub(super) fn all_answered<T>(&self, asked: usize, answers: Vec<Item<T>>) -> Result<Vec<Item<T>>, Error> {
        if answers.len() == asked { Ok(answers) } else { Err(self.not_all_answered(asked, answers.len())) }
    }

    pub(super) fn not_all_answered(&self, asked: usize, answers: usize) -> Error {
        self.protocol(format!("{answers} answers to {asked} questions"))
    }

    pub(super) fn protocol(&self, detail: String) -> Error {
        Error::Protocol { server: self.server().to_owned(), detail }
    }

    /// A call whose answer is the same in both majors.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, patience: Patience) -> Result<T, Error> {
        self.call::<T, T>(patience, Asked::get(path)).await.map(Answer::into_new)
    }

    /// A call whose body and answer are the same in both majors.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        patience: Patience,
    ) -> Result<T, Error> {
        self.call::<T, T>(patience, Asked::post(path, self.encoded(body)?)).await.map(Answer::into_new)
    }

    /// A body, which is encoded once, however often it is sent.
    pub(super) fn encoded(&self, body: &impl Serialize) -> Result<Bytes, Error> {
        serde_json::to_vec(body).map(Bytes::from).map_err(|error| self.protocol(error.to_string()))
    }

    pub(super) fn request(&self, major: Major, asked: &Asked<'_>) -> Result<RequestBuilder, Error> {
        let path = asked.path(major);
        let url = self.server.join(&path).map_err(|error| self.protocol(format!("path `{path}`: {error}")))?;
        let request = self.http.request(asked.method(), url);
        let request = match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization.clone()),
            None => request,
        };
        Ok(match asked.body(major) {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            None => request,
        })
    }

    pub(super) async fn call<N, O>(&self, patience: Patience, asked: Asked<'_>) -> Result<Answer<N, O>, Error>
    where
        N: DeserializeOwned,
        O: DeserializeOwned,
    {
        let mut backoff = backoff();
        loop {
            if asked.has_body() && self.majors.is_in_doubt() {
                // By a call that always is there and is short: of a long one a server may not read all that it does not know.
                let short = Asked::get(paths::WHOAMI);
                let _ = in_turn(&self.majors, &short, |major| self.send_in(major, &short)).await;
            }
            let attempt = in_turn(&self.majors, &asked, |major| self.ask_in(major, &asked)).await;
            let (error, wanted) = match attempt {
                Ok(answer) => {
                    self.recovered();
                    return Ok(answer);
                }
                Err(Attempt::Final(error)) => return Err(error),
                // A proxy that passes on the paths of version 1 alone says so for ever, and this call is not made in that.
                Err(Attempt::Nowhere(..)) if !asked.is_in_v1() => return Err(self.no_such_call(&asked)),
                Err(Attempt::Again(error, wanted) | Attempt::Nowhere(error, wanted)) => (error, wanted),
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

    /// What a server says that does not know the call.
    fn no_such_call(&self, asked: &Asked<'_>) -> Error {
        let message = format!("nothing answers at `{}`", asked.path(Major::Two));
        let body = ErrorBody { code: ErrorCode::NotFound, message, hint: None };
        Error::Refused { server: self.server().to_owned(), body }
    }

    async fn ask_in<N, O>(&self, major: Major, asked: &Asked<'_>) -> Result<Answer<N, O>, Attempt>
    where
        N: DeserializeOwned,
        O: DeserializeOwned,
    {
        let request = self.request(major, asked).map_err(Attempt::Final)?;
        match major {
            Major::Two => self.ask(request).await.map(Answer::New),
            Major::One => self.ask(request).await.map(Answer::Old),
        }
    }

    pub(super) async fn send_in(&self, major: Major, asked: &Asked<'_>) -> Result<Response, Attempt> {
        let request = self.request(major, asked).map_err(Attempt::Final)?;
        self.send(request, Some(REQUEST_TIMEOUT)).await
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
            Err(BodyError::Broken(why)) => return Err(Attempt::Again(self.cut_off(why), None)),
        };
        serde_json::from_slice(&body).map_err(|error| Attempt::Final(self.protocol(error.to_string())))
    }

    /// Sends one request, and hands the answer back if it is a success.
    pub(super) async fn send(&self, request: RequestBuilder, timeout: Option<Duration>) -> Result<Response, Attempt> {
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
            let error = Error::Unreachable { server, why };
            return match status {
                StatusCode::NOT_FOUND => Attempt::Nowhere(error, wanted),
                _ => Attempt::Again(error, wanted),
            };
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

    pub(super) fn cut_off(&self, why: String) -> Error {
        Error::Unreachable { server: self.server().to_owned(), why: NoAnswer::CutOff(why) }
    }

    pub(super) fn unreachable(&self, why: String) -> Error {
        Error::Unreachable { server: self.server().to_owned(), why: NoAnswer::Unreached(why) }
    }
}

/// What an answer is that the server does not give: it answers in JSON.
fn other_than_json(response: &Response) -> Option<String> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    (!kind.eq_ignore_ascii_case("application/json")).then(|| kind.chars().take(80).collect())
}
