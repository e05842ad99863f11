//! Engines that nodes bring themselves: offered by a node to the clients of its pool, for as long as it is there.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use filemill_api::limits::{MAX_COMPONENT_BYTES, MAX_OFFERED_ENGINES, MAX_POOL_COMPONENTS, MAX_POOL_OFFERS};
use filemill_api::{ErrorBody, LOCAL_PREFIX, Offer, OfferRequest, Release};

use super::handle::Catalog;
use super::needs::NeedSet;
use super::releases::check_contract;
use super::said::Said;
use super::types::Offered;
use crate::refusal::{
    bad_request, check_node, conflict, from_store, is_hex, is_name, not_found, over_quota, own_pool, shown, too_many,
    too_many_nodes,
};
use crate::retry::{ms, retried};
use crate::storage::{Object, ObjectKey};
use crate::store::StoreError;
use crate::store::catalog::{ComponentRow, KnownComponent};

/// Bytes of a pool's own engines in a list, with what is said of them, after which it ends.
const LISTED_BYTES: i64 = 1 << 20;

impl Catalog {
    /// Replaces the engines that a node offers to its pool. Each is visible once its component is stored. One that stops offers
    /// nothing, and is not there any more.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many, or the node has no name; `forbidden`: another pool than the caller's `own`;
    /// `not_found`: no such pool; `over_quota`: the pool's nodes are too many, or offer too much. For one: `bad_request`;
    /// `conflict`: its component is known with another contract or length; `over_quota`: the pool has too many components. The
    /// others count.
    pub async fn offer_engines(
        &self,
        own: &str,
        pool: &str,
        request: &OfferRequest,
    ) -> Result<Vec<Result<Offered, ErrorBody>>, ErrorBody> {
        check_node(&request.node)?;
        if request.engines.len() > MAX_OFFERED_ENGINES {
            return Err(too_many("engines", MAX_OFFERED_ENGINES));
        }
        own_pool(own, pool)?;
        if !is_name(pool) || !self.pool_exists(pool).await.map_err(|error| from_store("offer engines", &error))? {
            return Err(not_found(format!("there is no pool `{}`", shown(pool)), "publish the pool's statement first"));
        }
        if request.stopping {
            let _turn = self.may_write(pool).await;
            let parted = retried(|| self.part_with(pool, &request.node)).await;
            parted.map_err(|error| from_store("part with a node", &error))?;
            return Ok(Vec::new());
        }
        let mut names = HashSet::new();
        let checked: Vec<_> = request
            .engines
            .iter()
            .map(|offer| {
                let said = check(offer)?;
                if !names.insert(offer.name.as_str()) {
                    return Err(bad_request(format!("two engines are called `{}`", shown(&offer.name))));
                }
                Ok((offer, said))
            })
            .collect();
        let good: Vec<_> = checked.iter().filter_map(|checked| checked.as_ref().ok()).collect();
        let turned_away = self.is_turned_away(pool, &request.node).await;
        if turned_away.map_err(|error| from_store("offer engines", &error))? {
            return Err(too_many_nodes(pool));
        }
        let taken = {
            let _turn = self.may_write(pool).await;
            retried(|| self.offer(pool, &request.node, &good)).await
        };
        let taken = match taken.map_err(|error| from_store("offer engines", &error))? {
            Taken::Each(taken) => taken,
            Taken::TooManyNodes => return Err(too_many_nodes(pool)),
            Taken::TooManyOffers => {
                return Err(ErrorBody {
                    hint: Some("publish engines that many nodes have, and remove them from the nodes".to_owned()),
                    ..over_quota(format!("the nodes of pool `{pool}` offer more than {MAX_POOL_OFFERS} engines"))
                });
            }
        };
        let mut taken = taken.into_iter();
        Ok(checked
            .into_iter()
            .map(|checked| {
                let (offer, _) = checked?;
                let State { stored, doomed } = taken.next().unwrap_or_else(|| Err(crate::refusal::unavailable()))?;
                let put = (!stored && !doomed).then(|| object(pool, offer)).transpose()?;
                Ok(Offered { visible: stored, put })
            })
            .collect())
    }

    /// Of what a node says that it stored, the objects of which that is not known: look whether storage holds them, and pass the
    /// request to [`Catalog::offer_engines`] with the others as not stored.
    ///
    /// # Errors
    /// Those of the database. What else is wrong with the request is found out there.
    pub async fn claimed_as_stored(&self, own: &str, request: &OfferRequest) -> Result<Vec<Object>, ErrorBody> {
        let mut claims = HashMap::new();
        for offer in request.engines.iter().take(MAX_OFFERED_ENGINES).filter(|offer| offer.stored) {
            if check(offer).is_ok() {
                claims.insert((offer.digest.as_str(),), offer);
            }
        }
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let digests: Vec<_> = claims.keys().copied().collect();
        let stored = self.core.store.stored_components(own, &digests).await;
        let stored = stored.map_err(|error| from_store("find components", &error))?;
        claims.retain(|(digest,), _| !stored.iter().any(|(stored,)| stored == digest));
        claims.into_values().map(|offer| object(own, offer)).collect()
    }
}

impl Catalog {
    /// Counts a node as gone that asks for no more work. What it has leased goes on, and is reported as before.
    async fn part_with(&self, pool: &str, node: &str) -> Result<(), StoreError> {
        let mut tx = self.core.store.begin().await?;
        tx.offer(pool, node, &[]).await?;
        tx.miss_node(pool, node, ms(self.node_present())).await?;
        tx.commit().await
    }

    /// Writes the offers down, as far as the pool may have them.
    async fn offer(&self, pool: &str, node: &str, good: &[&(&Offer, Said)]) -> Result<Taken, StoreError> {
        let mut needs = HashMap::new();
        for (offer, _) in good {
            let contract = (offer.contract, offer.minor);
            if let Entry::Vacant(unknown) = needs.entry(contract) {
                unknown.insert(self.number_of(&NeedSet::component(contract.0, contract.1)).await?);
            }
        }
        let mut digests: Vec<_> = good.iter().map(|(offer, _)| (offer.digest.as_str(),)).collect();
        digests.sort_unstable();
        digests.dedup();
        let mut tx = self.core.store.begin().await?;
        if !tx.touch_node(pool, node).await?
            && !tx.meet_node(pool, node, None, ms(self.core.config.node_present)).await?
        {
            self.core.full.found(pool.to_owned(), true);
            return Ok(Taken::TooManyNodes);
        }
        let others = tx.offers_of_others(pool, node, ms(self.core.config.node_present)).await?;
        if others + good.len() as i64 > MAX_POOL_OFFERS as i64 {
            return Ok(Taken::TooManyOffers);
        }
        let known = tx.components(pool, &digests).await?;
        let mut register = Register {
            released: tx.released(&digests).await?.into_iter().map(|(digest, c, l)| (digest, (c, l))).collect(),
            known: known.into_iter().map(|known| (known.digest.clone(), known)).collect(),
            claimed: HashMap::new(),
            room: MAX_POOL_COMPONENTS as i64 - tx.count_components(pool).await?,
        };
        let verdicts: Vec<_> = good.iter().map(|(offer, _)| register.admit(offer)).collect();
        let admitted = || good.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(good, _)| good);
        // One component may have several names.
        let mut components = BTreeMap::<&str, ComponentRow<'_>>::new();
        for (offer, _) in admitted() {
            let stored = i64::from(offer.stored || register.released.contains_key(&offer.digest));
            let (contract, length) = claim(offer);
            let row = (offer.digest.as_str(), contract, needs[&(offer.contract, offer.minor)], length, stored);
            components.entry(row.0).and_modify(|known| known.4 |= stored).or_insert(row);
        }
        let components: Vec<_> = components.into_values().collect();
        let offers: Vec<_> = admitted().map(|(offer, _)| (offer.name.as_str(), offer.digest.as_str())).collect();
        tx.offer(pool, node, &offers).await?;
        if !components.is_empty() {
            tx.bring(pool, &components).await?;
        }
        let states: HashMap<_, _> = tx
            .components(pool, &digests)
            .await?
            .into_iter()
            .map(|known| (known.digest, State { stored: known.stored, doomed: known.doomed }))
            .collect();
        let state = |offer: &Offer| states.get(&offer.digest).copied().unwrap_or(State { stored: false, doomed: true });
        for (offer, said) in admitted() {
            // What nobody can have run yet has nothing to say.
            if state(offer).stored {
                said.keep(&mut tx, pool, &offer.digest, &offer.description).await?;
            }
        }
        tx.commit().await?;
        let each = good.iter().zip(verdicts).map(|((offer, _), verdict)| verdict.map(|()| state(offer)));
        Ok(Taken::Each(each.collect()))
    }

    /// The engines that clients of the pool see: of each name the one that was offered last, by name, up to some 1 MiB of what is said of
    /// them.
    pub(super) async fn local_releases(&self, pool: &str) -> Result<Vec<Release>, StoreError> {
        let mut rows = self.core.store.local_engines(pool, ms(self.core.config.node_present), LISTED_BYTES).await?;
        // Of two descriptions that were given in the same moment neither is the newer one.
        rows.dedup_by(|one, other| one.name == other.name);
        Ok(rows
            .into_iter()
            .map(|row| Release {
                engine: format!("{LOCAL_PREFIX}{}", row.name),
                version: row.version.unwrap_or_default(),
                digest: row.digest,
                contract: u32::try_from(row.contract).unwrap_or(0),
                length: u64::try_from(row.length).unwrap_or(0),
                current: true,
                media_types: row.media_types.and_then(|list| serde_json::from_str(&list).ok()),
                extensions: row.extensions.and_then(|list| serde_json::from_str(&list).ok()).unwrap_or_default(),
                summary: row.summary,
                needs: Vec::new(),
                describing: false,
                undescribable: false,
            })
            .collect())
    }

    /// What an upload for a component of the pool needs, and whether clients see it now: an upload that was opened while it was offered
    /// may be opened again after that, and no other.
    pub(crate) async fn local_needs(&self, pool: &str, digest: &str) -> Result<Option<(i64, bool)>, StoreError> {
        self.core.store.local_needs(pool, digest, ms(self.node_present())).await
    }
}

/// What became of a node's offers.
enum Taken {
    /// Of each.
    Each(Vec<Result<State, ErrorBody>>),
    TooManyNodes,
    TooManyOffers,
}

/// How it is with a component.
#[derive(Clone, Copy)]
struct State {
    stored: bool,
    /// Its object is being deleted.
    doomed: bool,
}

/// What is known of the components that a node lists. Contract and length each.
struct Register {
    released: HashMap<String, (i64, i64)>,
    known: HashMap<String, KnownComponent>,
    claimed: HashMap<String, (i64, i64)>,
    /// How many components more the pool may have.
    room: i64,
}

impl Register {
    fn admit(&mut self, offer: &Offer) -> Result<(), ErrorBody> {
        let digest = &offer.digest;
        let known = self.known.get(digest);
        let certain = self
            .released
            .get(digest)
            .copied()
            .or_else(|| known.filter(|known| known.stored).map(|known| (known.contract, known.length)))
            .or_else(|| self.claimed.get(digest).copied());
        let claim = claim(offer);
        if let Some((contract, length)) = certain.filter(|certain| *certain != claim) {
            return Err(conflict(
                format!(
                    "component `{digest}` is known with contract {contract} and {length} bytes, not with contract {} and {} \
                     bytes",
                    claim.0, claim.1
                ),
                "a component is immutable: say of it what its bytes say",
            ));
        }
        if known.is_none() && !self.claimed.contains_key(digest) {
            if self.room <= 0 {
                return Err(ErrorBody {
                    hint: Some("components that nobody offers are forgotten after some days".to_owned()),
                    ..over_quota(format!("the pool has {MAX_POOL_COMPONENTS} components, which is the most"))
                });
            }
            self.room -= 1;
        }
        self.claimed.insert(digest.clone(), claim);
        Ok(())
    }
}

/// Contract and length, as the database has them.
fn claim(offer: &Offer) -> (i64, i64) {
    (i64::from(offer.contract), i64::try_from(offer.length).unwrap_or(i64::MAX))
}

/// Where the component goes.
fn object(pool: &str, offer: &Offer) -> Result<Object, ErrorBody> {
    let key = ObjectKey::component(pool, &offer.digest).map_err(|error| bad_request(error.to_string()))?;
    Ok(Object { key, length: offer.length, sha256: offer.digest.clone() })
}

fn check(offer: &Offer) -> Result<Said, ErrorBody> {
    if !is_name(&offer.name) {
        return Err(bad_request(format!("`{}` is not 1 to 64 characters of [A-Za-z0-9._-]", shown(&offer.name))));
    }
    if !is_hex(&offer.digest, 64) {
        return Err(bad_request(format!("digest `{}` is not 64 lower-case hex characters", shown(&offer.digest))));
    }
    check_contract(offer.contract, offer.minor)?;
    if offer.length == 0 || offer.length > MAX_COMPONENT_BYTES {
        let length = offer.length;
        return Err(bad_request(format!("a component of {length} bytes is not 1 to {MAX_COMPONENT_BYTES} long")));
    }
    Said::read(&offer.description)
}
