//! What an operator does from the command line, beside a server that runs or in place of one that does not.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_api::{ErrorBody, Release};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::accounts::{Accounts, Caller, JoinCodeSummary, JoinGrant, NewCode, NewToken, Revoked, Scope, TokenSummary};
use crate::bounds::Bounds;
use crate::catalog::component::{ComponentError, contract_of};
use crate::catalog::{Catalog, CatalogConfig, NewRelease, PoolRoot, PoolService, PoolSummary, Serves};
use crate::config::{Embedded, LOOPBACK, Place};
use crate::embedded::{self, DirLock, StorageStartError};
use crate::listen::Lane;
use crate::start_error::StartError;
use crate::storage::{ObjectKey, Storage, StorageError};
use crate::store::{Store, StoreOptions};

/// How long to wait for a server that has the folder to say where its storage is.
const STARTING_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at such a server.
const STARTING_POLL: Duration = Duration::from_millis(50);
/// How long what is under way may take at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Why an operator's command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Folder, database or storage is unavailable.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It was refused.
    #[error("{0}")]
    Refused(ErrorBody),
    /// The file is not an engine.
    #[error("the file is not an engine")]
    Component(#[from] ComponentError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<ErrorBody> for AdminError {
    fn from(body: ErrorBody) -> Self {
        Self::Refused(body)
    }
}

/// A release that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Name of the engine.
    pub engine: String,
    /// The release's version.
    pub version: String,
    /// SHA-256 of the component, hex.
    pub digest: String,
    /// Major of the engine contract.
    pub contract: u32,
    /// Whether it was not published before.
    #[serde(skip)]
    pub is_new: bool,
}

/// What an operator changes in the database of a server, which may be running. Nothing happens by itself meanwhile: no clock runs, and
/// nothing is swept.
pub struct Admin {
    listing: Listing,
}

/// What an operator looks at in the database of a server, which may be running. It changes nothing in it.
pub struct Listing {
    accounts: Accounts,
    catalog: Catalog,
    store: Store,
    /// Whether the database was opened for this.
    is_own: bool,
}

impl Listing {
    /// Opens the database as it is, for reading.
    ///
    /// # Errors
    /// The database is unavailable, or an older or newer version's.
    pub async fn open(database: &StoreOptions) -> Result<Self, StartError> {
        Ok(Self::over(Store::open_to_read(database).await?, true))
    }

    fn over(store: Store, is_own: bool) -> Self {
        let catalog = Catalog::new(store.clone(), CatalogConfig::default());
        Self { accounts: Accounts::new(store.clone()), catalog, store, is_own }
    }

    /// The pools, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pools(&self) -> Result<Vec<PoolSummary>, AdminError> {
        Ok(self.catalog.pool_summaries().await?)
    }

    /// Every pool, by name, and whom it serves.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pool_services(&self) -> Result<Vec<PoolService>, AdminError> {
        Ok(self.catalog.pool_services().await?)
    }

    /// Every token, without its text.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tokens(&self) -> Result<Vec<TokenSummary>, AdminError> {
        Ok(self.accounts.tokens().await?)
    }

    /// Every one-time code of the last day, without its text.
    ///
    /// # Errors
    /// The database failed.
    pub async fn join_codes(&self) -> Result<Vec<JoinCodeSummary>, AdminError> {
        Ok(self.accounts.join_codes().await?)
    }

    /// Every release, newest first within an engine. Current is what those use that have adopted none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn releases(&self) -> Result<Vec<Release>, AdminError> {
        // Nobody's view: row 0 is no organisation, and has adopted nothing.
        let nobody = Caller {
            organisation: 0,
            organisation_name: String::new(),
            member: 0,
            member_name: String::new(),
            scope: Scope::Operator,
            pool: None,
        };
        Ok(self.catalog.releases(&nobody, None).await?.releases)
    }

    /// Lets go of the database.
    pub async fn close(self) {
        if self.is_own {
            self.store.close().await;
        }
    }
}

impl Admin {
    /// Opens the database, making it if there is none, and brings its tables to this version.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn open(database: &StoreOptions) -> Result<Self, StartError> {
        Ok(Self { listing: Listing::over(Store::open(database).await?, true) })
    }

    /// On the database of a server in this process.
    pub(crate) fn of_server(store: Store) -> Self {
        Self { listing: Listing::over(store, false) }
    }

    /// What there is.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Makes a token; organisation and member are made when they are new. A processor's, and no other, is for a pool.
    ///
    /// # Errors
    /// A name is not one; a pool is missing or too many; the database failed.
    pub async fn create_token(
        &self,
        organisation: &str,
        member: &str,
        scope: Scope,
        pool: Option<&str>,
    ) -> Result<NewToken, AdminError> {
        Ok(self.listing.accounts.create_token(organisation, member, scope, pool).await?)
    }

    /// Succeeds when a token may be made for these: for whoever does something else first.
    ///
    /// # Errors
    /// A name is not one; a pool is missing or too many.
    pub fn check_token(organisation: &str, member: &str, scope: Scope, pool: Option<&str>) -> Result<(), AdminError> {
        Ok(Accounts::check_token(organisation, member, scope, pool)?)
    }

    /// Whether a processor has a valid token.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_processor(&self) -> Result<bool, AdminError> {
        Ok(self.listing.accounts.has_processor().await?)
    }

    /// Makes a one-time code, which is good for ten minutes.
    ///
    /// # Errors
    /// A name is not one; a pool is missing or too many; as many are good as may be; the database failed.
    pub async fn create_join_code(&self, grant: &JoinGrant) -> Result<NewCode, AdminError> {
        Ok(self.listing.accounts.create_join_code(grant).await?)
    }

    /// Takes a one-time code back that nobody has redeemed. False: there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_join_code(&self, id: i64) -> Result<bool, AdminError> {
        Ok(self.listing.accounts.revoke_join_code(id).await?)
    }

    /// Says which root a pool has; statements that it did not sign are removed. True: it is new.
    ///
    /// # Errors
    /// The pool has another root, and it is not to be replaced; the database failed.
    pub async fn name_root(&self, root: &PoolRoot, replace: bool) -> Result<bool, AdminError> {
        Ok(self.listing.catalog.name_root(root, replace).await?)
    }

    /// Whether the root of a pool is known.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_root(&self, pool: &str) -> Result<bool, AdminError> {
        Ok(self.listing.catalog.has_root(pool).await?)
    }

    /// A pool that is new serves everyone, rather than the organisation of its first token: as it is where everything is on one
    /// machine.
    ///
    /// # Errors
    /// It is no name; the database failed.
    pub async fn serve_everyone_at_first(&self, pool: &str) -> Result<(), AdminError> {
        Ok(self.listing.catalog.serve_everyone_at_first(pool).await?)
    }

    /// Says whom a pool serves from now on. A running server does so within two seconds.
    ///
    /// # Errors
    /// There is no such pool, or no such organisation; the database failed.
    pub async fn serve_pool(&self, pool: &str, serves: &Serves) -> Result<(), AdminError> {
        Ok(self.listing.catalog.serve_pool(pool, serves).await?)
    }

    /// Revokes a token; a running server learns of it within two seconds. Takes back a one-time code that came along with it. None: there
    /// is no such token, or it was revoked before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_token(&self, id: i64) -> Result<Option<Revoked>, AdminError> {
        Ok(self.listing.accounts.revoke_token(id).await?)
    }

    /// Stores a component where a server of this place looks for it, and adds its release. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// The bytes are not an engine; the digest is known under another name; storage or database failed.
    pub async fn publish(
        &self,
        place: &Place,
        engine: &str,
        version: &str,
        component: Vec<u8>,
    ) -> Result<Published, AdminError> {
        self.publish_described(place, engine, version, component, None, Vec::new()).await
    }

    /// As [`Self::publish`], with the document in which the component says what it is; in place of the one that was published
    /// before. `needs` are names of what a processor has to have for it beside the contract, such as `gpu`.
    ///
    /// # Errors
    /// As [`Self::publish`]; the document is too long, or not one JSON object; one of the names can be none.
    pub async fn publish_described(
        &self,
        place: &Place,
        engine: &str,
        version: &str,
        component: Vec<u8>,
        description: Option<&str>,
        needs: Vec<String>,
    ) -> Result<Published, AdminError> {
        let contract = contract_of(&component)?;
        let sha256 = digest(&SHA256, &component);
        let release = NewRelease {
            engine: engine.to_owned(),
            version: version.to_owned(),
            digest: HEXLOWER.encode(sha256.as_ref()),
            contract: contract.major,
            minor: contract.minor,
            needs,
            length: component.len() as u64,
        };
        // The object first: a release that is listed can be fetched.
        let key = ObjectKey::release(&release.digest).map_err(StorageError::from)?;
        store_object(place, &key, component, sha256.as_ref()).await?;
        let is_new = self.listing.catalog.publish_release(&release, description).await?;
        let NewRelease { engine, version, digest, .. } = release;
        Ok(Published { engine, version, digest, contract: contract.major, is_new })
    }

    /// Makes an organisation use a release from now on; without one, all that have adopted none of this engine. A running server
    /// does so at once. Gives the release's digest.
    ///
    /// # Errors
    /// There is no such release, or no such organisation; the database failed.
    pub async fn use_release(
        &self,
        engine: &str,
        version: &str,
        organisation: Option<&str>,
    ) -> Result<String, AdminError> {
        Ok(self.listing.catalog.use_release(engine, version, organisation).await?)
    }

    /// Lets go of the database.
    pub async fn close(self) {
        self.listing.close().await;
    }
}

async fn store_object(place: &Place, key: &ObjectKey, bytes: Vec<u8>, sha256: &[u8]) -> Result<(), AdminError> {
    match place {
        Place::Services { storage, .. } => Ok(Storage::open(storage.clone()).await?.put(key, bytes, sha256).await?),
        Place::Embedded(embedded) => {
            let (storage, own) = embedded_storage(embedded).await?;
            let stored = storage.put(key, bytes, sha256).await;
            if let Some((lane, lock)) = own {
                lane.drain(Instant::now() + CLOSE_LIMIT).await;
                drop(lock);
            }
            Ok(stored?)
        }
    }
}

/// The storage of the server that has the folder; or, when none has it, one started for this purpose, with the lock
/// that keeps a server from starting beside it.
async fn embedded_storage(embedded: &Embedded) -> Result<(Storage, Option<(Lane, DirLock)>), AdminError> {
    let begin = Instant::now();
    loop {
        let in_use = match embedded.take() {
            Ok((dir, lock)) => return start_storage(embedded, &dir, lock).await,
            Err(error @ StartError::InUse { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        let StartError::InUse { running, dir } = &in_use else {
            return Err(in_use.into());
        };
        // It may be starting still, and the file be one that a killed server left.
        if let Some(running) = running {
            let config = embedded::running_storage(dir, running, embedded.lifetime)
                .map_err(|source| StartError::dir(dir, source))?;
            match Storage::open(config).await {
                Ok(storage) => return Ok((storage, None)),
                Err(error) if begin.elapsed() > STARTING_LIMIT => return Err(error.into()),
                Err(_) => {}
            }
        }
        if begin.elapsed() > STARTING_LIMIT {
            return Err(in_use.into());
        }
        sleep(STARTING_POLL).await;
    }
}

async fn start_storage(
    embedded: &Embedded,
    dir: &Path,
    lock: DirLock,
) -> Result<(Storage, Option<(Lane, DirLock)>), AdminError> {
    let lane = Lane::default();
    let config = embedded::start_storage(dir, LOOPBACK, embedded.lifetime, &lane, &Bounds::default()).await.map_err(
        |error| match error {
            StorageStartError::Dir(source) => StartError::dir(dir, source),
            StorageStartError::Listen(source) => StartError::Listen { address: LOOPBACK, source },
        },
    )?;
    Ok((Storage::open(config).await?, Some((lane, lock))))
}
