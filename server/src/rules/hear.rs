//! A node that says something of its leases is present, though it may not ask for more for long.
//!
//! That is written down by a task of its own, many nodes in one transaction: what they said was answered before.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lease::SEE;
use super::refusal::from_store;
use super::{Core, Rules, retried};
use crate::store::StoreError;

/// Nodes that wait to be written down. What comes while it is full is left out: those speak again within seconds.
const QUEUE: usize = 4096;

/// Pool and id of a node.
pub(super) type Node = (String, String);

/// Starts the task, which runs until `stop`.
pub(super) fn start(core: Arc<Core>, tracker: &TaskTracker, stop: CancellationToken) -> mpsc::Sender<Node> {
    let (queue, heard) = mpsc::channel(QUEUE);
    tracker.spawn(async move {
        let _ = stop.run_until_cancelled(write_down(&core, heard)).await;
    });
    queue
}

impl Rules {
    /// Takes note that a node has said something, at once.
    pub(super) fn hear(&self, pool: &str, node: &str) {
        let _full = self.inner.hearing.try_send((pool.to_owned(), node.to_owned()));
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

async fn write_down(core: &Core, mut heard: mpsc::Receiver<Node>) {
    let mut lately = Lately::default();
    while let Some(first) = heard.recv().await {
        let mut nodes = BTreeSet::from([first]);
        while nodes.len() < QUEUE
            && let Ok(node) = heard.try_recv()
        {
            nodes.insert(node);
        }
        nodes.retain(|node| !core.seen_lately(node));
        let nodes = lately.due(nodes, Instant::now());
        if nodes.is_empty() {
            continue;
        }
        if let Err(error) = retried(|| core.touch(&nodes)).await {
            let _logged = from_store("write down that nodes are present", &error);
        }
    }
}

impl Core {
    async fn touch(&self, nodes: &[Node]) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.touch_nodes(nodes).await?;
        tx.commit().await
    }

    fn seen_lately(&self, node: &Node) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(node).is_some_and(|(when, _)| when.elapsed() < SEE)
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
