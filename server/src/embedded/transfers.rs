//! Objects on their way in and out, of which there are so many at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bounds::Bounds;
use crate::listen::Exchange;

/// All that are under way, by number.
#[derive(Debug)]
pub(super) struct Transfers {
    most: usize,
    most_each: usize,
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
    pub(super) fn new(bounds: &Bounds) -> Arc<Self> {
        let (most, most_each) = (bounds.transfers, bounds.transfers_each);
        Arc::new(Self { most, most_each, under_way: Mutex::default() })
    }

    /// Begins one. Where there are too many, of its address or in all, one gives way of its address, or of the one that has most: whose
    /// an object is, a presigned URL does not say. It is the slowest, and among equals the eldest: whoever wants to keep all places, be it
    /// with objects that are always new, has to be faster than those who really send something. None: nobody knows how fast any of them is.
    pub(super) fn begin(self: &Arc<Self>, exchange: Option<Arc<Exchange>>) -> Option<Transfer> {
        let mut under_way = self.under_way();
        let network = exchange.as_ref().map(|exchange| exchange.line().network());
        let mut ended = None;
        if under_way.transfers.len() >= self.most_each.min(self.most) {
            let of = under_way.by_network();
            let own = network.filter(|network| of.get(network).is_some_and(|count| *count >= self.most_each));
            let most = || of.iter().max_by_key(|(_, count)| **count).map(|(network, _)| *network);
            if own.is_some() || under_way.transfers.len() >= self.most {
                let slowest = under_way.slowest_of(own.or_else(most)?)?;
                ended = under_way.transfers.remove(&slowest).flatten();
            }
        }
        under_way.last += 1;
        let number = under_way.last;
        under_way.transfers.insert(number, exchange);
        drop(under_way);
        if let Some(ended) = ended {
            ended.cut();
        }
        Some(Transfer { all: Arc::clone(self), number })
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// How many of each address are known.
    fn by_network(&self) -> HashMap<u128, usize> {
        let mut of = HashMap::new();
        for exchange in self.transfers.values().flatten() {
            *of.entry(exchange.line().network()).or_default() += 1;
        }
        of
    }

    fn slowest_of(&self, network: u128) -> Option<u64> {
        let known = self.transfers.iter().filter_map(|(number, exchange)| Some((*number, exchange.as_ref()?)));
        let own = known.filter(|(_, exchange)| exchange.line().network() == network);
        own.min_by_key(|(number, exchange)| (exchange.level(), *number)).map(|(number, _)| number)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // What it was of ends outside of the lock.
        let _ended = self.all.under_way().transfers.remove(&self.number);
    }
}
