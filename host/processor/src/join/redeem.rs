//! Showing a code to the server, for as long as it is away or busy and somebody may wait.

use std::time::Duration;

use filemill_api::limits::JOIN_CODE_SECONDS;
use filemill_api::{ErrorCode, JoinAnswer, JoinRequest, LoginCode, join_code, paths, shown_join_code};
use filemill_text::cut;
use reqwest::StatusCode;
use tokio::time::Instant;
use url::Url;

use super::error::JoinError;
use super::folder::ProcessorFolder;
use super::sha256_of;
use crate::error::NodeError;
use crate::net::{Backoff, CallError, Http, Origin, Server, Token, client};
use crate::pool::PoolFolder;

/// When a person who waits is told that it goes on.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// What a code gave.
pub(super) struct Granted {
    pub(super) token: Token,
    pub(super) pool: String,
    pub(super) login: Option<LoginCode>,
}

/// How a server is asked that may be away or busy.
pub(super) struct Asking<'a> {
    pub(super) server: &'a Url,
    pub(super) patience: Duration,
}

impl Asking<'_> {
    /// Asks again after pauses that grow, while the server may answer otherwise later.
    ///
    /// # Errors
    ///
    /// The last one. [`may_pass`] tells whether patience was over.
    pub(super) async fn patiently<T>(&self, ask: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
        let since = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut is_told = false;
        loop {
            let error = match ask().await {
                Err(error) if may_pass(&error) => error,
                done => return done,
            };
            let (waited, pause) = (since.elapsed(), backoff.delay());
            if waited + pause > self.patience {
                return Err(error);
            }
            if waited + pause > TOLD_AFTER && !is_told {
                is_told = true;
                let (server, seconds) = (Origin::of(self.server), self.patience.as_secs());
                tracing::warn!("still waiting for `{server}`, for {seconds} s altogether: {error}");
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Shows the server the code, by bytes that are on the disk before, and checks what it gives.
///
/// # Errors
///
/// [`JoinError`]: [`Refused`](JoinError::Refused) is for good, [`Away`](JoinError::Away) is not.
pub(super) async fn redeem(
    asking: &Asking<'_>,
    folder: &ProcessorFolder,
    code: &str,
    own: Option<&PoolFolder>,
) -> Result<(Granted, Http), JoinError> {
    let request = JoinRequest {
        code: code.to_owned(),
        redeemer: folder.redeemer(&sha256_of(code))?,
        scope: "processor".into(),
        pool: own.map(|pool| pool.enrolment().pool().to_owned()),
    };
    let http = client().map_err(|error| NodeError::Http(error.to_string()))?;
    let node = Server::without_token(http.clone(), asking.server);
    let answer: Result<JoinAnswer, _> = asking.patiently(async || node.post(paths::JOINS, &request).await).await;
    let answer = answer.map_err(|error| refusal(asking.server, error))?;
    let refuse = |why: String| JoinError::Answer { server: Origin::of(asking.server).to_string(), why };
    Ok((granted(answer).map_err(refuse)?, http))
}

/// What an answer gives, if all of it can be kept and shown.
///
/// # Errors
///
/// What is wrong with it.
fn granted(answer: JoinAnswer) -> Result<Granted, String> {
    let pool = answer.pool.filter(|_| answer.scope == "processor");
    let pool = pool.ok_or_else(|| format!("a token of scope `{}`", cut(answer.scope, 64)))?;
    // It is written into a file, and read from there.
    let token = Token::checked(&answer.token)
        .ok_or("a token that is empty, longer than 4096 characters, or not of letters, digits and signs alone")?;
    Ok(Granted { token, pool, login: answer.login.map(checked_login).transpose()? })
}

/// A code for a person: it is pasted into a shell, which would obey other words of the server's.
fn checked_login(login: LoginCode) -> Result<LoginCode, String> {
    let code = join_code(&login.code).ok_or("a login code that is not one")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=64).contains(&login.user.len()) || !login.user.bytes().all(plain) {
        return Err("a login code for a user whose name is not 1 to 64 characters of [A-Za-z0-9._-]".to_owned());
    }
    if login.expires_in_s > JOIN_CODE_SECONDS {
        return Err(format!(
            "a login code that is good for {} s, where {JOIN_CODE_SECONDS} s are the most",
            login.expires_in_s
        ));
    }
    Ok(LoginCode { code: shown_join_code(&code), ..login })
}

/// Whether the same call may be answered otherwise soon. A token or a code that is not good stays so.
pub(super) fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Away(_) | CallError::OlderServer => true,
        CallError::Refused { status, body } => code_may_pass(body.code, *status),
        CallError::Foreign(status) => status_may_pass(*status),
        CallError::Malformed(_) => false,
    }
}

fn code_may_pass(code: ErrorCode, status: StatusCode) -> bool {
    match code {
        ErrorCode::OverQuota | ErrorCode::Unavailable | ErrorCode::Internal => true,
        ErrorCode::BadRequest
        | ErrorCode::Unauthenticated
        | ErrorCode::Forbidden
        | ErrorCode::NotFound
        | ErrorCode::Conflict
        | ErrorCode::Fenced => false,
        // A later server's: its status says as much.
        _ => status_may_pass(status),
    }
}

fn status_may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// What a code that is not redeemed means for the person who waits.
fn refusal(server: &Url, error: CallError) -> JoinError {
    let server = Origin::of(server).to_string();
    if may_pass(&error) {
        return JoinError::Away { server, why: error.to_string() };
    }
    match error {
        CallError::Refused { body, .. } => JoinError::Refused { server, body },
        CallError::Malformed(why) => JoinError::Answer { server, why },
        CallError::Foreign(status) => {
            JoinError::Answer { server, why: format!("{status} without a reason that this program can read") }
        }
        error @ (CallError::Away(_) | CallError::OlderServer) => JoinError::Away { server, why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_reason_to_refuse_it_is_known_whether_it_passes() {
        let passing = [ErrorCode::OverQuota, ErrorCode::Unavailable, ErrorCode::Internal];
        for code in ErrorCode::ALL {
            let status = StatusCode::from_u16(code.status()).expect("a status");
            assert_eq!(code_may_pass(code, status), passing.contains(&code), "{}", code.code());
            // What a code means does not depend on its status.
            assert_eq!(code_may_pass(code, StatusCode::IM_A_TEAPOT), passing.contains(&code), "{}", code.code());
        }
        for (status, passes) in [(503, true), (429, true), (408, true), (400, false), (409, false)] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(code_may_pass(ErrorCode::Unknown, status), passes, "{status}");
        }
    }

    #[test]
    fn no_words_of_a_servers_come_into_a_line_that_a_person_pastes() {
        let login = |code: &str| LoginCode { code: code.to_owned(), user: "ann".into(), expires_in_s: 600 };
        let code = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
        let shown = checked_login(login(&code.replace('-', "").to_lowercase())).map(|login| login.code);
        assert_eq!(shown.as_deref(), Ok(code));
        for hostile in ["$(halt)", "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV;halt", "", "`halt`"] {
            assert!(checked_login(login(hostile)).is_err(), "{hostile}");
        }
    }
}
