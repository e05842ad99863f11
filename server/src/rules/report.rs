//! What nodes say about their leases, many in one statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use filemill_api::limits::MAX_LEASES_PER_REQUEST;
use filemill_api::{ErrorBody, LeaseReport, ReportAnswer, ReportRequest, RunKey};

use super::combine::{self, Combined};
use super::refusal::too_many;
use super::rest::check_node;
use super::{Core, Rules, masks, ms};
use crate::store::{StoreError, Tx, lo_of};

/// Furthest a job's progress goes.
const WHOLE_PER_MILLE: u32 = 1000;

impl Rules {
    /// Records which jobs are about to run and how far the leases are, and prolongs them all. A started job is a
    /// suspect if its node dies. An index that is not in the lease is ignored.
    ///
    /// # Errors
    /// `bad_request`; `unavailable`: of too many leases of the pool reports wait to be written; those of the database. Leases that are
    /// not held in the caller's `own` pool are answered as lost.
    pub async fn report(&self, own: &str, request: ReportRequest) -> Result<ReportAnswer, ErrorBody> {
        check_node(&request.node)?;
        if request.leases.len() > MAX_LEASES_PER_REQUEST {
            return Err(too_many("leases", MAX_LEASES_PER_REQUEST));
        }
        let mut answer = ReportAnswer { lease_ms: self.core().lease_ms(), ..ReportAnswer::default() };
        if request.leases.is_empty() {
            return Ok(answer);
        }
        self.hear(own, &request.node);
        let pool: Arc<str> = own.into();
        let leases: Vec<_> = request.leases.iter().map(|report| report.lease).collect();
        let asks = request.leases.iter().map(|report| ReportAsk::new(&pool, report)).collect();
        drop(request.leases);
        let held = self.inner.reporting.ask(combine::owner_of_node(own, &request.node), asks).await?;
        for (lease, held) in leases.into_iter().zip(held) {
            match held {
                Some(true) => answer.cancelled.push(lease),
                Some(false) => {}
                None => answer.lost.push(lease),
            }
        }
        Ok(answer)
    }
}

/// What a node reports of one lease: no longer than that, whatever was sent.
pub(super) struct ReportAsk {
    pool: Arc<str>,
    lease: RunKey,
    /// Jobs that are about to run.
    started: u64,
    per_mille: u32,
}

impl ReportAsk {
    fn new(pool: &Arc<str>, report: &LeaseReport) -> Self {
        let lo = lo_of(report.lease.run);
        let started = report.started.iter().filter_map(|&index| masks::bit(lo, index)).fold(0, |set, bit| set | bit);
        Self { pool: Arc::clone(pool), lease: report.lease, started, per_mille: report.per_mille.min(WHOLE_PER_MILLE) }
    }
}

/// Records what many nodes report; answers whether each lease was cancelled, if it is held.
pub(super) struct Reporting(pub(super) Arc<Core>);

impl Combined for Reporting {
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
            let one = reports.entry((lease.run, lease.fence, &**pool)).or_default();
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
            let (pool, cancelled) = held.get(&(ask.lease.run, ask.lease.fence))?;
            (**pool == *ask.pool).then_some(*cancelled)
        };
        Ok(asks.iter().map(held).collect())
    }
}
