//! Asking for work, ahead of the need for it.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{LeaseAnswer, LeaseRequest, LeasedSpan, LeasedUpload, WhoAmI, limits, paths};
use tokio_util::sync::CancellationToken;

use super::cooldown::Cooldown;
use super::disputes::{COMPARED_EVERY, Disputes};
use super::lease::{Lease, Leases};
use super::prefetch::Prefetch;
use super::renewal::Renewal;
use crate::clock;
use crate::net::{Backoff, CallError, Major, Server, ToldBefore};
use crate::telemetry::{Counters, event};

/// How long the server may hold a question for work.
const WAIT: Duration = Duration::from_secs(20);
/// An empty answer that came sooner than this was not held: another question follows only after a pause.
const HELD_AT_LEAST: Duration = Duration::from_millis(200);

/// What asks for work.
pub(crate) struct Leasing {
    pub(crate) server: Arc<Server>,
    pub(crate) told: Arc<ToldBefore>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) prefetch: Arc<Prefetch>,
    pub(crate) cooldown: Arc<Cooldown>,
    pub(crate) disputes: Arc<Disputes>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) slot_count: usize,
    /// Names of what this node has.
    pub(crate) abilities: Vec<String>,
}

/// What the server gives to do.
pub(crate) enum Work {
    /// Spans of an upload, each with its lease.
    Run {
        leased: LeasedUpload,
        leases: Vec<Arc<Lease>>,
        /// On [`clock::now`]: from then on count the lives of the URLs that came with it.
        answered_at: Duration,
    },
    /// Releases, by digest, of which the server wants to know what they say of themselves.
    Describe(Vec<String>),
}

impl Leasing {
    /// Leases until `stop` is cancelled.
    pub(crate) async fn run(self, begin: impl Fn(Work) + Send, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            let asked_at = clock::now();
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                answer = self.ask() => answer,
            };
            match &answer {
                Ok(answer) => self.told.lacking(&answer.lacks),
                Err(_) => self.told.server_was_away(),
            }
            match answer {
                Ok(answer) if !answer.uploads.is_empty() || !answer.describe.is_empty() => {
                    backoff.reset();
                    self.take_up(answer, &begin);
                    continue;
                }
                Ok(_) if clock::now().saturating_sub(asked_at) >= HELD_AT_LEAST => {
                    backoff.reset();
                    continue;
                }
                Ok(_) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => tracing::error!("the server gives no work: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = backoff.wait() => {}
            }
        }
    }

    /// Asks for as many jobs as there is room for, once there is.
    async fn ask(&self) -> Result<LeaseAnswer, CallError> {
        let most = limits::MAX_LEASED_JOBS as usize;
        let in_hand = self.leases.in_hand();
        let max_jobs = loop {
            tokio::time::sleep(self.cooldown.pause()).await;
            self.until_clocks_agree().await;
            match self.prefetch.ask_for(in_hand.jobs(), most) {
                Some(jobs) => break jobs,
                None => in_hand.below(self.prefetch.appetite(most).below).await,
            }
        };
        let request = LeaseRequest {
            node: self.server.node().to_owned(),
            pool: self.server.pool().to_owned(),
            abilities: self.abilities.clone(),
            // Both are at most `MAX_LEASED_JOBS`.
            max_jobs: max_jobs as u32,
            idle_slots: self.slot_count.saturating_sub(in_hand.jobs()).min(most) as u32,
            wait_ms: WAIT.as_millis() as u32,
            told: self.told.to_ask(),
        };
        self.server.ask(&request, WAIT, Major::One).await
    }

    /// Waits while the server's clock and this machine's disagree about a job.
    async fn until_clocks_agree(&self) {
        loop {
            let pause = self.disputes.pause(self.server.clock().compare());
            if pause.is_zero() {
                return;
            }
            tokio::time::sleep(pause.min(COMPARED_EVERY)).await;
            // Any answer says what time it is.
            if let Err(error) = self.server.get::<WhoAmI>(paths::WHOAMI).await {
                tracing::debug!("the clocks cannot be compared: {error}");
            }
        }
    }

    fn take_up(&self, answer: LeaseAnswer, begin: &impl Fn(Work)) {
        // Counted from when the answer came, as the protocol says, less what its way may have taken.
        let (now, lasts) = (clock::now(), Duration::from_millis(answer.lease_ms.into()));
        let held_until = now + lasts.mul_f64(0.9);
        self.renewal.lease_lasts(lasts);
        if !answer.describe.is_empty() {
            begin(Work::Describe(answer.describe));
        }
        for mut leased in answer.uploads {
            let mut leases = Vec::new();
            for span in std::mem::take(&mut leased.spans) {
                if let Some(why) = malformed(&span) {
                    tracing::error!(upload = leased.upload, run = span.span, "a lease is left to expire: {why}");
                    continue;
                }
                let jobs = span.jobs.len();
                let Some(lease) = self.leases.take_up(&leased.upload, span, held_until) else {
                    continue;
                };
                event!("lease", upload = %lease.upload, run = lease.key.span, fence = lease.key.fence, jobs = jobs, alone = lease.span.alone);
                self.counters.runs_leased.add(1);
                self.counters.jobs_leased.add(jobs as u64);
                leases.push(lease);
            }
            if !leases.is_empty() {
                begin(Work::Run { leased, leases, answered_at: now });
            }
        }
    }
}

/// What is wrong with a leased span, if something is.
fn malformed(span: &LeasedSpan) -> Option<&'static str> {
    if span.jobs.is_empty() {
        Some("it names no job")
    } else if span.jobs.len() > limits::MAX_SPAN_JOBS as usize {
        Some("it names more jobs than a span may have")
    } else if !span.jobs.is_sorted_by(|a, b| a < b) {
        Some("its jobs are not in order")
    } else if span.first_chunk > span.last_chunk {
        Some("it ends before it begins")
    } else {
        None
    }
}
