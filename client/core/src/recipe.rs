//! What new uploads are made for: the releases that the organisation uses now, and the recipient of the pool.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use filemill_seal::{
    Digest, Enrolment, Format, PARAMETERS_USUAL_BYTES, POOL_NAME_MAX_BYTES, PoolError, Recipient, SignedStatement,
    Statement,
};
use serde::Deserialize;

use crate::api::{Api, Patience};
use crate::engines::{EngineRelease, Engines, Wanted, listed};
use crate::error::Error;
use crate::event::{Event, Note, Trouble};
use crate::journal::Journal;
use crate::parameters::{GivenParameters, Parameters, names_in};
use crate::teller::Teller;
use crate::wall_clock::now_s;

/// How often the server is asked whether the pool has announced itself.
const POOL_ASKED_EVERY: Duration = Duration::from_secs(1);
/// How often the server is asked whether engines have been described.
const DESCRIPTIONS_ASKED_EVERY: Duration = Duration::from_millis(500);
/// How long that is waited for: a processor describes a release within seconds of being asked to.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(15);
/// For so long files wait for it together; then each by itself that it matters for.
const ALL_WAIT: Duration = Duration::from_secs(3);
/// Verdicts on parameters that are remembered.
const VERDICTS_MAX: usize = 1024;

/// A recipe is made anew before the first upload after this time.
const RECIPE_AGE_MAX: Duration = Duration::from_secs(60);

/// What new uploads are made for.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) account: String,
    pub(crate) session: String,
    pub(crate) wanted: Wanted,
    pub(crate) engines: Arc<Engines>,
    pub(crate) pool: String,
    /// Of the headers; or why none can be sealed now that a processor of the pool reads.
    pub(crate) format: Result<Format, Error>,
    pub(crate) pool_recipient: Recipient,
    /// When the pool's word for its recipient ends, in seconds since 1970-01-01 UTC.
    pub(crate) not_after: u64,
    pub(crate) made_at: Instant,
    /// Something that it names is gone.
    pub(crate) outdated: bool,
    pub(crate) uploader: Recipient,
    /// In bytes.
    pub(crate) chunk_size: u32,
    /// For how long a processor may run it, in seconds.
    pub(crate) lifetime_s: u64,
}

impl Recipe {
    /// Whether to make another: the pool changes its recipient, and the organisation its releases.
    pub(crate) fn is_stale(&self) -> bool {
        self.outdated || self.format.is_err() || self.made_at.elapsed() > RECIPE_AGE_MAX || now_s() > self.not_after
    }
}

/// Makes recipes.
pub(crate) struct Recipes {
    pub(crate) api: Arc<Api>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) events: Teller,
    pub(crate) enrolment: Enrolment,
    pub(crate) account: String,
    pub(crate) session: String,
    pub(crate) uploader: Recipient,
    /// In bytes.
    pub(crate) chunk_size: u32,
    /// For how long a processor may run it, in seconds.
    pub(crate) lifetime_s: u64,
    /// Which parameters which releases take, as far as it was asked.
    pub(crate) verdicts: Verdicts,
    /// It was told that uploads are sealed in an older format than this program writes, and none was sealed in the newest since.
    pub(crate) older_told: AtomicBool,
}

/// By digests of release and parameters: nothing, or what is wrong.
#[derive(Default)]
pub(crate) struct Verdicts(Mutex<HashMap<(Digest, Digest), Result<(), String>>>);

impl Verdicts {
    fn of(&self, release: &Digest, parameters: &Parameters) -> Option<Result<(), String>> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(&(*release, parameters.digest())).cloned()
    }

    fn remember(&self, release: Digest, parameters: &Parameters, verdict: Result<(), String>) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert((release, parameters.digest()), verdict);
    }
}

impl Recipes {
    /// Lists the releases, and checks the pool's recipient. Waits for the server, and for the pool; and, if files are to go to
    /// the engines that fit them and it is asked to, a little for what nobody has said yet of these engines.
    ///
    /// # Errors
    ///
    /// [`Error::Pool`] for a recipient that is not to be trusted, [`Error::Clock`] where only this machine's clock says so, and what concerns all requests. That no engine can be chosen
    /// is for [`Engines::check`] to say.
    pub(crate) async fn make(&self, wanted: &Wanted, wait_for_descriptions: bool) -> Result<Recipe, Error> {
        let mut engines = self.engines(wanted, Patience::Endless).await?;
        if wait_for_descriptions {
            engines = self.described(engines, wanted).await?;
        }
        let statement = self.pool_statement().await?;
        Ok(Recipe {
            account: self.account.clone(),
            session: self.session.clone(),
            wanted: wanted.clone(),
            format: format_for(&self.enrolment, &engines.formats, self.api.is_older()),
            engines: Arc::new(engines),
            pool: self.enrolment.pool().to_owned(),
            pool_recipient: statement.recipient,
            not_after: statement.not_after,
            made_at: Instant::now(),
            outdated: false,
            uploader: self.uploader.clone(),
            chunk_size: self.chunk_size,
            lifetime_s: self.lifetime_s,
        })
    }

    /// The releases that there are now.
    pub(crate) async fn engines(&self, wanted: &Wanted, patience: Patience) -> Result<Engines, Error> {
        let releases = self.api.releases(self.enrolment.pool(), patience).await?;
        Engines::new(releases, wanted, self.api.server())
    }

    /// Waits a little for descriptions, and says so; then goes on with those that are there, and files wait for the others.
    async fn described(&self, mut engines: Engines, wanted: &Wanted) -> Result<Engines, Error> {
        let undescribed = listed(&engines.undescribed());
        if !undescribed.is_empty() {
            self.events.tell(Event::Note(Note::AwaitingDescriptions { engines: undescribed })).await;
        }
        let begun = Instant::now();
        while !engines.undescribed().is_empty() && begun.elapsed() < ALL_WAIT {
            tokio::time::sleep(DESCRIPTIONS_ASKED_EVERY).await;
            engines = self.engines(wanted, Patience::Endless).await?;
        }
        let undescribed = listed(&engines.undescribed());
        if !undescribed.is_empty() {
            let error = Error::Undescribed { engines: undescribed };
            self.events.tell(Event::Trouble(Trouble::Undescribed { error })).await;
        }
        Ok(engines)
    }

    /// Says before the first upload of that kind, and before the first after one in the newest format, that it is sealed in an older
    /// format than this program writes.
    pub(crate) async fn tell_older_format(&self, format: Format) {
        let is_older = format < newest_format();
        let was_told = self.older_told.swap(is_older, Ordering::Relaxed);
        if is_older && !was_told {
            let (pool, older_server) = (self.enrolment.pool().to_owned(), self.api.is_older());
            let (format, newest) = (format.number(), newest_format().number());
            self.events.tell(Event::Note(Note::OlderFormat { pool, format, newest, older_server })).await;
        }
    }

    /// An upload ends a while after it began, by this machine's clock: if that is far behind, it is over for everybody else.
    fn check_clock(&self) -> Result<(), Error> {
        let Some(ahead_s) = self.api.clock_ahead() else { return Ok(()) };
        if ahead_s.unsigned_abs() < self.lifetime_s || ahead_s > 0 {
            return Ok(());
        }
        let detail = "an upload would be over before it begins".to_owned();
        Err(Error::Clock { server: self.api.server().to_owned(), ahead_s, detail })
    }

    /// Says which engines get no file because processors cannot say which they read.
    pub(crate) async fn tell_undescribable(&self, engines: &Engines) {
        let undescribable = listed(&engines.undescribable());
        if !undescribable.is_empty() {
            self.events.tell(Event::Trouble(Trouble::Undescribable { engines: undescribable })).await;
        }
    }

    /// Makes parameters of what a person set, for the engine that gets them. Waits a little for what nobody has said yet of that
    /// engine.
    ///
    /// # Errors
    ///
    /// [`Error::WhichParameters`] if several engines would get them, [`Error::Parameters`] if the engine does not take them,
    /// [`Error::ParametersUnknown`] if nobody has said what it takes, [`Error::LongParameters`], and what concerns all requests.
    pub(crate) async fn parameters(&self, given: &GivenParameters, recipe: &Recipe) -> Result<Parameters, Error> {
        if given.is_empty() {
            return Ok(Parameters::default());
        }
        let release = recipe.engines.only()?.ok_or(Error::WhichParameters)?;
        let begun = Instant::now();
        let schema = loop {
            match self.schema(release).await {
                Err(error @ Error::ParametersUnknown { .. }) if begun.elapsed() >= DESCRIBED_WITHIN => {
                    return Err(error);
                }
                Err(Error::ParametersUnknown { .. }) => tokio::time::sleep(DESCRIPTIONS_ASKED_EVERY).await,
                schema => break schema?,
            }
        };
        let given = given.clone();
        let known = names_in(schema.as_ref());
        let fitted = tokio::task::spawn_blocking(move || given.fitted(schema.as_ref()));
        let fitted = fitted.await.map_err(|_| Error::Stopped)?;
        let parameters =
            fitted.map_err(|detail| Error::Parameters { engine: release.engine.clone(), detail, known })?;
        self.verdicts.remember(release.release, &parameters, Ok(()));
        self.check_length(&parameters, &recipe.engines)?;
        Ok(parameters)
    }

    /// Whether the release takes these parameters, and processors of the pool parameters of that length.
    ///
    /// # Errors
    ///
    /// As [`Self::parameters`].
    pub(crate) async fn check(
        &self,
        release: &EngineRelease,
        parameters: &Parameters,
        engines: &Engines,
    ) -> Result<(), Error> {
        if parameters.is_empty() {
            return Ok(());
        }
        self.check_length(parameters, engines)?;
        let verdict = match self.verdicts.of(&release.release, parameters) {
            Some(verdict) => verdict,
            None => {
                let (schema, checked) = (self.schema(release).await?, parameters.clone());
                let check = tokio::task::spawn_blocking(move || checked.check(schema.as_ref()));
                let verdict = check.await.map_err(|_| Error::Stopped)?;
                self.verdicts.remember(release.release, parameters, verdict.clone());
                verdict
            }
        };
        let known = String::new();
        verdict.map_err(|detail| Error::Parameters { engine: release.engine.clone(), detail, known })
    }

    fn check_length(&self, parameters: &Parameters, engines: &Engines) -> Result<(), Error> {
        let (found, most) = (parameters.as_json().len(), engines.parameters_bytes);
        if found <= most.max(PARAMETERS_USUAL_BYTES) {
            return Ok(());
        }
        Err(Error::LongParameters { found, most, pool: self.enrolment.pool().to_owned() })
    }

    /// The schema of the release's parameters; `None` if it takes none.
    async fn schema(&self, release: &EngineRelease) -> Result<Option<serde_json::Value>, Error> {
        let unknown = || Error::ParametersUnknown { engine: release.engine.clone() };
        let document = self.api.description_in(&release.release, self.enrolment.pool()).await?.ok_or_else(unknown)?;
        let read = serde_json::from_str::<serde_json::Value>(&document);
        let document = read.map_err(|error| Error::Protocol {
            server: self.api.server().to_owned(),
            detail: format!("the description of engine `{}` cannot be read: {error}", release.engine),
        })?;
        Ok(document.get("parameter_schema").filter(|schema| !schema.is_null()).cloned())
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
                        self.events.tell(Event::Trouble(Trouble::NoPool { error })).await;
                    }
                    tokio::time::sleep(POOL_ASKED_EVERY).await;
                    continue;
                }
                verified => verified.map_err(|error| by_this_clock(error, &self.api))?,
            };
            self.check_clock()?;
            self.journal.accept_serial(&self.enrolment, statement.serial).await?;
            return Ok(statement);
        }
    }
}

impl Recipes {
    /// Why nothing can be sealed for the pool now; `None` if it can, or nobody can tell.
    pub(crate) async fn recipient_problem(&self) -> Option<Error> {
        let lowest = self.journal.pool_serial(&self.enrolment).await.ok()?;
        let pools = self.api.pools(Patience::Brief).await.ok()?.pools;
        let verified = verify_pool(&self.enrolment, &pools, lowest, self.api.server());
        if let Err(error) = verified.and_then(|_| self.check_clock()) {
            return Some(by_this_clock(error, &self.api));
        }
        // Asked for only where it matters.
        self.enrolment.lowest_format().filter(|lowest| *lowest > Format::One)?;
        let releases = self.api.releases(self.enrolment.pool(), Patience::Brief).await.ok()?;
        format_for(&self.enrolment, &releases.formats, self.api.is_older()).err()
    }
}

/// The newest format that this program writes.
fn newest_format() -> Format {
    Format::ALL.into_iter().max().unwrap_or(Format::One)
}

/// The format of new uploads for a pool: the newest that some processor reads which is there now, and the oldest where the server says of
/// none. What it says too little of is sent in an older format, but in none that is older than the enrolment allows.
///
/// # Errors
///
/// [`Error::NoFormat`] where the enrolment allows no format that a processor reads, [`Error::NoFormatThere`] where it is the server that is
/// too old to say so.
fn format_for(enrolment: &Enrolment, read: &[u8], by_older: bool) -> Result<Format, Error> {
    let is_read = |format: &Format| read.iter().any(|number| u64::from(*number) == format.number());
    let format = Format::ALL.into_iter().filter(is_read).max().unwrap_or(Format::One);
    match enrolment.lowest_format() {
        Some(lowest) if format < lowest => {
            let (pool, lowest) = (enrolment.pool().to_owned(), lowest.number());
            Err(if by_older { Error::NoFormatThere { pool, lowest } } else { Error::NoFormat { pool, lowest } })
        }
        _ => Ok(format),
    }
}

/// What a wrong clock of this machine makes of a good statement.
pub(crate) fn by_this_clock(error: Error, api: &Api) -> Error {
    match (api.clock_ahead(), error) {
        (Some(ahead_s), Error::Pool(error @ (PoolError::NotYetValid { .. } | PoolError::Expired { .. }))) => {
            Error::Clock { server: api.server().to_owned(), ahead_s, detail: error.to_string() }
        }
        (_, error) => error,
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
    let mut others = BTreeSet::new();
    for offered in pools {
        // What is of another pool, as it says itself, is of no concern, whoever signed it.
        if let Some(other) = pool_of(offered).filter(|pool| pool != enrolment.pool()) {
            others.insert(other);
            continue;
        }
        let signed = serde_json::json!({"statement": offered.statement, "signature": offered.signature});
        let Ok(signed) = serde_json::from_value::<SignedStatement>(signed) else {
            continue;
        };
        match enrolment.verify(&signed, now_s(), lowest_serial) {
            Ok(statement) if best.as_ref().is_none_or(|best| best.serial < statement.serial) => best = Some(statement),
            Ok(_) => {}
            // What the root has signed says more, whatever is wrong with it, than what anybody has.
            Err(error) if !matches!(refusal, None | Some(PoolError::NotSigned { .. })) => drop(error),
            Err(error) => refusal = Some(error),
        }
    }
    match (best, refusal) {
        (Some(statement), _) => Ok(statement),
        (None, Some(error)) => Err(Error::Pool(error)),
        (None, None) => {
            let others = listed(&others.iter().map(String::as_str).collect::<Vec<_>>());
            Err(Error::NoPool { server: server.to_owned(), pool: enrolment.pool().to_owned(), others })
        }
    }
}

/// Which pool a statement says that it is of; `None` if it names none that can be.
fn pool_of(offered: &filemill_api::SignedStatement) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        pool: String,
    }

    let named: Named = serde_json::from_str(&offered.statement).ok()?;
    (named.pool.len() <= POOL_NAME_MAX_BYTES).then_some(named.pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_older_format_is_told_of_once_and_again_after_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let home = crate::home::Home::at(folder.path()).unwrap();
        let (events, mut told) = Teller::new(8);
        let text = format!(r#"{{"filemill_enrolment":1,"pool":"main","root":"{}"}}"#, "ab".repeat(32));
        let recipes = Recipes {
            api: Arc::new(Api::without_token("http://127.0.0.1:1".parse().unwrap()).unwrap()),
            journal: Arc::new(Journal::open(&home).await.unwrap()),
            events,
            enrolment: Enrolment::from_json(&text).unwrap(),
            account: String::new(),
            session: String::new(),
            uploader: filemill_seal::Identity::generate().recipient(),
            chunk_size: 1,
            lifetime_s: 1,
            verdicts: Verdicts::default(),
            older_told: AtomicBool::default(),
        };
        for (format, count) in
            [(Format::Two, 0), (Format::One, 1), (Format::One, 1), (Format::Two, 1), (Format::One, 2), (Format::One, 2)]
        {
            recipes.tell_older_format(format).await;
            assert_eq!(told.len(), count, "{format:?}");
        }
        assert!(matches!(told.next().await, Some(Event::Note(Note::OlderFormat { format: 1, newest: 2, .. }))));
    }

    #[test]
    fn the_format_is_the_newest_that_is_read_and_none_that_the_enrolment_forbids() {
        let text = format!(r#"{{"filemill_enrolment":1,"pool":"main","root":"{}"}}"#, "ab".repeat(32));
        let enrolment = Enrolment::from_json(&text).unwrap();
        for (read, format) in [
            (&[][..], Format::One),
            (&[1], Format::One),
            (&[1, 2], Format::Two),
            (&[2], Format::Two),
            (&[2, 3], Format::Two),
            (&[0, 3, 255], Format::One),
        ] {
            for lowest in [None, Some(Format::One), Some(Format::Two)] {
                let enrolment = match lowest {
                    Some(lowest) => enrolment.clone().with_lowest_format(lowest),
                    None => enrolment.clone(),
                };
                let found = format_for(&enrolment, read, false);
                match lowest {
                    Some(lowest) if lowest > format => {
                        assert_eq!(found, Err(Error::NoFormat { pool: "main".to_owned(), lowest: 2 }), "{read:?}");
                    }
                    _ => assert_eq!(found, Ok(format), "{read:?}"),
                }
            }
        }
    }
}
