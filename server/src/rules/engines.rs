//! Engines that nodes bring themselves: offered by a node to the clients of its pool, for as long as it is there.

use std::collections::{HashMap, HashSet};

use filemill_api::limits::{MAX_COMPONENT_BYTES, MAX_OFFERED_ENGINES, MAX_POOL_OFFERS};
use filemill_api::{ErrorBody, ErrorCode, LOCAL_PREFIX, Offer, OfferRequest, Release};

use super::descriptions::Said;
use super::refusal::{bad_request, from_store, is_hex, is_name, not_found, own_pool, shown, too_many, too_many_nodes};
use super::releases::{MAX_CONTRACT, needs};
use super::rest::check_node;
use super::{Core, Object, Offered, Rules, ms, retried};
use crate::storage::ObjectKey;
use crate::store::{ComponentRow, StoreError};

impl Rules {
    /// Replaces the engines that a node offers to its pool. Each is visible once its component is stored.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many, or the node has no name; `forbidden`: another pool than the caller's `own`;
    /// `not_found`: no such pool; `over_quota`: the pool's nodes are too many, or offer too much. For one: `bad_request`; the
    /// others count.
    pub async fn offer_engines(
        &self,
        own: &str,
        pool: &str,
        request: &OfferRequest,
    ) -> Result<Vec<Result<Offered, ErrorBody>>, ErrorBody> {
        check_node(&request.node)?;
        if request.engines.len() > MAX_OFFERED_ENGINES {
            return Err(too_many("engines", request.engines.len(), MAX_OFFERED_ENGINES));
        }
        own_pool(own, pool)?;
        let core = self.core();
        if !is_name(pool) || !core.pool_exists(pool).await.map_err(|error| from_store("offer engines", &error))? {
            return Err(not_found(format!("there is no pool `{}`", shown(pool)), "publish the pool's statement first"));
        }
        let mut names = HashSet::new();
        let checked: Vec<_> = request
            .engines
            .iter()
            .map(|offer| {
                let said = check(offer)?;
                if !names.insert(offer.name.as_str()) {
                    return Err(bad_request(format!("two engines are called `{}`", offer.name)));
                }
                Ok((offer, said))
            })
            .collect();
        let good: Vec<_> = checked.iter().filter_map(|checked| checked.as_ref().ok()).collect();
        let states = retried(|| core.offer(pool, &request.node, &good)).await;
        let states = match states.map_err(|error| from_store("offer engines", &error))? {
            Taken::All(states) => states,
            Taken::TooManyNodes => return Err(too_many_nodes(pool)),
            Taken::TooManyOffers => {
                return Err(ErrorBody {
                    code: ErrorCode::OverQuota,
                    message: format!("the nodes of pool `{pool}` offer more than {MAX_POOL_OFFERS} engines"),
                    hint: Some("publish engines that many nodes have, and remove them from the nodes".to_owned()),
                });
            }
        };
        Ok(checked
            .into_iter()
            .map(|checked| {
                let (offer, _) = checked?;
                let (stored, doomed) = states.get(&offer.digest).copied().unwrap_or((false, true));
                let key = ObjectKey::release(&offer.digest).map_err(|error| bad_request(error.to_string()))?;
                let put =
                    (!stored && !doomed).then(|| Object { key, length: offer.length, sha256: offer.digest.clone() });
                Ok(Offered { visible: stored, put })
            })
            .collect())
    }
}

impl Core {
    /// Writes the offers down, if the pool may have them.
    async fn offer(&self, pool: &str, node: &str, good: &[&(&Offer, Said)]) -> Result<Taken, StoreError> {
        let offers: Vec<_> = good.iter().map(|(offer, _)| (offer.name.as_str(), offer.digest.as_str())).collect();
        // One component may have several names.
        let mut components = HashMap::<&str, ComponentRow<'_>>::new();
        for (offer, _) in good {
            let stored = i64::from(offer.stored);
            let length = i64::try_from(offer.length).unwrap_or(i64::MAX);
            let row = (offer.digest.as_str(), i64::from(offer.contract), needs(offer.contract), length, stored);
            components.entry(row.0).and_modify(|known| known.4 |= stored).or_insert(row);
        }
        let mut components: Vec<_> = components.into_values().collect();
        components.sort_unstable();
        let mut tx = self.store.begin().await?;
        if !tx.touch_node(pool, node).await? && !tx.meet_node(pool, node, 0, ms(self.config.node_present)).await? {
            return Ok(Taken::TooManyNodes);
        }
        if tx.offers_of_others(pool, node).await? + offers.len() as i64 > MAX_POOL_OFFERS as i64 {
            return Ok(Taken::TooManyOffers);
        }
        tx.offer(pool, node, &offers).await?;
        if !components.is_empty() {
            tx.bring(pool, &components).await?;
        }
        for (offer, said) in good {
            said.keep(&mut tx, pool, &offer.digest, &offer.description).await?;
        }
        let states = tx.component_states(pool, &components).await?;
        tx.commit().await?;
        Ok(Taken::All(states.into_iter().map(|(digest, stored, doomed)| (digest, (stored, doomed))).collect()))
    }

    /// The engines that clients of the pool see: of each name the one that was offered last.
    pub(super) async fn local_releases(&self, pool: &str) -> Result<Vec<Release>, StoreError> {
        let mut names = HashSet::new();
        let rows = self.store.local_engines(pool, ms(self.config.node_present)).await?;
        Ok(rows
            .into_iter()
            .filter(|row| names.insert(row.name.clone()))
            .map(|row| Release {
                engine: format!("{LOCAL_PREFIX}{}", row.name),
                version: row.version.unwrap_or_default(),
                digest: row.digest,
                contract: u32::try_from(row.contract).unwrap_or(0),
                length: u64::try_from(row.length).unwrap_or(0),
                current: true,
                media_types: row.media_types.and_then(|list| serde_json::from_str(&list).ok()),
                summary: row.summary,
                describing: false,
            })
            .collect())
    }

    /// What an upload for a component of the pool needs; nothing if the upload may not be opened. One that was opened while
    /// the component was offered may be opened again after that.
    pub(super) async fn local_needs(&self, pool: &str, digest: &str, upload: &str) -> Result<Option<i64>, StoreError> {
        match self.store.local_needs(pool, digest, ms(self.config.node_present)).await? {
            Some((needs, true)) => Ok(Some(needs)),
            Some((needs, false)) if self.store.upload_exists(upload).await? => Ok(Some(needs)),
            _ => Ok(None),
        }
    }
}

/// What became of a node's offers.
enum Taken {
    /// Of each digest, whether it is stored and whether its object is being deleted.
    All(HashMap<String, (bool, bool)>),
    TooManyNodes,
    TooManyOffers,
}

fn check(offer: &Offer) -> Result<Said, ErrorBody> {
    if !is_name(&offer.name) {
        return Err(bad_request(format!("`{}` is not 1 to 64 characters of [A-Za-z0-9._-]", shown(&offer.name))));
    }
    if !is_hex(&offer.digest, 64) {
        return Err(bad_request(format!("digest `{}` is not 64 lower-case hex characters", shown(&offer.digest))));
    }
    if offer.contract == 0 || offer.contract > MAX_CONTRACT {
        return Err(bad_request(format!("contract {} is not 1 to {MAX_CONTRACT}", offer.contract)));
    }
    if offer.length == 0 || offer.length > MAX_COMPONENT_BYTES {
        let length = offer.length;
        return Err(bad_request(format!("a component of {length} bytes is not 1 to {MAX_COMPONENT_BYTES} long")));
    }
    Said::read(&offer.description)
}
