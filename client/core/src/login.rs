//! Logging in: learning what everything later is checked against.

mod answer;
mod code;

use std::path::Path;

use filemill_seal::{Enrolment, PoolError};
use url::Url;
use zeroize::Zeroizing;

use crate::api::{Api, Patience};
use crate::config::{Config, is_private, parse_server};
use crate::error::Error;
use crate::home::{Home, on_thread, read_given};
use crate::key_place::KeyPlace;
use crate::keys::load_or_create_identity;
use crate::recipe::{by_this_clock, verify_pool};
use crate::token::{TOKEN_MAX_BYTES, check_token};

/// Longest file with a token, in bytes: it may end with a line break.
const TOKEN_FILE_MAX_BYTES: u64 = TOKEN_MAX_BYTES as u64 + 2;
/// Held while somebody logs in: two logins at once would write over the bytes by which each other's code is redeemed.
const LOCK: &str = "login.lock";
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

/// What lets a user in.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A file with the token.
    TokenFile(&'a Path),
    /// A one-time code, which is redeemed for the token.
    Code(&'a str),
}

/// Which pool is pinned. Neither comes from the server.
#[derive(Clone, Copy, Debug)]
pub enum Pin<'a> {
    /// The pool's enrolment file.
    Enrolment(&'a Path),
    /// The pool's name and its root's public key, as `NAME:HEX`.
    Root(&'a str),
}

/// Logs in with the token in a file, and pins the pool of an enrolment file: [`login_with`].
///
/// # Errors
///
/// As [`login_with`].
pub async fn login(
    home: &Home,
    server: &str,
    token_file: &Path,
    enrolment_file: &Path,
    place: KeyPlace,
    allow_plain_http: bool,
) -> Result<Login, Error> {
    let (credential, pin) = (Credential::TokenFile(token_file), Pin::Enrolment(enrolment_file));
    login_with(home, server, credential, pin, place, allow_plain_http).await
}

/// Logs in: checks the token with the server, pins server, storage origins and pool, and makes the user's key if there is
/// none. By a code, the same again has the same effect for ten minutes, whatever was interrupted, and also with another pin.
///
/// # Errors
///
/// [`Error::Address`], [`Error::PlainHttp`] unless `allow_plain_http`, [`Error::File`], [`Error::NoToken`] and [`Error::Enrolment`] for files that are not what they should be,
/// [`Error::NoCode`] and [`Error::NoRoot`] for what is no code and no root, [`Error::Unauthenticated`], [`Error::Forbidden`] for a token of another scope,
/// [`Error::Refused`] for a code that is not good, [`Error::OtherRoot`] if the server has the pool, and its root is not the one that is to be pinned,
/// [`Error::NoKeychain`], [`Error::Stopped`] if another login of this home is in the way and nobody is to wait for it any more. The former login is
/// as it was then.
pub async fn login_with(
    home: &Home,
    server: &str,
    credential: Credential<'_>,
    pin: Pin<'_>,
    place: KeyPlace,
    allow_plain_http: bool,
) -> Result<Login, Error> {
    let server = parse_server(server)?;
    if !allow_plain_http && !is_private(&server) {
        return Err(Error::PlainHttp { origin: server.as_str().trim_end_matches('/').to_owned() });
    }
    let enrolment = match pin {
        Pin::Enrolment(file) => read_enrolment(file).await?,
        Pin::Root(text) => parse_root(text)?,
    };
    match credential {
        Credential::TokenFile(file) => {
            let token = read_token(file).await?;
            let _lock = on_thread(home, |home| home.lock(LOCK)).await?;
            let done = log_in(home, server, token, enrolment, place, allow_plain_http).await?;
            forget_codes(home, None).await?;
            Ok(done)
        }
        Credential::Code(text) => {
            let code = code::parse(text)?;
            let _lock = on_thread(home, |home| home.lock(LOCK)).await?;
            // A machine without a keychain must not cost the code.
            on_thread(home, move |home| load_or_create_identity(home, place)).await?;
            let token = code::redeem(home, &server, &code).await?;
            let done = log_in(home, server.clone(), token, enrolment, place, allow_plain_http).await?;
            forget_codes(home, Some((server, code))).await?;
            Ok(done)
        }
    }
}

/// Forgets by which bytes this home has redeemed codes, as another login took their place; but not those of the login that did.
async fn forget_codes(home: &Home, but: Option<(Url, String)>) -> Result<(), Error> {
    let forgotten =
        on_thread(home, move |home| code::forget(home, but.as_ref().map(|(server, code)| (server, code.as_str()))));
    match forgotten.await {
        Err(Error::Stopped) => Err(Error::Stopped),
        // The login is done. What is left is good for nothing but itself.
        _ => Ok(()),
    }
}

async fn log_in(
    home: &Home,
    server: Url,
    token: Zeroizing<String>,
    enrolment: Enrolment,
    place: KeyPlace,
    allow_plain_http: bool,
) -> Result<Login, Error> {
    // Nothing is told while somebody waits for the answer.
    let api = Api::new(server.clone(), &token)?;
    let who = api.whoami().await?;
    let (organisation, user, origins) = answer::checked(who, api.server())?;
    if let Some(origin) = origins.iter().find(|origin| !origin.is_private()).filter(|_| !allow_plain_http) {
        return Err(Error::PlainHttp { origin: origin.to_string() });
    }
    let identity = on_thread(home, move |home| load_or_create_identity(home, place)).await?;
    let pools = api.pools(Patience::Brief).await?.pools;
    let pool_problem = match verify_pool(&enrolment, &pools, 0, api.server()) {
        Ok(_) => None,
        // Nothing would ever be sent. A mistake in what was named is put right now; later it would have taken a good pin's place.
        Err(Error::Pool(PoolError::NotSigned { .. } | PoolError::OtherPool { .. })) => {
            let (server, pool) = (api.server().to_owned(), enrolment.pool().to_owned());
            return Err(Error::OtherRoot { server, pool, fingerprint: enrolment.fingerprint() });
        }
        Err(error) => Some(by_this_clock(error, &api)),
    };
    let former = match on_thread(home, Config::load).await {
        Err(Error::Stopped) => return Err(Error::Stopped),
        former => former.ok().map(|former| former.enrolment).filter(|former| *former != enrolment),
    };
    let former_pool = former.map(|former| former.pool().to_owned());
    let config = Config {
        server,
        organisation,
        user,
        enrolment,
        storage_origins: origins.iter().map(ToString::to_string).collect(),
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
    check_token(token).map_err(|detail| Error::NoToken { path: path.to_owned(), detail })?;
    Ok(Zeroizing::new(token.to_owned()))
}

async fn read_enrolment(path: &Path) -> Result<Enrolment, Error> {
    let text = read_given(path, ENROLMENT_FILE_MAX_BYTES).await?;
    Enrolment::from_json(text.trim()).map_err(|error| Error::Enrolment { path: path.to_owned(), error })
}

/// Reads a pool's name and its root's public key.
fn parse_root(text: &str) -> Result<Enrolment, Error> {
    let none = |detail: String| Error::NoRoot { detail };
    let (pool, root) = text.split_once(':').ok_or_else(|| none("it is not NAME:KEY".to_owned()))?;
    let text = serde_json::json!({ "filemill_enrolment": 1, "pool": pool, "root": root }).to_string();
    Enrolment::from_json(&text).map_err(|error| none(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_name_and_a_whole_key() {
        let key = "ab".repeat(32);
        let enrolment = parse_root(&format!("main:{key}")).unwrap();
        assert_eq!((enrolment.pool(), enrolment.root()), ("main", &[0xab; 32]));
        for bad in
            ["", "main", ":", &key, &format!("main:{}", &key[1..]), &format!("ma in:{key}"), &format!("main:{key}0")]
        {
            assert!(matches!(parse_root(bad), Err(Error::NoRoot { .. })), "{bad}");
        }
    }
}
