//! Joining a server by a one-time code.

mod folder;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_api::{ErrorBody, JoinAnswer, JoinRequest, LoginCode, join_code, paths, shown_join_code};
use filemill_seal::Enrolment;
use url::Url;

use crate::error::NodeError;
use crate::net::{Backoff, CallError, Origin, Server, Token, client};
use crate::pool::{PoolFolder, PoolFolderError, announcement, check_vacant};
pub use folder::{Joined, ProcessorFolder};

/// How often a server is asked that does not answer: somebody waits.
const ATTEMPTS: u32 = 5;
/// The life of a statement of a pool that is made here, in days: what `pool init` takes.
const LIFETIME_DAYS: u32 = 7;

/// What is joined, and where that is kept.
#[derive(Clone)]
pub struct JoinConfig {
    /// The server.
    pub server: Url,
    /// The code, as it was shown or typed.
    pub code: String,
    /// Where presigned URLs may point to, and nowhere else.
    pub storage_origins: Vec<Origin>,
    /// Whether server and storage may be asked over plain http beyond this machine.
    pub allow_plain_http: bool,
    /// Where token and pool are kept.
    pub folder: ProcessorFolder,
}

/// What came of it. The processor's folder has all that it needs to run.
#[derive(Clone, Debug)]
pub struct Join {
    /// The pool, whose keys were made here if there were none: what clients pin.
    pub enrolment: Enrolment,
    /// A code for a person, to be shown and kept nowhere; `None` if the processor's came without, or was redeemed here before.
    pub login: Option<LoginCode>,
    /// Whether the processor had joined by this code before: nothing was asked then.
    pub is_repeated: bool,
    /// Why the server does not take the pool's statement yet, if so.
    pub unpublished: Option<String>,
}

/// Why a processor does not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// What was given as a code is not one.
    #[error("that is not a one-time code")]
    Code,
    /// A token stands in a command line.
    #[error("that is a token, and a code is wanted")]
    Token,
    /// The server refuses the code.
    #[error("`{server}` refuses the code: {}", .body.message)]
    Refused {
        /// The server.
        server: String,
        /// What it says.
        body: ErrorBody,
    },
    /// The server cannot be reached.
    #[error("`{server}` cannot be used: {why}")]
    Away {
        /// The server.
        server: String,
        /// Why.
        why: String,
    },
    /// The answer is not what was asked for.
    #[error("`{server}` gives what was not asked for: {why}")]
    Answer {
        /// The server.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder is that of a processor of another server.
    #[error("the folder belongs to a processor that has joined `{server}`")]
    OtherServer {
        /// That server.
        server: String,
    },
    /// A setting, or no HTTP client.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] PoolFolderError),
}

impl JoinError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Code => "it has 28 letters and digits, in groups of four with hyphens between them".into(),
            Self::Token => {
                "others on this machine can read a command line: revoke it (`filemill-server token revoke`), and run \
                 `filemill-processor run --token-file FILE` with another"
                    .into()
            }
            Self::Refused { body, .. } => {
                body.hint.clone().unwrap_or_else(|| "ask for another code (`filemill-server join-code create`)".into())
            }
            Self::Away { .. } => "run the same line again once it answers: the code is good for ten minutes".into(),
            Self::Answer { .. } => {
                "check that the address is a filemill server's, of this version or a later one".into()
            }
            Self::OtherServer { .. } => "name another folder with --dir".into(),
            Self::Node(error) => error.hint(),
            Self::Folder(error) => error.hint(),
        }
    }
}

/// Redeems the code, makes the pool's keys if there are none, keeps the token, and announces the pool. The same again changes nothing,
/// whatever was interrupted.
///
/// # Errors
///
/// [`JoinError`]; what was kept before is as it was, but for the bytes by which the redeemer is known again.
pub async fn join(config: JoinConfig) -> Result<Join, JoinError> {
    config.check()?;
    let JoinConfig { server, code, storage_origins, folder, .. } = config;
    let code = join_code(&code)
        .ok_or_else(|| if code.trim_start().starts_with("fm_") { JoinError::Token } else { JoinError::Code })?;
    let code_sha256 = HEXLOWER.encode(digest(&SHA256, code.as_bytes()).as_ref());
    let origins = storage_origins.iter().map(ToString::to_string).collect();
    let joined = Joined::new(server.clone(), origins, code_sha256.clone());
    let _lock = folder.lock()?;
    let own = own_pool(&folder)?;
    match folder.joined()? {
        Some(before) if before.server != server => {
            return Err(JoinError::OtherServer { server: Origin::of(&before.server).to_string() });
        }
        Some(before) if before.is_by(&code_sha256) => {
            // What else the line says may have been put right.
            folder.set(&joined)?;
            let pool = own.ok_or_else(|| PoolFolderError::Missing { dir: folder.pool() })?;
            let enrolment = pool.enrolment().clone();
            return Ok(Join { enrolment, login: None, is_repeated: true, unpublished: None });
        }
        _ => {}
    }
    let request = JoinRequest {
        code,
        redeemer: folder.redeemer(&code_sha256)?,
        scope: "processor".into(),
        pool: own.as_ref().map(|pool| pool.enrolment().pool().to_owned()),
    };
    let http = client().map_err(|error| NodeError::Http(error.to_string()))?;
    let answer = redeem(&Server::without_token(http.clone(), &server), &server, &request).await?;
    let refuse = |why: String| JoinError::Answer { server: Origin::of(&server).to_string(), why };
    let name = answer.pool.clone().filter(|_| answer.scope == "processor");
    let name = name.ok_or_else(|| refuse(format!("a token of scope `{}`", answer.scope)))?;
    let login = answer.login.map(|login| typed(login).ok_or_else(|| refuse("a login code that is not one".to_owned())));
    let login = login.transpose()?;
    let pool = match own {
        Some(pool) if pool.enrolment().pool() == name => pool,
        Some(_) => return Err(refuse(format!("a token for pool `{name}`"))),
        None => PoolFolder::init(&folder.pool(), &name, LIFETIME_DAYS)?,
    };
    folder.keep(&answer.token, &joined)?;
    let server = Server::new(http, &server, Token::from(answer.token), String::new(), name);
    let unpublished = announce(&server, &pool).await.err().map(|error| error.to_string());
    Ok(Join { enrolment: pool.enrolment().clone(), login, is_repeated: false, unpublished })
}

impl JoinConfig {
    fn check(&self) -> Result<(), NodeError> {
        if !matches!(self.server.scheme(), "http" | "https") {
            return Err(NodeError::Config { setting: "server", rule: "an http or https URL" });
        }
        let server = Origin::of(&self.server);
        match self.storage_origins.iter().chain([&server]).find(|origin| !origin.is_private()) {
            Some(origin) if !self.allow_plain_http => Err(NodeError::PlainHttp { origin: origin.to_string() }),
            _ => Ok(()),
        }
    }
}

/// The code, if it is one: it is pasted into a shell, which would obey other words of the server's.
fn typed(login: LoginCode) -> Option<LoginCode> {
    Some(LoginCode { code: shown_join_code(&join_code(&login.code)?), ..login })
}

/// The pool whose keys the processor has already.
fn own_pool(folder: &ProcessorFolder) -> Result<Option<PoolFolder>, PoolFolderError> {
    match PoolFolder::open(&folder.pool()) {
        // Where a part of one is left, that is what is said.
        Err(missing @ PoolFolderError::Missing { .. }) => match check_vacant(&folder.pool()) {
            Err(PoolFolderError::Exists { .. }) => Err(missing),
            vacant => vacant.map(|()| None),
        },
        pool => pool.map(Some),
    }
}

/// Asks some times, while the server does not answer.
async fn redeem(server: &Server, url: &Url, request: &JoinRequest) -> Result<JoinAnswer, JoinError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut attempts = 1;
    loop {
        let error = match server.post(paths::JOINS, request, Duration::ZERO).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_worth_it = error.is_transient() && !error.is_unauthorised();
        if is_worth_it && attempts < ATTEMPTS {
            attempts += 1;
            backoff.wait().await;
            continue;
        }
        let server = Origin::of(url).to_string();
        return Err(match error {
            CallError::Refused { body, .. } => JoinError::Refused { server, body },
            CallError::Malformed(why) => JoinError::Answer { server, why },
            other => JoinError::Away { server, why: other.to_string() },
        });
    }
}

/// Tells the server the pool's statement, so that the person who logs in next finds it there. The node does it again.
async fn announce(server: &Server, pool: &PoolFolder) -> Result<(), CallError> {
    let request = announcement(pool).map_err(|error| CallError::Malformed(error.to_string()))?;
    server.tell(paths::POOLS, &request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_of_a_servers_come_into_a_line_that_a_person_pastes() {
        let login = |code: &str| LoginCode { code: code.to_owned(), user: "ann".into(), expires_in_s: 600 };
        let code = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
        assert_eq!(typed(login(&code.replace('-', "").to_lowercase())).map(|login| login.code).as_deref(), Some(code));
        for hostile in ["$(halt)", "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV;halt", "", "`halt`"] {
            assert!(typed(login(hostile)).is_none(), "{hostile}");
        }
    }
}
