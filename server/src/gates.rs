//! What writes in a transaction of its own, beside the queues that coalesce: so many of one caller at a time.
//!
//! Whatever waits for the database is served in the order in which it came. Were all of one caller's requests in that line, everybody
//! else's next transaction would stand behind them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Transactions of one caller at a time.
const AT_ONCE: usize = 4;
/// Callers that are known, from which on those are forgotten that have nothing under way.
const FORGET_FROM: usize = 1024;

/// A gate for each caller, by what tells one from another.
#[derive(Debug)]
pub(crate) struct Gates<K>(Mutex<HashMap<K, Arc<Semaphore>>>);

impl<K> Default for Gates<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Gates<K> {
    /// Waits for the caller's turn, among its own only. It has it until what this answers is dropped.
    pub(crate) async fn pass(&self, caller: K) -> Option<OwnedSemaphorePermit> {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if gates.len() >= FORGET_FROM {
                gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            }
            Arc::clone(gates.entry(caller).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        // None only if it were closed, which none is.
        gate.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_caller_waits_for_itself_alone_and_is_forgotten() {
        let gates = Gates::default();
        let mut passed = Vec::new();
        for _ in 0..AT_ONCE {
            passed.push(gates.pass(7).await.unwrap());
        }
        assert!(gates.pass(7).now_or_never().is_none());
        assert!(gates.pass(8).now_or_never().is_some());
        passed.pop();
        assert!(gates.pass(7).now_or_never().is_some());
        for caller in 100..100 + 3 * FORGET_FROM {
            drop(gates.pass(caller).await.unwrap());
        }
        assert!(gates.0.lock().unwrap().len() <= FORGET_FROM);
        passed.push(gates.pass(7).await.unwrap());
        assert!(gates.pass(7).now_or_never().is_none(), "who has something under way is not");
    }
}
