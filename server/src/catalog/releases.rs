//! Engine releases, and which of them an organisation uses.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use filemill_api::limits::MAX_PARAMETERS_BYTES;
use filemill_api::{ErrorBody, Release, Releases};

use super::adoption::choose_default;
use super::handle::Catalog;
use super::said::Said;
use super::types::NewRelease;
use crate::accounts::Caller;
use crate::refusal::{bad_request, check_pool, conflict, from_store, is_hex, is_name, not_found, shown};
use crate::storage::{Object, ObjectKey};
use crate::store::StoreError;
use crate::store::catalog::ReleaseRow;

/// Highest contract major that a bit of a node's abilities can stand for.
pub(super) const MAX_CONTRACT: u32 = 30;

/// Where the bits of needs begin that also need a node to take long parameters.
const LONG_PARAMETERS: i64 = 32;

/// What a release of this contract, run by the component backend, needs of a node: the number of a bit.
pub(super) fn needs(contract: u32) -> i64 {
    i64::from(contract)
}

/// What an upload needs whose parameters are long, given what its release needs.
pub(crate) fn with_long_parameters(needs: i64) -> i64 {
    needs % LONG_PARAMETERS + LONG_PARAMETERS
}

/// What a node can run that takes parameters of so many bytes, one bit for each need.
pub(crate) fn abilities(contracts: &[u32], backends: &[String], parameters_bytes: u32) -> i64 {
    // There is one backend: another one takes a column of its own, as all 62 bits are in use.
    if !backends.iter().any(|backend| backend == "component") {
        return 0;
    }
    let takes_long = parameters_bytes >= MAX_PARAMETERS_BYTES;
    contracts.iter().filter(|&&contract| contract <= MAX_CONTRACT).fold(0, |bits, &contract| {
        let needs = needs(contract);
        let long = if takes_long { 1 << with_long_parameters(needs) } else { 0 };
        bits | (1 << needs) | long
    })
}

/// Whether nodes of such abilities take long parameters.
fn take_long_parameters(abilities: i64) -> bool {
    abilities >> LONG_PARAMETERS != 0
}

impl Catalog {
    /// What a release needs, if there is such a release.
    pub(crate) async fn needs_of(&self, digest: &str) -> Result<Option<i64>, StoreError> {
        if let Some(&needs) = self.core.needs.lock().unwrap_or_else(PoisonError::into_inner).get(digest) {
            return Ok(Some(needs));
        }
        let Some(release) = self.core.store.release(digest).await? else {
            return Ok(None);
        };
        self.core.needs.lock().unwrap_or_else(PoisonError::into_inner).insert(release.digest, release.needs);
        Ok(Some(release.needs))
    }

    /// Whether that pool has said something, which may be taken back when its root is named.
    pub(crate) async fn pool_exists(&self, name: &str) -> Result<bool, StoreError> {
        let key = name.to_owned();
        if self.core.pools.has(&key) {
            return Ok(true);
        }
        let exists = self.core.store.pool_exists(name).await?;
        self.core.pools.found(key, exists);
        Ok(exists)
    }
}

impl Catalog {
    /// Adds a release. True: it is new; false: it was added before.
    ///
    /// # Errors
    /// `bad_request`; `conflict`: the digest is known as another engine's, version's or contract's.
    pub async fn add_release(&self, release: &NewRelease) -> Result<bool, ErrorBody> {
        self.publish_release(release, None).await
    }

    /// Adds a release with what its publisher says of it, in place of what was said before. True: it is new; false: it was added
    /// before. A new one is used by whoever has adopted none of its engine's, unless the one that they use has a higher version.
    ///
    /// # Errors
    /// As [`Self::add_release`]; `bad_request`: the description is too long, or not one JSON object.
    pub async fn publish_release(&self, release: &NewRelease, description: Option<&str>) -> Result<bool, ErrorBody> {
        let said = description.map(Said::read).transpose()?;
        if !is_name(&release.engine) {
            return Err(bad_request(format!("engine `{}` is not a name", shown(&release.engine))));
        }
        let version = &release.version;
        if version.is_empty() || version.len() > 64 || version.contains(char::is_control) {
            return Err(bad_request(format!("version `{}` is not 1 to 64 bytes of text in one line", shown(version))));
        }
        if !is_hex(&release.digest, 64) {
            return Err(bad_request(format!(
                "digest `{}` is not 64 lower-case hex characters",
                shown(&release.digest)
            )));
        }
        if release.contract == 0 || release.contract > MAX_CONTRACT {
            return Err(bad_request(format!("contract {} is not 1 to {MAX_CONTRACT}", release.contract)));
        }
        let length = i64::try_from(release.length)
            .map_err(|_| bad_request(format!("a component of {} bytes is too long", release.length)))?;
        let row = ReleaseRow {
            engine: release.engine.clone(),
            version: release.version.clone(),
            digest: release.digest.clone(),
            contract: i64::from(release.contract),
            needs: needs(release.contract),
            length,
        };
        let added = async {
            let mut tx = self.core.store.begin().await?;
            let new = choose_default(&mut tx, &row).await?;
            let known = tx.release(&row.digest).await?;
            if let (Some(said), Some(document)) = (&said, description)
                && known.as_ref() == Some(&row)
            {
                said.publish(&mut tx, &row.digest, document).await?;
            }
            tx.commit().await?;
            Ok::<_, StoreError>((new, known))
        };
        let (new, known) = added.await.map_err(|error| from_store("add release", &error))?;
        match known {
            Some(known) if known != row => Err(conflict(
                format!("release `{}` is known as {} {}", row.digest, known.engine, known.version),
                "a release is immutable: build a new one",
            )),
            _ => Ok(new),
        }
    }

    /// The releases there are, newest first within an engine, and which of them the caller's organisation uses: what it
    /// adopted, else what [`Catalog::use_release`] chose, else what was published last. With a pool, also the engines that its nodes bring themselves, and of each what these nodes said
    /// of it; otherwise what was said last. A pool that does not serve the caller is as one that there is not.
    ///
    /// # Errors
    /// `bad_request`: that is no name of a pool; those of the database.
    pub async fn releases(&self, caller: &Caller, pool: Option<&str>) -> Result<Releases, ErrorBody> {
        check_pool(pool)?;
        let read = async {
            // Those whose nodes' words count; none: everybody's.
            let pools = match pool {
                Some(pool) => Some(vec![(self.shown_pool(caller, pool).await?.to_owned(),)]),
                None => self.shown_pools(caller).await?,
            };
            let local = match (pool, pools.as_deref()) {
                (Some(_), Some([(pool,)])) => self.local_releases(pool).await?,
                _ => Vec::new(),
            };
            let described = match pools.as_deref() {
                Some([(pool,)]) => self.core.store.described_releases(Some(pool)).await?,
                Some(pools) => self.core.store.described_releases_by(pools).await?,
                None => self.core.store.described_releases(None).await?,
            };
            let releases = self.core.store.releases().await?;
            let said: HashSet<_> = described.iter().map(|row| &row.digest).collect();
            if releases.iter().any(|row| !said.contains(&row.digest)) {
                // Or one that was published just now would look as if nobody could describe it.
                self.list_undescribed_for(releases.len()).await?;
            }
            let describing =
                self.being_described(|of| pools.as_deref().is_none_or(|pools| pools.iter().any(|(pool,)| pool == of)));
            let adoptions = self.core.store.adoptions(caller.organisation).await?;
            let abilities = match (pool, pools.as_deref()) {
                (Some(_), Some([(pool,)])) => self.core.store.abilities_of(pool).await?,
                _ => 0,
            };
            Ok::<_, StoreError>((local, described, describing, releases, adoptions, abilities))
        };
        let (local, described, (describing, given_up), rows, adoptions, abilities) =
            read.await.map_err(|error| from_store("list releases", &error))?;
        let mut described: HashMap<_, _> = described.into_iter().map(|row| (row.digest.clone(), row)).collect();
        let mut newest = HashSet::new();
        let mut releases: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let is_newest = newest.insert(row.engine.clone());
                let current = adoptions
                    .iter()
                    .find(|(engine, _)| *engine == row.engine)
                    .map_or(is_newest, |(_, digest)| *digest == row.digest);
                let said = described.remove(&row.digest);
                let list = |json: &str| serde_json::from_str::<Vec<String>>(json).ok();
                Release {
                    describing: said.is_none() && describing.contains(&row.digest),
                    undescribable: said.is_none() && given_up.contains(&row.digest),
                    engine: row.engine,
                    version: row.version,
                    digest: row.digest,
                    contract: u32::try_from(row.contract).unwrap_or(0),
                    length: u64::try_from(row.length).unwrap_or(0),
                    current,
                    media_types: said.as_ref().and_then(|said| list(&said.media_types)),
                    extensions: said.as_ref().and_then(|said| list(&said.extensions)).unwrap_or_default(),
                    summary: said.map(|said| said.summary),
                }
            })
            .chain(local)
            .collect();
        // Stable: the order within an engine stays.
        releases.sort_by(|one, other| one.engine.cmp(&other.engine));
        let parameters_bytes = take_long_parameters(abilities).then_some(MAX_PARAMETERS_BYTES);
        Ok(Releases { releases, parameters_bytes })
    }

    /// Where the component of a release is, or one that a node of the caller's `own` pool brought.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn component(&self, own: &str, digest: &str) -> Result<Object, ErrorBody> {
        let store = &self.core.store;
        let no_release = || not_found(format!("there is no release `{}`", shown(digest)), "list the releases");
        if !is_hex(digest, 64) {
            return Err(no_release());
        }
        let found = async {
            match store.release(digest).await? {
                Some(release) => Ok(Some((release.length, ObjectKey::release(digest)))),
                None => {
                    let length = store.local_length(own, digest).await?;
                    Ok(length.map(|length| (length, ObjectKey::component(own, digest))))
                }
            }
        };
        let found = found.await.map_err(|error| from_store("find release", &error))?;
        let (length, key) = found.ok_or_else(no_release)?;
        Ok(Object {
            length: u64::try_from(length).unwrap_or(0),
            key: key.map_err(|_| no_release())?,
            sha256: digest.to_owned(),
        })
    }
}
