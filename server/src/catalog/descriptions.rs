//! What engines say of themselves: taken from nodes that installed a release, and asked for where a pool's have said nothing.
//!
//! It is kept for each pool apart: what nodes of one say is not shown to those who pinned another.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use filemill_api::{DescriptionQuery, ErrorBody};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::describing::Describing;
use super::handle::Catalog;
use super::needs::Abilities;
use super::said::Said;
use crate::accounts::Caller;
use crate::refusal::{bad_request, check_pool, from_store, is_hex, not_found, shown};
use crate::retry::ms;
use crate::store::StoreError;

/// How often to look which releases lack a description.
const LISTED_EVERY: Duration = Duration::from_secs(1);
/// Releases without a description that are looked at, the newest of each pool; the others follow when these have one.
const LISTED: i64 = 256;
/// Releases and components whose descriptions are forgotten in one transaction.
const FORGOTTEN: i64 = 256;

impl Catalog {
    /// Keeps what a node of the caller's `own` pool says that a release's engine says of itself, as the newest word, beside the
    /// older ones.
    ///
    /// # Errors
    /// `bad_request`: it is too long, or no JSON object; `not_found`: there is no such release, nor such a component of the pool.
    pub async fn describe_release(&self, own: &str, digest: &str, document: &str) -> Result<(), ErrorBody> {
        let said = Said::read(document)?;
        let kept = async {
            let store = &self.core.store;
            if !is_hex(digest, 64) || !store.is_describable(own, digest).await? {
                return Ok(false);
            }
            let _turn = self.may_write(own).await;
            let mut tx = store.begin().await?;
            said.keep(&mut tx, own, digest, document).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(true)
        };
        if kept.await.map_err(|error| from_store("keep description", &error))? {
            self.described(own, digest);
            return Ok(());
        }
        Err(not_found(format!("there is no release `{}`", shown(digest)), "list the releases"))
    }

    /// What a release's engine says of itself, byte for byte as it was sent, by nodes of a pool that serves the caller; the document
    /// of a hash by any.
    ///
    /// # Errors
    /// `bad_request`: what is asked for is no hash, or no pool; `not_found`.
    pub async fn description(
        &self,
        caller: &Caller,
        digest: &str,
        query: &DescriptionQuery,
    ) -> Result<String, ErrorBody> {
        let DescriptionQuery { sha256, pool } = query;
        if let Some(sha256) = sha256.as_deref().filter(|sha256| !is_hex(sha256, 64)) {
            return Err(bad_request(format!("sha256 `{}` is not 64 lower-case hex characters", shown(sha256))));
        }
        check_pool(pool.as_deref())?;
        let nothing = || {
            not_found(
                format!("there is no such description of release `{}`", shown(digest)),
                "a processor that runs the release sends it",
            )
        };
        if !is_hex(digest, 64) {
            return Err(nothing());
        }
        let find = async {
            let pools = match (pool.as_deref(), sha256) {
                (Some(pool), _) => Some(vec![(self.shown_pool(caller, pool).await?.to_owned(),)]),
                // Who names it exactly has it from a result, and does not learn whose it is.
                (None, Some(_)) => None,
                (None, None) => self.shown_pools(caller).await?,
            };
            self.core.store.description(digest, sha256.as_deref().unwrap_or_default(), pools.as_deref()).await
        };
        find.await.map_err(|error| from_store("find description", &error))?.ok_or_else(nothing)
    }
}

/// Looks every second which releases lack a description, until `stop`.
pub(super) async fn run(catalog: Catalog, stop: CancellationToken) {
    let mut due = interval(LISTED_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            due.tick().await;
            let _one = catalog.core.listing.lock().await;
            if let Err(error) = catalog.list_undescribed().await {
                let _logged = from_store("list releases without a description", &error);
            }
        }
    };
    let _ = stop.run_until_cancelled(looking).await;
}

impl Catalog {
    /// Sees to it that the list of what lacks a description is fresh enough for who knows of so many releases.
    pub(super) async fn list_undescribed_for(&self, releases: usize) -> Result<(), StoreError> {
        let _one = self.core.listing.lock().await;
        // Whoever was waited for may have done it.
        if self.describing().is_fresh(releases, Instant::now()) {
            return Ok(());
        }
        self.list_undescribed().await
    }

    /// Looks which releases lack a description, pool by pool: what one of them has is little for the others. The caller holds
    /// `listing`.
    async fn list_undescribed(&self) -> Result<(), StoreError> {
        self.describing().described.clear();
        // Leasing keeps up with them, where there is leasing.
        if self.core.numbers.last() == 0 {
            self.keep_up_with_needs().await;
        }
        let releases = self.core.store.count_releases().await?;
        let mut lacking = HashMap::new();
        let mut needs = HashMap::<_, BTreeSet<_>>::new();
        for (pool, names, bits) in self.core.store.abilities_by_pool(ms(self.core.config.node_present)).await? {
            let met = self.met_by(&Abilities::written(names.as_deref(), bits));
            needs.entry(pool).or_default().extend(met.into_iter().map(|number| (number,)));
        }
        for (pool, needs) in needs {
            let needs: Vec<_> = needs.into_iter().collect();
            let rows = self.core.store.undescribed_releases(&pool, &needs, LISTED).await?;
            lacking.insert(pool, rows);
        }
        let more = self.describing().take(lacking, usize::try_from(releases).unwrap_or(0), Instant::now());
        if more {
            // Nodes that wait can be asked.
            self.core.undescribed.notify_one();
        }
        Ok(())
    }

    /// Releases that this node, of the pool, which can run those that need one of `met`, is to describe. It is not asked for them again
    /// for a while.
    pub(crate) fn to_describe(&self, pool: &str, node: &str, met: &[i64]) -> Vec<String> {
        self.describing().ask(pool, node, met, Instant::now())
    }

    /// Which releases a node of these pools was or will be asked to describe so lately that its answer may still come; and which
    /// nodes were asked to describe in vain.
    pub(super) fn being_described(&self, of: impl Fn(&str) -> bool) -> (HashSet<String>, HashSet<String>) {
        let (describing, now) = (self.describing(), Instant::now());
        (describing.expected(&of, now), describing.given_up(&of, now))
    }

    /// Forgets descriptions of what is gone that were last said before that. They are looked for outside of the transaction, because nearly all descriptions
    /// are old and stay.
    pub(crate) async fn forget_descriptions(&self, before: i64) -> Result<(), StoreError> {
        loop {
            let stale = self.core.store.stale_descriptions(before, FORGOTTEN).await?;
            if stale.is_empty() {
                return Ok(());
            }
            let mut tx = self.core.store.begin().await?;
            tx.forget_descriptions(&stale, before).await?;
            tx.commit().await?;
            if (stale.len() as i64) < FORGOTTEN {
                return Ok(());
            }
        }
    }

    fn described(&self, pool: &str, digest: &str) {
        self.describing().described(pool, digest);
    }

    fn describing(&self) -> MutexGuard<'_, Describing> {
        self.core.describing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
