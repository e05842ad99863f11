//! What nodes say about their leases, many in one statement.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use filemill_api::limits::MAX_LEASES_PER_REQUEST;
use filemill_api::{ErrorBody, LeaseReport, ReportAnswer, ReportRequest};

use super::combine::Combined;
use super::refusal::too_many;
use super::rest::check_node;
use super::{Core, Rules, masks, ms};
use crate::store::{StoreError, lo_of};

/// Furthest a job's progress goes.
const WHOLE_PER_MILLE: u32 = 1000;

impl Rules {
    /// Records which jobs are about to run and how far the leases are, and prolongs them all. A started job is a
    /// suspect if its node dies. An index that is not in the lease is ignored.
    ///
    /// # Errors
    /// `bad_request`, and those of the database. Leases that are not held in the caller's `own` pool are answered as lost.
    pub async fn report(&self, own: &str, request: ReportRequest) -> Result<ReportAnswer, ErrorBody> {
        check_node(&request.node)?;
        if request.leases.len() > MAX_LEASES_PER_REQUEST {
            return Err(too_many("leases", MAX_LEASES_PER_REQUEST));
        }
        if request.leases.is_empty() {
            return Ok(ReportAnswer { lease_ms: self.core().lease_ms(), ..ReportAnswer::default() });
        }
        self.hear(own, &request.node);
        self.inner.reporting.ask(ReportAsk { pool: own.to_owned(), leases: request.leases }).await
    }
}

/// What one node reports.
pub(super) struct ReportAsk {
    pool: String,
    leases: Vec<LeaseReport>,
}

/// Records what many nodes report.
pub(super) struct Reporting(pub(super) Arc<Core>);

impl Combined for Reporting {
    type Ask = ReportAsk;
    type Answer = ReportAnswer;
    const NAME: &'static str = "report leases";
    const FULL: usize = 4096;

    fn weight(ask: &ReportAsk) -> usize {
        ask.leases.len()
    }

    async fn run(&self, asks: &[ReportAsk]) -> Result<Vec<ReportAnswer>, StoreError> {
        let core = &self.0;
        // One row a lease, however often it was reported: an update takes only one of several rows for its target.
        let mut reports = BTreeMap::<(i64, i64, &str), (u64, u32)>::new();
        for (pool, report) in asks.iter().flat_map(|ask| ask.leases.iter().map(|report| (ask.pool.as_str(), report))) {
            let lo = lo_of(report.lease.run);
            let started =
                report.started.iter().filter_map(|&index| masks::bit(lo, index)).fold(0, |set, bit| set | bit);
            let one = reports.entry((report.lease.run, report.lease.fence, pool)).or_default();
            one.0 |= started;
            one.1 = report.per_mille.min(WHOLE_PER_MILLE);
        }
        let rows: Vec<_> = reports
            .into_iter()
            .map(|((run, fence, pool), (started, per_mille))| {
                (run, fence, started.cast_signed(), i64::from(per_mille), pool)
            })
            .collect();
        let mut tx = core.store.begin().await?;
        let held: HashMap<_, _> = tx
            .report(&rows, ms(core.config.lease))
            .await?
            .into_iter()
            .map(|(run, fence, pool, cancelled)| ((run, fence, pool), cancelled))
            .collect();
        tx.commit().await?;
        Ok(asks
            .iter()
            .map(|ask| {
                let mut answer = ReportAnswer { lease_ms: core.lease_ms(), ..ReportAnswer::default() };
                for report in &ask.leases {
                    match held.get(&(report.lease.run, report.lease.fence, ask.pool.clone())) {
                        Some(true) => answer.cancelled.push(report.lease),
                        Some(false) => {}
                        None => answer.lost.push(report.lease),
                    }
                }
                answer
            })
            .collect())
    }
}
