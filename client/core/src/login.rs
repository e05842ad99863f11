//! Logging in: learning what everything later is checked against.

use std::path::Path;

use filemill_seal::Enrolment;
use tokio::sync::mpsc;
use url::Url;
use zeroize::Zeroizing;

use crate::api::{Api, Patience};
use crate::config::{Config, is_private, parse_server};
use crate::error::Error;
use crate::home::{Home, read_text};
use crate::keys::{KeyPlace, load_or_create_identity};
use crate::recipe::{by_this_clock, verify_pool};

/// What a login came to.
#[derive(Clone, Debug)]
pub struct Login {
    /// What it pinned.
    pub config: Config,
    /// The user's recipient, `age1…`.
    pub recipient: String,
    /// Why nothing can be sent yet, if the pool has not announced a recipient that stands up to the checks.
    pub pool_problem: Option<Error>,
}

/// Logs in: checks the token with the server, pins server, storage origins and pool, and makes the user's key if there is
/// none.
///
/// # Errors
///
/// [`Error::Address`], [`Error::PlainHttp`] unless `allow_plain_http`, [`Error::File`], [`Error::Pool`] for an enrolment file that is none, [`Error::Unauthenticated`],
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
    let token = Zeroizing::new(read_required(token_file)?.trim().to_owned());
    let enrolment = Enrolment::from_json(read_required(enrolment_file)?.trim()).map_err(Error::Pool)?;
    // Nothing is told while somebody waits for the answer.
    let (notices, _) = mpsc::channel(1);
    let api = Api::new(server.clone(), &token, notices)?;
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
    let recipient = {
        let home = home.clone();
        tokio::task::spawn_blocking(move || load_or_create_identity(&home, place))
            .await
            .map_err(|_| Error::Stopped)??
            .recipient()
            .to_string()
    };
    let pools = api.pools(Patience::Brief).await?.pools;
    let pool_problem = verify_pool(&enrolment, &pools, 0, api.server()).err().map(|error| by_this_clock(error, &api));
    let config = Config {
        server,
        organisation: who.organisation,
        user: who.user,
        enrolment,
        storage_origins: who.storage_origins,
        token,
    };
    config.save(home)?;
    Ok(Login { config, recipient, pool_problem })
}

fn read_required(path: &Path) -> Result<String, Error> {
    read_text(path)?.ok_or_else(|| Error::File {
        action: "read",
        path: path.to_owned(),
        detail: "it does not exist".to_owned(),
    })
}
