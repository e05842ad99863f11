//! Wakes those who wait for something of a certain key, within this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// One wire for each key that somebody listens to.
#[derive(Debug)]
pub(crate) struct Bell<K> {
    wires: Mutex<HashMap<K, watch::Sender<()>>>,
}

impl<K: Eq + Hash + Copy> Bell<K> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { wires: Mutex::new(HashMap::new()) })
    }

    /// Hears every ring from now on.
    pub(crate) fn listen(&self, key: K) -> watch::Receiver<()> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        wires.entry(key).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Wakes all who listen to these keys.
    pub(crate) fn ring(&self, keys: impl IntoIterator<Item = K>) {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            // Fails when nobody listens any more.
            if wires.get(&key).is_some_and(|wire| wire.send(()).is_err()) {
                wires.remove(&key);
            }
        }
    }

    /// The keys that somebody listens to; forgets the others.
    pub(crate) fn keys(&self) -> Vec<K> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        wires.retain(|_, wire| wire.receiver_count() > 0);
        wires.keys().copied().collect()
    }
}

/// Tells when an organisation may have new events.
#[derive(Debug)]
pub struct Listener {
    pub(super) wire: watch::Receiver<()>,
}

impl Listener {
    /// Returns when there may be something new since the last call (or since the listener was made): at once when it
    /// came in this process, within a second when it came in another. Cancel safe.
    pub async fn changed(&mut self) {
        if self.wire.changed().await.is_err() {
            // The bell is gone, and the server with it: the caller waits for that.
            std::future::pending::<()>().await;
        }
    }
}
