//! What pools say about themselves, and who may say it.
//!
//! The server knows the root of each pool and takes nothing else: whoever has a pool's token could otherwise push the pool's own
//! statement out with some of their making. Clients check all of it again, by the root that they pinned.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

use filemill_api::{ErrorBody, ErrorCode, Pools, SignedStatement};

use super::handle::Catalog;
use super::roots::{PoolRoot, Said, read_unsigned};
use super::types::{NewPools, PoolSummary};
use crate::accounts::Caller;
use crate::digest::sha256;
use crate::refusal::{conflict, from_store, own_pool};
use crate::retry::retried;
use crate::store::catalog::PoolRow;
use crate::store::{StoreError, Tx};

/// Serials kept of each pool: the recipient that is replaced stays known while uploads for it are under way.
const KEPT: usize = 4;
/// Of statements that are not valid yet by this server's database, so many more are kept: they push none out that is.
const KEPT_EARLY: usize = 2;
/// How much earlier than its time a statement counts as valid: clocks differ.
const SKEW_SECONDS: i64 = 600;
/// Checked signatures that are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// How a statement was taken.
enum Taken {
    /// It is there.
    There,
    /// And its root is the pool's from now on.
    Pinned(PoolRoot),
}

impl Catalog {
    /// As [`Catalog::publish_pool_by`], from a node that does not say which root signed it.
    ///
    /// # Errors
    /// As there.
    pub async fn publish_pool(&self, own: &str, signed: &SignedStatement) -> Result<(), ErrorBody> {
        self.publish_pool_by(own, signed, None).await
    }

    /// Takes what a pool says about itself, to pass it on, if the pool's root signed it. `claimed` is the root that the node says
    /// signed it, hex: it counts for a pool without a root only, and there only where [`NewPools::First`] holds.
    ///
    /// # Errors
    /// `bad_request`: it is no statement; `forbidden`: it is another pool's than the caller's `own`; `conflict`: the root did not
    /// sign it, nobody has named one, the pool has said something else with that serial, or has replaced it since.
    pub async fn publish_pool_by(
        &self,
        own: &str,
        signed: &SignedStatement,
        claimed: Option<&str>,
    ) -> Result<(), ErrorBody> {
        let said = read_unsigned(signed)?;
        own_pool(own, &said.pool)?;
        let claimed = claimed.map(|root| PoolRoot::new(&said.pool, root)).transpose()?;
        let _turn = self.may_write(own).await;
        let taken = retried(|| self.try_publish(&said, signed, claimed.as_ref())).await;
        match taken.map_err(|error| from_store("publish pool", &error))?? {
            Taken::There => {}
            Taken::Pinned(root) => tracing::info!(
                pool = root.pool(),
                fingerprint = root.fingerprint(),
                "the first root of the pool was taken for its own: compare this with `filemill-processor pool show`"
            ),
        }
        Ok(())
    }

    async fn try_publish(
        &self,
        said: &Said,
        signed: &SignedStatement,
        claimed: Option<&PoolRoot>,
    ) -> Result<Result<Taken, ErrorBody>, StoreError> {
        let new_pools = self.core.config.new_pools;
        let mut tx = self.core.store.begin().await?;
        // Its root is locked before its statements, as by whoever names one.
        let mut known = known_root(&mut tx, &said.pool).await?;
        let mut rows = tx.pool_statements(&said.pool).await?;
        if known.is_none() {
            // One may have been named while the statements were waited for.
            known = known_root(&mut tx, &said.pool).await?;
        }
        let (root, taken) = match (known, claimed) {
            (Some(root), _) => (Some(root), Taken::There),
            // What is there shows that the pool's own processors have this root.
            (None, Some(first)) if new_pools == NewPools::First && rows.iter().all(|row| signs(first, row)) => {
                tx.insert_root(first.pool(), &first.hex()).await?;
                // Another may have been first at this moment.
                (known_root(&mut tx, &said.pool).await?, Taken::Pinned(first.clone()))
            }
            (None, _) if rows.is_empty() && new_pools == NewPools::Named => {
                return Ok(Err(no_root(&said.pool)));
            }
            (None, _) => (None, Taken::There),
        };
        let said = match &root {
            Some(root) => {
                rows.retain(|row| signs(root, row));
                match root.read(signed) {
                    Ok(said) => said,
                    Err(why) => return Ok(Err(not_signed(&said.pool, &why))),
                }
            }
            None => said.clone(),
        };
        if let Some(row) = rows.iter().find(|row| row.serial == said.serial) {
            if row.statement == signed.statement {
                tx.commit().await?;
                return Ok(Ok(taken));
            }
            return Ok(Err(conflict(
                format!("pool `{}` has published another statement with serial {}", said.pool, said.serial),
                "sign a statement with a higher serial",
            )));
        }
        let now = tx.unix_seconds().await?;
        rows.push(PoolRow {
            serial: said.serial,
            statement: signed.statement.clone(),
            signature: signed.signature.clone(),
            standing: false,
        });
        let keep = kept(&rows, root.as_ref(), now);
        if !keep.contains(&said.serial) {
            let highest = rows.iter().map(|row| row.serial).max().unwrap_or(0);
            return Ok(Err(conflict(
                format!(
                    "statement {} of pool `{}` was replaced: its newest has serial {highest}",
                    said.serial, said.pool
                ),
                "sign a statement with a higher serial (`filemill-processor pool renew`)",
            )));
        }
        tx.put_statement(&said.pool, said.serial, &signed.statement, &signed.signature).await?;
        tx.keep_statements(&said.pool, &keep.into_iter().map(|serial| (serial,)).collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(Ok(taken))
    }

    /// Says which root a pool has. Statements that another one signed, or none, are removed. True: it is new; false: it had that
    /// root before.
    ///
    /// # Errors
    /// `conflict`: the pool has another root, and it is not to be replaced; those of the database.
    pub async fn name_root(&self, root: &PoolRoot, replace: bool) -> Result<bool, ErrorBody> {
        let named = retried(|| self.try_name_root(root, replace)).await;
        // It may be that none of its statements is left.
        self.core.pools.clear();
        named.map_err(|error| from_store("name a pool's root", &error))?
    }

    async fn try_name_root(&self, root: &PoolRoot, replace: bool) -> Result<Result<bool, ErrorBody>, StoreError> {
        let mut tx = self.core.store.begin().await?;
        let before = known_root(&mut tx, root.pool()).await?;
        if let Some(other) = before.as_ref().filter(|before| *before != root && !replace) {
            return Ok(Err(conflict(
                format!(
                    "pool `{}` has another root, with the fingerprint {} instead of {}",
                    root.pool(),
                    other.fingerprint(),
                    root.fingerprint()
                ),
                "if the pool was made anew, say `filemill-server pool root NAME FILE --replace`: its clients have to log in again",
            )));
        }
        tx.replace_root(root.pool(), &root.hex()).await?;
        let rows = tx.pool_statements(root.pool()).await?;
        let keep: Vec<_> = rows.iter().filter(|row| signs(root, row)).map(|row| (row.serial,)).collect();
        tx.keep_statements(root.pool(), &keep).await?;
        tx.commit().await?;
        Ok(Ok(before.as_ref() != Some(root)))
    }

    /// Whether the pool's root is known.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn has_root(&self, pool: &str) -> Result<bool, ErrorBody> {
        let roots = self.core.store.pool_roots().await.map_err(|error| from_store("find a pool's root", &error))?;
        Ok(roots.iter().any(|(name, _)| name == pool))
    }

    /// The pools that have said anything or have a root, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn pool_summaries(&self) -> Result<Vec<PoolSummary>, ErrorBody> {
        let store = &self.core.store;
        let read = async { Ok::<_, StoreError>((store.pool_roots().await?, store.pool_serials().await?)) };
        let (roots, serials) = read.await.map_err(|error| from_store("list pools", &error))?;
        let roots: HashMap<_, _> = roots
            .into_iter()
            .filter_map(|(pool, root)| Some((pool.clone(), PoolRoot::new(&pool, &root).ok()?)))
            .collect();
        let serials: HashMap<_, _> = serials.into_iter().collect();
        let names: BTreeSet<_> = roots.keys().chain(serials.keys()).collect();
        Ok(names
            .into_iter()
            .map(|pool| PoolSummary {
                pool: pool.clone(),
                root: roots.get(pool).cloned(),
                serial: serials.get(pool).and_then(|serial| u64::try_from(*serial).ok()),
            })
            .collect())
    }

    /// What the pools that serve the caller's organisation said about themselves, newest first within a pool: of those that have a
    /// root, what it signed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn pools(&self, caller: &Caller) -> Result<Pools, ErrorBody> {
        let store = &self.core.store;
        let read = async {
            let shown = self.shown_pools(caller).await?;
            Ok::<_, StoreError>((shown, store.pools().await?, store.pool_roots().await?))
        };
        let (shown, rows, roots) = read.await.map_err(|error| from_store("list pools", &error))?;
        let roots: HashMap<_, _> =
            roots.into_iter().map(|(pool, root)| (pool.clone(), PoolRoot::new(&pool, &root).ok())).collect();
        let counts = |pool: &str, statement: &str, signature: &str| match roots.get(pool) {
            // A server of an older version beside this one takes what nobody signed.
            Some(root) => root.as_ref().is_some_and(|root| self.has_signed(root, statement, signature)),
            None => true,
        };
        Ok(Pools {
            pools: rows
                .into_iter()
                .filter(|(pool, ..)| shown.as_ref().is_none_or(|shown| shown.iter().any(|(name,)| name == pool)))
                .filter(|(pool, statement, signature)| counts(pool, statement, signature))
                .map(|(_, statement, signature)| SignedStatement { statement, signature })
                .collect(),
        })
    }
}

impl Catalog {
    /// Whether the root signed that, which is found out once: every client asks for the pools every minute.
    fn has_signed(&self, root: &PoolRoot, statement: &str, signature: &str) -> bool {
        let key = sha256(format!("{}{signature}{statement}", root.hex()).as_bytes());
        let signed = || self.core.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if signed().contains(&key) {
            return true;
        }
        let is_signed = root.signed(statement, signature);
        if is_signed {
            let mut signed = signed();
            if signed.len() >= MOST_REMEMBERED {
                signed.clear();
            }
            signed.insert(key);
        }
        is_signed
    }
}

async fn known_root(tx: &mut Tx, pool: &str) -> Result<Option<PoolRoot>, StoreError> {
    let Some(root) = tx.pool_root(pool).await? else { return Ok(None) };
    let malformed = |_| StoreError::from(sqlx::Error::Decode("a pool's root is not a key".into()));
    Ok(Some(PoolRoot::new(pool, &root).map_err(malformed)?))
}

fn signs(root: &PoolRoot, row: &PoolRow) -> bool {
    root.read(&SignedStatement { statement: row.statement.clone(), signature: row.signature.clone() }).is_ok()
}

/// Serials of the statements that stay.
fn kept(rows: &[PoolRow], root: Option<&PoolRoot>, now: i64) -> BTreeSet<i64> {
    let not_before = |row: &PoolRow| {
        let signed = SignedStatement { statement: row.statement.clone(), signature: row.signature.clone() };
        root.and_then(|root| root.read(&signed).ok()).map_or(0, |said| said.not_before)
    };
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by_key(|row| std::cmp::Reverse(row.serial));
    let (begun, early): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|row| not_before(row) <= now.saturating_add(SKEW_SECONDS));
    // One from the future is replaced by any that was signed after it and holds now.
    let newest = begun.first().map_or(i64::MIN, |row| row.serial);
    let (standing, begun): (Vec<_>, Vec<_>) = begun.into_iter().partition(|row| row.standing && root.is_none());
    let early = early.into_iter().filter(|row| row.serial > newest).take(KEPT_EARLY);
    standing.into_iter().chain(begun.into_iter().take(KEPT)).chain(early).map(|row| row.serial).collect()
}

fn not_signed(pool: &str, why: &str) -> ErrorBody {
    conflict(
        format!("the statement of pool `{pool}` counts for nothing: {why}"),
        "compare the fingerprint that `filemill-processor pool show` prints with that of `filemill-server pool list`; if the pool was \
         made anew, its operator says so with `filemill-server pool root NAME ENROLMENT --replace`",
    )
}

fn no_root(pool: &str) -> ErrorBody {
    ErrorBody {
        code: ErrorCode::Conflict,
        message: format!("nobody has told this server the root of pool `{pool}`"),
        hint: Some(
            "the server's operator names it with `filemill-server pool root NAME ENROLMENT`, or with `--enrolment` when a token is \
             made for the pool"
                .to_owned(),
        ),
    }
}
