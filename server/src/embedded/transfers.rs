//! Objects on their way in and out, of which there are so many at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::listen::Exchange;

/// All that are under way, by number.
#[derive(Debug)]
pub(super) struct Transfers {
    most: usize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    last: u64,
    transfers: HashMap<u64, Option<Arc<Exchange>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Transfer {
    all: Arc<Transfers>,
    number: u64,
}

impl Transfers {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, under_way: Mutex::default() })
    }

    /// Begins one. Where there are too many, the one that has moved slowest gives way: whoever wants to keep all places has to be faster
    /// than those who really send something. Whose an object is, a presigned URL does not say. None: all of them have just begun.
    pub(super) fn begin(self: &Arc<Self>, exchange: Option<Arc<Exchange>>) -> Option<Transfer> {
        let mut under_way = self.under_way();
        if under_way.transfers.len() >= self.most {
            let judged = under_way
                .transfers
                .iter()
                .filter_map(|(number, exchange)| Some((*number, exchange.as_ref()?.bytes_per_s()?)));
            let (slowest, _) = judged.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
            if let Some(Some(exchange)) = under_way.transfers.remove(&slowest) {
                exchange.cut();
            }
        }
        under_way.last += 1;
        let number = under_way.last;
        under_way.transfers.insert(number, exchange);
        Some(Transfer { all: Arc::clone(self), number })
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // What it was of ends outside of the lock.
        let _ended = self.all.under_way().transfers.remove(&self.number);
    }
}
