//! What new uploads are made for: the release that the organisation uses now, and the recipient of the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_api::Release;
use filemill_seal::{Digest, Enrolment, Recipient, SignedStatement, Statement};
use tokio::sync::mpsc;

use crate::api::{Api, Patience};
use crate::error::Error;
use crate::journal::Journal;
use crate::notice::Notice;
use crate::pipeline::Recipe;
use crate::source::now_s;

/// How often the server is asked whether the pool has announced itself.
const POOL_ASKED_EVERY: Duration = Duration::from_secs(1);
/// The engine that is meant when none is named and there are several.
const USUAL_ENGINE: &str = "size";

/// Makes recipes.
pub(crate) struct Recipes {
    pub(crate) api: Arc<Api>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) notices: mpsc::Sender<Notice>,
    pub(crate) enrolment: Enrolment,
    pub(crate) account: String,
    pub(crate) session: String,
    pub(crate) uploader: Recipient,
    /// In bytes.
    pub(crate) chunk_size: u32,
    /// For how long a processor may run it, in seconds.
    pub(crate) lifetime_s: u64,
}

impl Recipes {
    /// Chooses the release, and checks the pool's recipient. Waits for the server, and for the pool.
    ///
    /// # Errors
    ///
    /// [`Error::NoRelease`], [`Error::NoEngine`], [`Error::WhichEngine`], [`Error::Pool`] for a recipient that is not to be
    /// trusted, and what concerns all requests.
    pub(crate) async fn make(&self, engine: Option<&str>) -> Result<Recipe, Error> {
        let releases = self.api.releases(Patience::Endless).await?.releases;
        let release = choose(&releases, engine, self.api.server())?;
        let digest: Digest = release.digest.parse().map_err(|_| Error::Protocol {
            server: self.api.server().to_owned(),
            detail: format!("release `{}` has no digest", release.version),
        })?;
        let statement = self.pool_statement().await?;
        Ok(Recipe {
            account: self.account.clone(),
            session: self.session.clone(),
            engine: release.engine.clone(),
            version: release.version.clone(),
            release: digest,
            pool: self.enrolment.pool().to_owned(),
            pool_recipient: statement.recipient,
            not_after: statement.not_after,
            made_at: Instant::now(),
            uploader: self.uploader.clone(),
            chunk_size: self.chunk_size,
            lifetime_s: self.lifetime_s,
        })
    }

    /// The pool's statement with the highest serial that stands up to all checks; the serial is pinned. Waits for one where
    /// no processor of the pool has announced any yet, and says so.
    async fn pool_statement(&self) -> Result<Statement, Error> {
        let lowest = self.journal.pool_serial(&self.enrolment).await?;
        let mut told = false;
        loop {
            let pools = self.api.pools(Patience::Endless).await?.pools;
            let statement = match verify_pool(&self.enrolment, &pools, lowest, self.api.server()) {
                Err(error @ Error::NoPool { .. }) => {
                    if !std::mem::replace(&mut told, true) {
                        let message = format!("{error}; waiting for it");
                        let trouble = Notice::Trouble { message, hint: error.hint() };
                        self.notices.send(trouble).await.map_err(|_| Error::Stopped)?;
                    }
                    tokio::time::sleep(POOL_ASKED_EVERY).await;
                    continue;
                }
                verified => verified?,
            };
            self.journal.accept_serial(&self.enrolment, statement.serial).await?;
            return Ok(statement);
        }
    }
}

/// The best statement of the pool among those the server passes on.
///
/// # Errors
///
/// [`Error::Pool`] with the reason why the best of them is refused, [`Error::NoPool`] if there is none of that pool.
pub(crate) fn verify_pool(
    enrolment: &Enrolment,
    pools: &[filemill_api::SignedStatement],
    lowest_serial: u64,
    server: &str,
) -> Result<Statement, Error> {
    let mut best: Option<Statement> = None;
    let mut refusal = None;
    for offered in pools {
        let signed = serde_json::json!({"statement": offered.statement, "signature": offered.signature});
        let Ok(signed) = serde_json::from_value::<SignedStatement>(signed) else {
            continue;
        };
        match enrolment.verify(&signed, now_s(), lowest_serial) {
            Ok(statement) if best.as_ref().is_none_or(|best| best.serial < statement.serial) => best = Some(statement),
            Ok(_) => {}
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    match (best, refusal) {
        (Some(statement), _) => Ok(statement),
        (None, Some(error)) => Err(Error::Pool(error)),
        (None, None) => Err(Error::NoPool { server: server.to_owned(), pool: enrolment.pool().to_owned() }),
    }
}

/// The release to use: the current one of the engine that is named, of the only one, or of the usual one.
fn choose<'a>(releases: &'a [Release], engine: Option<&str>, server: &str) -> Result<&'a Release, Error> {
    let current: Vec<&Release> = releases.iter().filter(|release| release.current).collect();
    let known = || {
        let mut names: Vec<String> = current.iter().map(|release| format!("`{}`", release.engine)).collect();
        names.sort();
        names.dedup();
        names.join(", ")
    };
    if current.is_empty() {
        return Err(Error::NoRelease { server: server.to_owned() });
    }
    let of_engine = |name: &str| current.iter().copied().find(|release| release.engine == name);
    match engine {
        Some(name) => of_engine(name).ok_or_else(|| Error::NoEngine { engine: name.to_owned(), known: known() }),
        None if current.iter().all(|release| release.engine == current[0].engine) => Ok(current[0]),
        None => of_engine(USUAL_ENGINE).ok_or_else(|| Error::WhichEngine { known: known() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(engine: &str, version: &str, current: bool) -> Release {
        Release {
            engine: engine.to_owned(),
            version: version.to_owned(),
            digest: Digest::of(version.as_bytes()).to_string(),
            contract: 1,
            length: 1,
            current,
        }
    }

    #[test]
    fn the_engine_is_the_one_named_the_only_one_or_the_usual_one() {
        let several = [release("hash", "2", true), release("hash", "1", false), release("size", "1", true)];
        assert_eq!(choose(&several, Some("hash"), "s").unwrap().version, "2");
        assert_eq!(choose(&several, None, "s").unwrap().engine, "size");
        assert_eq!(choose(&several[..2], None, "s").unwrap().version, "2");
        let unusual = [release("a", "1", true), release("b", "1", true)];
        assert!(matches!(choose(&unusual, None, "s"), Err(Error::WhichEngine { known }) if known == "`a`, `b`"));
        assert!(matches!(choose(&several, Some("x"), "s"), Err(Error::NoEngine { .. })));
        assert!(matches!(choose(&[release("a", "1", false)], None, "s"), Err(Error::NoRelease { .. })));
    }
}
