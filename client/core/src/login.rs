//! Logging in: learning what everything later is checked against.

mod answer;
mod code;
mod patience;

use std::path::Path;

use filemill_seal::{Enrolment, PoolError};
use url::Url;
use zeroize::Zeroizing;

use crate::api::{Api, Patience};
use crate::config::{Config, is_private, parse_server};
use crate::error::Error;
use crate::event::Event;
use crate::home::{Home, on_thread, read_given};
use crate::key_place::KeyPlace;
use crate::keys::load_or_create_identity;
use crate::recipe::{by_this_clock, verify_pool};
use crate::teller::Teller;
use crate::token::{TOKEN_MAX_BYTES, check_token};
use patience::{SAY_AFTER, answered};

/// Longest file with a token, in bytes: it may end with a line break.
const TOKEN_FILE_MAX_BYTES: u64 = TOKEN_MAX_BYTES as u64 + 2;
/// Held while somebody logs in: two logins at once would write over the bytes by which each other's code is redeemed.
const LOCK: &str = "login.lock";
/// What is told while nobody reads it: little can be.
const EVENTS_WAITING_MAX: usize = 8;
/// Longest enrolment file, in bytes.
const ENROLMENT_FILE_MAX_BYTES: u64 = 64 << 10;

/// What a login came to.
#[derive(Clone, Debug)]
pub struct Login {
    /// What it pinned.
    pub config: Config,
    /// The user's recipient, `age1…`.
    pub recipient: String,
    /// Another pool that was pinned before, or the same one if it had another root.
    pub former_pool: Option<Enrolment>,
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

/// By what somebody logs in, and what is pinned.
#[derive(Clone, Copy)]
pub struct LoginOptions<'a> {
    /// Address of the server.
    pub server: &'a str,
    /// What lets the user in.
    pub credential: Credential<'a>,
    /// Which pool is pinned.
    pub pin: Pin<'a>,
    /// Where the secret key is kept, if it is made now.
    pub place: KeyPlace,
    /// Whether server and storage may be asked over plain http beyond this machine.
    pub allow_plain_http: bool,
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
    login_with(home, &LoginOptions { server, credential, pin, place, allow_plain_http }, |_| {}).await
}

/// Logs in: checks the token with the server, pins server, storage origins and pool, and makes the user's key if there is
/// none. By a code, the same again has the same effect for ten minutes, whatever was interrupted, and also with another pin. After
/// three seconds it is handed to `tell` that the server lets it wait, and why; each of the three things that it is asked is waited for for half a minute at most.
///
/// # Errors
///
/// [`Error::Address`], [`Error::PlainHttp`] unless `allow_plain_http`, [`Error::File`], [`Error::NoToken`] and [`Error::Enrolment`] for files that are not what they should be,
/// [`Error::NoCode`] and [`Error::NoRoot`] for what is no code and no root, [`Error::Unauthenticated`], [`Error::Forbidden`] for a token of another scope,
/// [`Error::Refused`] for a code that is not good, [`Error::OtherRoot`] if the server has the pool, and its root is not the one that is to be pinned,
/// [`Error::NoKeychain`], [`Error::HomeVersion`], [`Error::Pool`] if a later version of this program has pinned more than this one knows, [`Error::Stopped`] if another login of this home is in the way and nobody is to wait for it any more. The former login is
/// as it was then.
pub async fn login_with(home: &Home, options: &LoginOptions<'_>, mut tell: impl FnMut(&Event)) -> Result<Login, Error> {
    let (teller, mut told) = Teller::new(EVENTS_WAITING_MAX);
    // Before that it is not worth a word: what fails at once says itself why.
    let telling = async {
        tokio::time::sleep(SAY_AFTER).await;
        while let Some(event) = told.next().await {
            tell(&event);
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        done = log_in(home, options, &teller) => done,
        never = telling => never,
    }
}

async fn log_in(home: &Home, options: &LoginOptions<'_>, teller: &Teller) -> Result<Login, Error> {
    let server = parse_server(options.server)?;
    if !options.allow_plain_http && !is_private(&server) {
        return Err(Error::PlainHttp { origin: server.as_str().trim_end_matches('/').to_owned() });
    }
    let enrolment = match options.pin {
        Pin::Enrolment(file) => read_enrolment(file).await?,
        Pin::Root(text) => parse_root(text)?,
    };
    match options.credential {
        Credential::TokenFile(file) => {
            let token = read_token(file).await?;
            let _lock = on_thread(home, |home| home.lock(LOCK)).await?;
            let done = log_in_by(home, server, token, enrolment, options, teller).await?;
            forget_codes(home, None).await;
            Ok(done)
        }
        Credential::Code(text) => {
            let code = code::parse(text)?;
            let _lock = on_thread(home, |home| home.lock(LOCK)).await?;
            // A machine without a keychain must not cost the code.
            let place = options.place;
            on_thread(home, move |home| load_or_create_identity(home, place)).await?;
            let token = code::redeem(home, &server, &code, teller).await?;
            let done = log_in_by(home, server.clone(), token, enrolment, options, teller).await?;
            forget_codes(home, Some((server, code))).await;
            Ok(done)
        }
    }
}

/// Forgets by which bytes this home has redeemed codes, as another login took their place; but not those of the login that did.
async fn forget_codes(home: &Home, but: Option<(Url, String)>) {
    let forget = move |home: &Home| code::forget(home, but.as_ref().map(|(server, code)| (server, code.as_str())));
    // The login is done by then. What cannot be removed is good for nothing but the token that it gave.
    let _ = on_thread(home, forget).await;
}

async fn log_in_by(
    home: &Home,
    server: Url,
    token: Zeroizing<String>,
    enrolment: Enrolment,
    options: &LoginOptions<'_>,
    teller: &Teller,
) -> Result<Login, Error> {
    let &LoginOptions { place, allow_plain_http, .. } = options;
    let api = Api::new(server.clone(), &token)?.telling(teller.clone());
    let who = answered(&api, api.whoami()).await?;
    let (organisation, user, origins) = answer::checked(who, api.server())?;
    if let Some(origin) = origins.iter().find(|origin| !origin.is_private()).filter(|_| !allow_plain_http) {
        return Err(Error::PlainHttp { origin: origin.to_string() });
    }
    let identity = on_thread(home, move |home| load_or_create_identity(home, place)).await?;
    let pools = answered(&api, api.pools(Patience::Brief)).await?.pools;
    let pool_problem = match verify_pool(&enrolment, &pools, 0, api.server()) {
        Ok(_) => None,
        // Nothing would ever be sent. A mistake in what was named is put right now; later it would have taken a good pin's place.
        Err(Error::Pool(PoolError::NotSigned { .. } | PoolError::OtherPool { .. })) => {
            let (server, pool) = (api.server().to_owned(), enrolment.pool().to_owned());
            return Err(Error::OtherRoot { server, pool, fingerprint: enrolment.fingerprint() });
        }
        Err(error) => Some(by_this_clock(error, &api)),
    };
    // What a later version of this program has pinned is an error: it says more than would be written here.
    let former = on_thread(home, Config::pinned).await?;
    let enrolment = keeping_lowest_format(enrolment, former.as_ref());
    let former_pool = former.filter(|former| !former.is_same_pool(&enrolment));
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

/// What is pinned in place of `former`. A login line and an enrolment of version 1 say nothing of formats: what was pinned of the same pool
/// stays. Otherwise whoever pastes a line would be sent back to the older format without a word.
fn keeping_lowest_format(enrolment: Enrolment, former: Option<&Enrolment>) -> Enrolment {
    let former = former.filter(|former| former.is_same_pool(&enrolment) && enrolment.lowest_format().is_none());
    match former.and_then(Enrolment::lowest_format) {
        Some(lowest) => enrolment.with_lowest_format(lowest),
        None => enrolment,
    }
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
    use filemill_seal::Format;

    use super::*;

    #[test]
    fn a_line_that_says_nothing_of_formats_leaves_the_lowest_as_it_was_pinned() {
        let plain = parse_root(&format!("main:{}", "ab".repeat(32))).unwrap();
        let other = parse_root(&format!("main:{}", "cd".repeat(32))).unwrap();
        let (one, two) = (plain.clone().with_lowest_format(Format::One), plain.clone().with_lowest_format(Format::Two));
        assert_eq!(keeping_lowest_format(plain.clone(), Some(&two)), two);
        assert_eq!(keeping_lowest_format(one.clone(), Some(&two)), one, "an enrolment may lower it");
        assert_eq!(keeping_lowest_format(two.clone(), Some(&one)), two);
        for former in [None, Some(&plain), Some(&other.with_lowest_format(Format::Two))] {
            assert_eq!(keeping_lowest_format(plain.clone(), former), plain, "of another root");
        }
    }

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
