//! Asking for work, ahead of the need for it.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{LeaseAnswer, LeaseRequest, LeasedRun, LeasedUpload, WhoAmI, limits, paths};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::clock;
use super::disputes::COMPARED_EVERY;
use super::events::event;
use super::run::attend_upload;
use super::server::CallError;
use super::urls::Urls;
use super::{Node, describe};

/// How long the server may hold a question for work.
const WAIT: Duration = Duration::from_secs(20);
/// An empty answer that came sooner than this was not held: another question follows only after a pause.
const HELD_AT_LEAST: Duration = Duration::from_millis(200);

/// Leases until `stop` is cancelled.
pub(super) async fn run(node: Arc<Node>, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let asked_at = clock::now();
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = ask(&node) => answer,
        };
        match &answer {
            Ok(answer) => node.told.lacking(&answer.lacks),
            Err(_) => node.told.server_was_away(),
        }
        match answer {
            Ok(answer) if !answer.uploads.is_empty() || !answer.describe.is_empty() => {
                backoff.reset();
                take_up(&node, answer);
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
async fn ask(node: &Node) -> Result<LeaseAnswer, CallError> {
    let most = limits::MAX_LEASED_JOBS as usize;
    let in_hand = node.leases.in_hand();
    let max_jobs = loop {
        tokio::time::sleep(node.faults.pause()).await;
        until_clocks_agree(node).await;
        match node.pace.ask_for(in_hand.jobs(), most) {
            Some(jobs) => break jobs,
            None => in_hand.below(node.pace.appetite(most).below).await,
        }
    };
    let request = LeaseRequest {
        node: node.id.clone(),
        pool: node.pool.clone(),
        contracts: filemill_runtime::contract_majors().filter_map(|major| u32::try_from(major).ok()).collect(),
        backends: vec!["component".to_owned()],
        parameters_bytes: limits::MAX_PARAMETERS_BYTES,
        // Both are at most `MAX_LEASED_JOBS`.
        max_jobs: max_jobs as u32,
        idle_slots: node.slot_count.saturating_sub(in_hand.jobs()).min(most) as u32,
        wait_ms: WAIT.as_millis() as u32,
        told: node.told.to_ask(),
    };
    node.server.post(paths::LEASES, &request, WAIT).await
}

/// Waits while the server's clock and this machine's disagree about a job.
async fn until_clocks_agree(node: &Node) {
    loop {
        let pause = node.disputes.pause(node.server.clock().compare());
        if pause.is_zero() {
            return;
        }
        tokio::time::sleep(pause.min(COMPARED_EVERY)).await;
        // Any answer says what time it is.
        if let Err(error) = node.server.get::<WhoAmI>(paths::WHOAMI).await {
            tracing::debug!("the clocks cannot be compared: {error}");
        }
    }
}

fn take_up(node: &Arc<Node>, answer: LeaseAnswer) {
    // Counted from when the answer came, as the protocol says, less what its way may have taken.
    let (now, lasts) = (clock::now(), Duration::from_millis(answer.lease_ms.into()));
    let held_until = now + lasts.mul_f64(0.9);
    node.reports.lease_lasts(lasts);
    if !answer.describe.is_empty() {
        node.tasks.spawn(describe::run(Arc::clone(node), answer.describe));
    }
    for mut leased in answer.uploads {
        let mut leases = Vec::new();
        for run in std::mem::take(&mut leased.runs) {
            if let Some(why) = malformed(&run) {
                tracing::error!(upload = leased.upload, run = run.run, "a lease is left to expire: {why}");
                continue;
            }
            let jobs = run.indexes.len();
            let Some(lease) = node.leases.take_up(&leased.upload, run, held_until) else {
                continue;
            };
            event!("lease", upload = %lease.upload, run = lease.key.run, fence = lease.key.fence, jobs = jobs, alone = lease.run.alone);
            node.counters.runs_leased.add(1);
            node.counters.jobs_leased.add(jobs as u64);
            leases.push(lease);
        }
        if !leases.is_empty() {
            let urls = urls_of(&mut leased, now);
            node.tasks.spawn(attend_upload(Arc::clone(node), leased, leases, urls));
        }
    }
}

fn urls_of(leased: &mut LeasedUpload, asked_at: Duration) -> Urls {
    let urls = Urls::default();
    urls.learn(std::mem::take(&mut leased.chunks), asked_at);
    urls
}

/// What is wrong with a leased run, if something is.
fn malformed(run: &LeasedRun) -> Option<&'static str> {
    if run.indexes.is_empty() {
        Some("it names no file")
    } else if run.indexes.len() > limits::MAX_RUN_FILES as usize {
        Some("it names more files than a run may have")
    } else if !run.indexes.is_sorted_by(|a, b| a < b) {
        Some("its files are not in order")
    } else if run.first_chunk > run.last_chunk {
        Some("it ends before it begins")
    } else {
        None
    }
}
