//! What was found in the database a moment ago, so that it is not asked for the same again and again.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long something is taken for granted: what an operator changes works everywhere within this.
const REMEMBERED: Duration = Duration::from_secs(2);
/// How many things are.
const MOST_REMEMBERED: usize = 10_000;

/// What was lately found to be so. That something is not so is found anew each time.
#[derive(Debug)]
pub(crate) struct Recent<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Recent<K> {
    /// Whether that was found lately.
    pub(crate) fn has<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.lock().get(key).is_some_and(|since| since.elapsed() < REMEMBERED)
    }

    /// It was found to be so now, or not.
    pub(crate) fn found(&self, key: K, is_so: bool) {
        let mut found = self.lock();
        if !is_so {
            found.remove(&key);
            return;
        }
        if found.len() >= MOST_REMEMBERED {
            found.clear();
        }
        found.insert(key, Instant::now());
    }

    /// Something changed.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
