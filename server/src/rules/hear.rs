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

async fn write_down(core: &Core, mut heard: mpsc::Receiver<Node>) {
    let mut lately = HashMap::<Node, Instant>::new();
    while let Some(first) = heard.recv().await {
        let mut nodes = BTreeSet::from([first]);
        while nodes.len() < QUEUE
            && let Ok(node) = heard.try_recv()
        {
            nodes.insert(node);
        }
        lately.retain(|_, when| when.elapsed() < SEE);
        nodes.retain(|node| !lately.contains_key(node) && !core.seen_lately(node));
        if nodes.is_empty() {
            continue;
        }
        let nodes: Vec<_> = nodes.into_iter().collect();
        if let Err(error) = retried(|| core.touch(&nodes)).await {
            let _logged = from_store("write down that nodes are present", &error);
        }
        // Those that are not known, too: they do not become so by being asked about again.
        lately.extend(nodes.into_iter().map(|node| (node, Instant::now())));
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
