//! What nodes say about their leases, many in one statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use filemill_api::{LeaseReport, SpanKey};

use crate::queue::coalesce::Coalesced;
use crate::queue::core::Core;
use crate::queue::masks;
use crate::retry::ms;
use crate::store::queue::lo_of;
use crate::store::{StoreError, Tx};

/// Furthest a job's progress goes.
const WHOLE_PER_MILLE: u32 = 1000;

/// What a node reports of one lease: no longer than that, whatever was sent.
pub(in crate::queue) struct ReportAsk {
    pool: Arc<str>,
    lease: SpanKey,
    /// Jobs that are about to run.
    started: u64,
    per_mille: u32,
}

impl ReportAsk {
    pub(in crate::queue) fn new(pool: &Arc<str>, report: &LeaseReport) -> Self {
        let lo = lo_of(report.lease.span);
        let started = report.started.iter().filter_map(|&index| masks::bit(lo, index)).fold(0, |set, bit| set | bit);
        Self { pool: Arc::clone(pool), lease: report.lease, started, per_mille: report.per_mille.min(WHOLE_PER_MILLE) }
    }
}

/// Records what many nodes report; answers whether each lease was cancelled, if it is held.
pub(in crate::queue) struct Reporting(pub(in crate::queue) Arc<Core>);

impl Coalesced for Reporting {
    type Ask = ReportAsk;
    type Answer = Option<bool>;
    type Begun = Tx;
    const NAME: &'static str = "report leases";
    /// Leases.
    const FULL: usize = 4096;
    /// 128 leases for each of the requests that a pool may have under way. They take some 10 MiB.
    const MOST_QUEUED: Option<usize> = Some(128 << 10);

    fn weight(_ask: &ReportAsk) -> usize {
        1
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, mut tx: Tx, asks: &[ReportAsk]) -> Result<Vec<Option<bool>>, StoreError> {
        let core = &self.0;
        // One row a lease, however often it was reported: an update takes only one of several rows for its target.
        let mut reports = BTreeMap::<(i64, i64, &str), (u64, u32)>::new();
        for ReportAsk { pool, lease, started, per_mille } in asks {
            let one = reports.entry((lease.span, lease.fence, &**pool)).or_default();
            one.0 |= started;
            one.1 = *per_mille;
        }
        let rows: Vec<_> = reports
            .into_iter()
            .map(|((run, fence, pool), (started, per_mille))| {
                (run, fence, started.cast_signed(), i64::from(per_mille), pool)
            })
            .collect();
        let held: HashMap<_, _> = tx
            .report(&rows, ms(core.config.lease))
            .await?
            .into_iter()
            .map(|(run, fence, pool, cancelled)| ((run, fence), (pool, cancelled)))
            .collect();
        tx.commit().await?;
        let held = |ask: &ReportAsk| {
            let (pool, cancelled) = held.get(&(ask.lease.span, ask.lease.fence))?;
            (**pool == *ask.pool).then_some(*cancelled)
        };
        Ok(asks.iter().map(held).collect())
    }
}
