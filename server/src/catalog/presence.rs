//! Which nodes are there: those that ask for work, and those that say something of their leases, though they may not ask for more for
//! long.
//!
//! That a node has said something is written down by a task of its own, many nodes in one transaction: what they said was answered
//! before.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::{Catalog, Node, QUEUE};
use super::needs::Abilities;
use crate::refusal::from_store;
use crate::retry::{ms, retried};
use crate::store::StoreError;

/// A node that says nothing new is written down at most this often.
const SEE: Duration = Duration::from_secs(10);

/// Writes down which nodes have said something, until `stop`.
pub(super) async fn run(catalog: Catalog, spoke: mpsc::Receiver<Node>, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(write_down(&catalog, spoke)).await;
}

impl Catalog {
    /// Takes note that a node has said something, at once.
    pub(crate) fn spoke(&self, pool: &str, node: &str) {
        let _full = self.speaking.try_send((pool.to_owned(), node.to_owned()));
    }

    /// Writes down that a node is present and what it has, when that has changed and now and then. False: its pool has too many.
    pub(crate) async fn see(&self, pool: &str, node: &str, abilities: &Abilities) -> Result<bool, StoreError> {
        let node = (pool.to_owned(), node.to_owned());
        let written = self.core.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned();
        if written.is_some_and(|(when, written)| written == *abilities && when.elapsed() < SEE) {
            return Ok(true);
        }
        if self.is_turned_away(&node.0, &node.1).await? {
            return Ok(false);
        }
        let _turn = self.may_write(pool).await;
        let mut tx = self.core.store.begin().await?;
        let mut known = tx.see_node(&node.0, &node.1, (abilities.as_str(), abilities.bits())).await?;
        if !known {
            known = tx
                .meet_node(&node.0, &node.1, Some((abilities.as_str(), abilities.bits())), ms(self.node_present()))
                .await?;
            self.core.full.found(node.0.clone(), !known);
        }
        tx.commit().await?;
        if known {
            let mut seen = self.core.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.retain(|_, (when, _)| when.elapsed() < SEE);
            seen.insert(node, (Instant::now(), abilities.clone()));
        }
        Ok(known)
    }

    /// Whether it is a node that there was no room for in its pool a moment ago: it is not written down again and again that there is
    /// none.
    pub(super) async fn is_turned_away(&self, pool: &str, node: &str) -> Result<bool, StoreError> {
        Ok(self.core.full.has(pool) && !self.core.store.is_known_node(pool, node).await?)
    }

    /// What nodes of a pool have that are there, each different set once.
    pub(crate) async fn abilities_in(&self, pool: &str) -> Result<Vec<Abilities>, StoreError> {
        let rows = self.core.store.abilities_in(pool, ms(self.node_present())).await?;
        Ok(rows.into_iter().map(|(names, bits)| Abilities::written(names.as_deref(), bits)).collect())
    }

    async fn touch(&self, nodes: &[Node]) -> Result<(), StoreError> {
        let mut tx = self.core.store.begin().await?;
        tx.touch_nodes(nodes).await?;
        tx.commit().await
    }

    fn seen_lately(&self, node: &Node) -> bool {
        let seen = self.core.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(node).is_some_and(|(when, _)| when.elapsed() < SEE)
    }
}

/// Nodes that were to be written down, and when. Those that are not known, too: they do not become so by being asked about again.
#[derive(Default)]
struct Lately(HashMap<Node, Instant>);

impl Lately {
    /// Those of the nodes of which nothing was heard for a while.
    fn due(&mut self, nodes: BTreeSet<Node>, now: Instant) -> Vec<Node> {
        self.0.retain(|_, when| now.duration_since(*when) < SEE);
        let due: Vec<_> = nodes.into_iter().filter(|node| !self.0.contains_key(node)).collect();
        self.0.extend(due.iter().map(|node| (node.clone(), now)));
        due
    }
}

async fn write_down(catalog: &Catalog, mut spoke: mpsc::Receiver<Node>) {
    let mut lately = Lately::default();
    while let Some(first) = spoke.recv().await {
        let mut nodes = BTreeSet::from([first]);
        while nodes.len() < QUEUE
            && let Ok(node) = spoke.try_recv()
        {
            nodes.insert(node);
        }
        nodes.retain(|node| !catalog.seen_lately(node));
        let nodes = lately.due(nodes, Instant::now());
        if nodes.is_empty() {
            continue;
        }
        if let Err(error) = retried(|| catalog.touch(&nodes)).await {
            let _logged = from_store("write down that nodes are present", &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_written_down_now_and_then_whether_it_is_known_or_not() {
        let mut lately = Lately::default();
        let now = Instant::now();
        let nodes = |ids: &[&str]| ids.iter().map(|id| ("p".to_owned(), (*id).to_owned())).collect::<BTreeSet<_>>();
        assert_eq!(lately.due(nodes(&["a"]), now).len(), 1);
        assert_eq!(lately.due(nodes(&["a", "b"]), now), [("p".to_owned(), "b".to_owned())]);
        assert_eq!(lately.due(nodes(&["a", "b"]), now + SEE).len(), 2);
        assert_eq!(lately.0.len(), 2);
    }
}
