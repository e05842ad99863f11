//! Engine releases, and which of them an organisation uses.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;

use filemill_api::abilities::LONG_PARAMETERS;
use filemill_api::limits::MAX_PARAMETERS_BYTES;
use filemill_api::{ErrorBody, Release, Releases};

use super::adoption::choose_default;
use super::handle::Catalog;
use super::needs::{Abilities, NeedSet, check_names};
use super::said::Said;
use super::types::NewRelease;
use crate::accounts::Caller;
use crate::refusal::{bad_request, check_pool, conflict, from_store, is_hex, is_name, not_found, shown};
use crate::storage::{Object, ObjectKey};
use crate::store::StoreError;
use crate::store::catalog::ReleaseRow;

/// Highest contract major that a server knows which has bits for needs; the same number bounds the minors, so that what nodes offer makes
/// few sets of needs.
pub(super) const MAX_CONTRACT: u32 = 30;

/// However long ago, in milliseconds.
const EVER_MS: i64 = i64::MAX / 2;

/// Whether two rows are of the same release. The minor version of its contract is said anew by a server that knows names of one that was
/// published through one that did not; then it needs no more than that.
fn is_same(known: &ReleaseRow, row: &ReleaseRow, named: &[&str]) -> bool {
    let of_bits = ReleaseRow { needs: row.needs, ..known.clone() };
    known == row || (known.needs <= MOST_BITS && named.is_empty() && of_bits == *row)
}

/// Why a release cannot be published so.
fn known_otherwise(known: &ReleaseRow, row: &ReleaseRow) -> ErrorBody {
    let (digest, engine, version) = (&row.digest, &known.engine, &known.version);
    if (ReleaseRow { needs: row.needs, ..known.clone() }) == *row {
        return conflict(
            format!("release `{digest}` is published as {engine} {version}, with other needs"),
            "what a release needs cannot be changed: raise its version",
        );
    }
    conflict(format!("release `{digest}` is known as {engine} {version}"), "a release is immutable: build a new one")
}

/// The highest number of needs that is a bit.
const MOST_BITS: i64 = 62;

/// Whether this can be a contract's version.
///
/// # Errors
/// `bad_request`.
pub(super) fn check_contract(major: u32, minor: u32) -> Result<(), ErrorBody> {
    if (1..=MAX_CONTRACT).contains(&major) && minor <= MAX_CONTRACT {
        return Ok(());
    }
    Err(bad_request(format!("contract {major}.{minor} is not 1.0 to {MAX_CONTRACT}.{MAX_CONTRACT}")))
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
        check_contract(release.contract, release.minor)?;
        check_names("needs", &release.needs)?;
        let names: Vec<_> = release.needs.iter().map(String::as_str).collect();
        let needs = NeedSet::component(release.contract, release.minor).and(&names);
        let needs = self.number_of(&needs).await.map_err(|error| from_store("number needs", &error))?;
        let length = i64::try_from(release.length)
            .map_err(|_| bad_request(format!("a component of {} bytes is too long", release.length)))?;
        let row = ReleaseRow {
            engine: release.engine.clone(),
            version: release.version.clone(),
            digest: release.digest.clone(),
            contract: i64::from(release.contract),
            needs,
            length,
        };
        let added = async {
            let mut tx = self.core.store.begin().await?;
            let new = choose_default(&mut tx, &row).await?;
            let known = tx.release(&row.digest).await?;
            if known.as_ref().is_some_and(|known| is_same(known, &row, &names)) {
                if known.as_ref().is_some_and(|known| known.needs < row.needs) {
                    tx.set_release_needs(&row.digest, row.needs).await?;
                }
                if let (Some(said), Some(document)) = (&said, description) {
                    said.publish(&mut tx, &row.digest, document).await?;
                }
            }
            tx.commit().await?;
            Ok::<_, StoreError>((new, known))
        };
        let (new, known) = added.await.map_err(|error| from_store("add release", &error))?;
        self.core.needs.lock().unwrap_or_else(PoisonError::into_inner).remove(&row.digest);
        match known {
            Some(known) if !is_same(&known, &row, &names) => Err(known_otherwise(&known, &row)),
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
            let (takes_long, formats) = match (pool, pools.as_deref()) {
                (Some(_), Some([(pool,)])) => self.taken_in(pool).await?,
                _ => (false, Vec::new()),
            };
            let mut needs = HashMap::new();
            for row in &releases {
                if let Entry::Vacant(unknown) = needs.entry(row.needs) {
                    let set = self.set_of(row.needs).await?;
                    unknown.insert(set.map(|set| set.names()).unwrap_or_default());
                }
            }
            Ok::<_, StoreError>((local, described, describing, (releases, needs), adoptions, takes_long, formats))
        };
        let (local, described, (describing, given_up), (rows, needs), adoptions, takes_long, formats) =
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
                    needs: needs.get(&row.needs).cloned().unwrap_or_default(),
                    media_types: said.as_ref().and_then(|said| list(&said.media_types)),
                    extensions: said.as_ref().and_then(|said| list(&said.extensions)).unwrap_or_default(),
                    summary: said.map(|said| said.summary),
                }
            })
            .chain(local)
            .collect();
        // Stable: the order within an engine stays.
        releases.sort_by(|one, other| one.engine.cmp(&other.engine));
        let parameters_bytes = takes_long.then_some(MAX_PARAMETERS_BYTES);
        Ok(Releases { releases, parameters_bytes, formats })
    }

    /// Whether a node of the pool took long parameters when it was heard last; and the formats of headers that those read which are there,
    /// or where none is, those that were heard last.
    async fn taken_in(&self, pool: &str) -> Result<(bool, Vec<u8>), StoreError> {
        let heard = self.core.store.abilities_in(pool, EVER_MS).await?;
        let heard: Vec<_> = heard.iter().map(|(names, bits)| Abilities::written(names.as_deref(), *bits)).collect();
        let present = self.abilities_in(pool).await?;
        let reading = if present.is_empty() { &heard } else { &present };
        let formats: BTreeSet<_> = reading.iter().flat_map(Abilities::formats).collect();
        Ok((heard.iter().any(|node| node.has(LONG_PARAMETERS)), formats.into_iter().collect()))
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
