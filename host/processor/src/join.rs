//! Joining a server by a one-time code.

mod announce;
mod error;
mod folder;
mod redeem;

use std::fs::File;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_api::{LoginCode, join_code};
use filemill_seal::Enrolment;
use url::Url;

use self::announce::{Announced, announce};
use self::redeem::{Asking, Granted, redeem};
use crate::error::NodeError;
use crate::net::{Origin, Server};
use crate::pool::{PoolDraft, PoolFolder, PoolFolderError, check_vacant, take_away};
pub use error::JoinError;
pub use folder::{Joined, ProcessorFolder};

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
    /// How long a server is asked again that is away or busy: somebody waits.
    pub patience: Duration,
}

/// What came of it. The processor's folder has all that it needs to run; nobody else joins in it until this is dropped.
#[derive(Debug)]
pub struct Join {
    /// The pool, whose keys were made here if there were none: what clients pin.
    pub enrolment: Enrolment,
    /// A code for a person, to be shown and kept nowhere; `None` if the processor's came without, or was [`shown`](Self::shown) before.
    pub login: Option<LoginCode>,
    /// Whether the processor had joined by this code before. What it gave is asked for again only if it was not shown yet.
    pub is_repeated: bool,
    /// Why the server does not take the pool's statement yet, if so.
    pub unpublished: Option<String>,
    /// Why it is not known whether there is a code for a person that was not shown yet, if so.
    pub not_again: Option<String>,
    folder: ProcessorFolder,
    is_over: bool,
    _lock: File,
}

impl Join {
    /// Says that a person has seen it: the server is not asked for it again. Lets others join in the folder.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn shown(self) -> Result<(), PoolFolderError> {
        if self.is_over { self.folder.forget_redeemer() } else { Ok(()) }
    }
}

/// Redeems the code, makes the pool's keys if there are none, announces the pool, and keeps the token. The same again changes nothing,
/// whatever was interrupted.
///
/// # Errors
///
/// [`JoinError`]; what was kept before is as it was, but for the bytes by which the redeemer is known again, and keys that the server has
/// not decided about.
pub async fn join(config: JoinConfig) -> Result<Join, JoinError> {
    config.check()?;
    let code = config.code()?;
    let JoinConfig { server, storage_origins, folder, patience, .. } = config;
    let code_sha256 = sha256_of(&code);
    let origins = storage_origins.iter().map(ToString::to_string).collect();
    let joined = Joined::new(server.clone(), origins, code_sha256.clone());
    let asking = Asking { server: &server, patience };
    let lock = folder.lock()?.ok_or_else(|| JoinError::UnderWay { dir: folder.dir().to_owned() })?;
    let own = own_pool(&folder)?;
    let before = folder.joined()?;
    if let (Some(_), None) = (&before, &own) {
        return Err(JoinError::LostPool { dir: folder.pool() });
    }
    let is_repeated = match &before {
        Some(before) if before.server != server => {
            return Err(JoinError::OtherServer { server: Origin::of(&before.server).to_string() });
        }
        Some(before) => before.is_by(&code_sha256),
        None => false,
    };
    if let Some(pool) = own.as_ref().filter(|_| is_repeated) {
        // What else the line says may have been put right.
        folder.set(&joined)?;
        let mut again = Join {
            enrolment: pool.enrolment().clone(),
            login: None,
            is_repeated,
            unpublished: None,
            not_again: None,
            folder: folder.clone(),
            is_over: true,
            _lock: lock,
        };
        if folder.is_redeeming(&code_sha256)? {
            // Nobody has seen what it gave.
            match redeem(&asking, &folder, &code, Some(pool)).await {
                Ok((granted, _)) => again.login = granted.login,
                Err(error) => {
                    again.is_over = matches!(error, JoinError::Refused { .. });
                    again.not_again = Some(error.to_string());
                }
            }
        }
        return Ok(again);
    }
    let (granted, http) = redeem(&asking, &folder, &code, own.as_ref()).await?;
    let Granted { token, pool: name, login } = granted;
    let (pool, is_new) = match own {
        Some(pool) if pool.enrolment().pool() == name => {
            // By an earlier attempt that came no further.
            let is_new = before.is_none() && folder.made()?.as_deref() == Some(&*root_of(&pool));
            (pool, is_new)
        }
        Some(_) => {
            let why = format!("a token for pool `{name}`");
            return Err(JoinError::Answer { server: Origin::of(&server).to_string(), why });
        }
        None => (make_pool(&folder, &name)?, true),
    };
    let node = Server::new(http, &server, token.clone(), String::new(), name.clone());
    let announced = asking.patiently(async || announce(&node, &pool).await).await;
    let address = Origin::of(&server).to_string();
    let unpublished =
        match announced.map_err(|error| JoinError::Away { server: address.clone(), why: error.to_string() })? {
            Announced::Taken => None,
            Announced::Refused(why) => Some(why),
            Announced::OtherRoot => {
                let dir = folder.pool();
                if is_new {
                    // The server took none of their statements, and nobody was told their root.
                    take_away(&dir)?;
                }
                return Err(JoinError::OtherRoot { server: address, pool: name, dir, is_new });
            }
        };
    folder.keep(&token, &joined)?;
    let enrolment = pool.enrolment().clone();
    Ok(Join { enrolment, login, is_repeated, unpublished, not_again: None, folder, is_over: true, _lock: lock })
}

impl JoinConfig {
    /// How long a server is asked by default that is away or busy: a minute, of the ten that a code is good.
    pub const PATIENCE_DEFAULT: Duration = Duration::from_secs(60);

    /// Checks what can be checked before anybody is asked.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: what was given as address or code is something else, or what would be sent can be read on its way.
    pub fn check(&self) -> Result<(), JoinError> {
        if !matches!(self.server.scheme(), "http" | "https") {
            return Err(JoinError::Scheme { url: self.server.as_str().trim_end_matches('/').to_owned() });
        }
        self.code()?;
        let server = Origin::of(&self.server);
        match self.storage_origins.iter().chain([&server]).find(|origin| !origin.is_private()) {
            Some(origin) if !self.allow_plain_http => Err(NodeError::PlainHttp { origin: origin.to_string() }.into()),
            _ => Ok(()),
        }
    }

    /// The code as it is compared.
    fn code(&self) -> Result<String, JoinError> {
        let is_token = self.code.trim_start().starts_with("fm_");
        join_code(&self.code).ok_or(if is_token { JoinError::Token } else { JoinError::Code })
    }
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

/// Makes the keys of a pool, of which it is known that they were made here until it is known what the server makes of them.
fn make_pool(folder: &ProcessorFolder, name: &str) -> Result<PoolFolder, PoolFolderError> {
    let draft = PoolDraft::make(&folder.pool(), name, LIFETIME_DAYS)?;
    folder.note_made(&HEXLOWER.encode(draft.enrolment().root()))?;
    PoolFolder::open(&draft.put_in_place()?)
}

fn root_of(pool: &PoolFolder) -> String {
    HEXLOWER.encode(pool.enrolment().root())
}

fn sha256_of(code: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, code.as_bytes()).as_ref())
}
