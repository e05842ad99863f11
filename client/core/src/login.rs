//! Logging in: learning what everything later is checked against.

use std::path::Path;

use filemill_seal::Enrolment;
use url::Url;
use zeroize::Zeroizing;

use crate::api::{Api, Patience};
use crate::config::{Config, is_private, parse_server};
use crate::error::Error;
use crate::home::{Home, on_thread, read_given};
use crate::key_place::KeyPlace;
use crate::keys::load_or_create_identity;
use crate::recipe::{by_this_clock, verify_pool};

/// Longest file with a token, in bytes.
const TOKEN_FILE_MAX_BYTES: u64 = 4 << 10;
/// Longest enrolment file, in bytes.
const ENROLMENT_FILE_MAX_BYTES: u64 = 64 << 10;

/// What a login came to.
#[derive(Clone, Debug)]
pub struct Login {
    /// What it pinned.
    pub config: Config,
    /// The user's recipient, `age1…`.
    pub recipient: String,
    /// Name of another pool that was pinned before, or of the same one if it had another root.
    pub former_pool: Option<String>,
    /// Why nothing can be sent yet, if the pool has not announced a recipient that stands up to the checks.
    pub pool_problem: Option<Error>,
}

/// Logs in: checks the token with the server, pins server, storage origins and pool, and makes the user's key if there is
/// none.
///
/// # Errors
///
/// [`Error::Address`], [`Error::PlainHttp`] unless `allow_plain_http`, [`Error::File`], [`Error::NoToken`] and [`Error::Enrolment`] for files that are none, [`Error::Unauthenticated`],
/// [`Error::Forbidden`] for a token of another scope, [`Error::NoKeychain`]. Nothing is changed then.
pub async fn login(
    home: &Home,
    server: &str,
    token_file: &Path,
    enrolment_file: &Path,
    place: KeyPlace,
    allow_plain_http: bool,
) -> Result<Login, Error> {
    let server = parse_server(server)?;
    if !allow_plain_http && !is_private(&server) {
        return Err(Error::PlainHttp { origin: server.as_str().trim_end_matches('/').to_owned() });
    }
    let token = read_token(token_file).await?;
    let enrolment = read_enrolment(enrolment_file).await?;
    // Nothing is told while somebody waits for the answer.
    let api = Api::new(server.clone(), &token)?;
    let who = api.whoami().await?;
    if who.scope != "user" {
        return Err(Error::Forbidden {
            server: api.server().to_owned(),
            message: format!("the token is of scope `{}`", who.scope),
        });
    }
    let plain = |origin: &&String| Url::parse(origin).is_ok_and(|origin| !is_private(&origin));
    if let Some(origin) = who.storage_origins.iter().find(plain).filter(|_| !allow_plain_http) {
        return Err(Error::PlainHttp { origin: origin.clone() });
    }
    let identity = on_thread(home, move |home| load_or_create_identity(home, place)).await?;
    let pools = api.pools(Patience::Brief).await?.pools;
    let pool_problem = verify_pool(&enrolment, &pools, 0, api.server()).err().map(|error| by_this_clock(error, &api));
    let former = match on_thread(home, Config::load).await {
        Err(Error::Stopped) => return Err(Error::Stopped),
        former => former.ok().map(|former| former.enrolment).filter(|former| *former != enrolment),
    };
    let former_pool = former.map(|former| former.pool().to_owned());
    let config = Config {
        server,
        organisation: who.organisation,
        user: who.user,
        enrolment,
        storage_origins: who.storage_origins,
        token,
    };
    let saved = config.clone();
    on_thread(home, move |home| saved.save(home)).await?;
    Ok(Login { config, recipient: identity.recipient().to_string(), former_pool, pool_problem })
}

/// Reads the token, and sends no other file's words to a server in its place.
async fn read_token(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = Zeroizing::new(read_given(path, TOKEN_FILE_MAX_BYTES).await?);
    let token = text.trim();
    let refuse = |detail: &str| Err(Error::NoToken { path: path.to_owned(), detail: detail.to_owned() });
    if token.is_empty() {
        return refuse("it is empty");
    }
    // `fm_`, a letter for what it is good for, and what only its owner knows.
    if !token.starts_with("fm_") || token.contains(char::is_whitespace) {
        return refuse("a token is one word that begins with `fm_`");
    }
    Ok(Zeroizing::new(token.to_owned()))
}

async fn read_enrolment(path: &Path) -> Result<Enrolment, Error> {
    let text = read_given(path, ENROLMENT_FILE_MAX_BYTES).await?;
    Enrolment::from_json(text.trim()).map_err(|error| Error::Enrolment { path: path.to_owned(), error })
}
