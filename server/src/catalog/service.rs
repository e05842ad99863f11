//! Whom a pool serves. To everybody else it is as a pool that there is not.

use filemill_api::ErrorBody;

use super::handle::Catalog;
use super::types::{PoolService, Serves};
use crate::accounts::{Caller, Scope};
use crate::refusal::{bad_request, check_pool, from_store, is_name, not_found, shown};
use crate::store::StoreError;

/// The name of no pool: what is asked of one that does not serve is asked of this instead, and takes as long.
pub(crate) const NOWHERE: &str = "/";

impl Catalog {
    /// Whether the caller may know of a pool of that name: it serves the caller's organisation. An operator may know of each, a
    /// processor of its own.
    pub(crate) async fn shows(&self, caller: &Caller, pool: &str) -> Result<bool, StoreError> {
        match caller.scope {
            Scope::Operator => Ok(true),
            Scope::Processor if caller.pool.as_deref() == Some(pool) => Ok(true),
            _ => self.serves(pool, caller.organisation).await,
        }
    }

    /// The pool, or the name of none for whom it does not serve.
    pub(super) async fn shown_pool<'a>(&self, caller: &Caller, pool: &'a str) -> Result<&'a str, StoreError> {
        Ok(if self.shows(caller, pool).await? { pool } else { NOWHERE })
    }

    /// The pools that the caller may know of; none: of each.
    pub(super) async fn shown_pools(&self, caller: &Caller) -> Result<Option<Vec<(String,)>>, StoreError> {
        if caller.scope == Scope::Operator {
            return Ok(None);
        }
        let mut pools = self.core.store.pools_serving(caller.organisation).await?;
        let own = caller.pool.iter().filter(|_| caller.scope == Scope::Processor);
        pools.extend(own.map(|pool| (pool.clone(),)));
        Ok(Some(pools))
    }

    /// Whether there is that pool and it serves the organisation.
    async fn serves(&self, pool: &str, organisation: i64) -> Result<bool, StoreError> {
        // However many organisations ask in turn: of a pool that serves everyone, one of them finds it out for all.
        if self.core.serve_everyone.has(pool) {
            return Ok(true);
        }
        let key = (organisation, pool.to_owned());
        if self.core.served.has(&key) {
            return Ok(true);
        }
        let serves = self.core.store.serves(pool, organisation).await?;
        self.core.serve_everyone.found(pool.to_owned(), serves == Some(true));
        self.core.served.found(key, serves.is_some());
        Ok(serves.is_some())
    }
}

impl Catalog {
    /// Says whom a pool serves from now on: these and no others. What was opened before goes on to its end. Works within two
    /// seconds everywhere.
    ///
    /// # Errors
    /// `bad_request`: no name; `not_found`: no such pool or organisation.
    pub async fn serve_pool(&self, pool: &str, serves: &Serves) -> Result<(), ErrorBody> {
        check_pool(Some(pool))?;
        let named = match serves {
            Serves::Everyone => &[][..],
            Serves::Organisations(names) => names,
        };
        if let Some(name) = named.iter().find(|name| !is_name(name)) {
            return Err(bad_request(format!("organisation `{}` is not a name", shown(name))));
        }
        let set = async {
            let mut tx = self.core.store.begin().await?;
            if !tx.knows_pool(pool).await? {
                return Ok(Some(not_found(
                    format!("there is no pool `{pool}`"),
                    "make its first token (`filemill-server token create --scope processor --pool NAME`)",
                )));
            }
            tx.set_service(pool, *serves == Serves::Everyone).await?;
            let mut names = named.to_vec();
            names.sort_unstable();
            names.dedup();
            for name in names {
                if !tx.serve_organisation(pool, &name).await? {
                    return Ok(Some(not_found(
                        format!("there is no organisation `{name}`"),
                        "make a token for one of its members first",
                    )));
                }
            }
            tx.commit().await?;
            Ok::<_, StoreError>(None)
        };
        let refused = set.await.map_err(|error| from_store("serve pool", &error))?;
        self.core.serve_everyone.clear();
        self.core.served.clear();
        refused.map_or(Ok(()), Err)
    }

    /// A pool that nobody has said anything of serves everyone: as one does that is on its operator's own machine.
    ///
    /// # Errors
    /// `bad_request`: no name.
    pub async fn serve_everyone_at_first(&self, pool: &str) -> Result<(), ErrorBody> {
        check_pool(Some(pool))?;
        let begun = async {
            let mut tx = self.core.store.begin().await?;
            if !tx.knows_pool(pool).await? {
                tx.begin_service(pool, true).await?;
            }
            tx.commit().await
        };
        begun.await.map_err(|error| from_store("serve pool", &error))
    }

    /// Every pool, by name, and whom it serves.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn pool_services(&self) -> Result<Vec<PoolService>, ErrorBody> {
        let rows = self.core.store.services().await.map_err(|error| from_store("list pools", &error))?;
        let mut pools: Vec<PoolService> = Vec::new();
        for (pool, everyone, organisation) in rows {
            if pools.last().is_none_or(|last| last.pool != pool) {
                let serves = if everyone { Serves::Everyone } else { Serves::Organisations(Vec::new()) };
                pools.push(PoolService { pool, serves });
            }
            if let (Some(PoolService { serves: Serves::Organisations(names), .. }), Some(name)) =
                (pools.last_mut(), organisation)
            {
                names.push(name);
            }
        }
        Ok(pools)
    }
}
