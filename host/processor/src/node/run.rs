//! From a leased upload to completed jobs.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use filemill_api::{LeasedUpload, ReturnReason};
use filemill_seal::{Digest, FileSpan};
use futures::FutureExt as _;

use super::chunks::Chunk;
use super::fetch::Fetcher;
use super::handing_in::{About, end_all, hand_in};
use super::job::{Input, Job, RunContext};
use super::lease::{self, Lease};
use super::releases::{NoRelease, Ready};
use super::results::JobEnd;
use super::returns::report_missing;
use super::stop::{Missing, Stop};
use super::upload::{NotAdmitted, Upload};
use super::urls::{RunUrls, Urls};
use super::{Node, seek, stream};
use filemill_runtime::Access;

/// The attempt at which it is final that a processor cannot run a job. Before, another processor may get it.
pub(super) const FINAL_ATTEMPT: u32 = 3;

/// What is said of a fault of this program. The panic itself was said by whoever panicked.
const PANICKED: &str = "the processor panicked";

/// Sees to the runs of one leased upload: checks header and release once, then attends to each run in a task of its own.
pub(super) async fn attend_upload(node: Arc<Node>, leased: LeasedUpload, leases: Vec<Arc<Lease>>, urls: Urls) {
    // Whatever happens, the leases come to an end: the node reports all that it has, and a forgotten one would never pass
    // to another.
    let beginning = begin(&node, &leased, &leases, &urls);
    if AssertUnwindSafe(beginning).catch_unwind().await.is_err() {
        stop_all(&node, &leases, || Stop::Fault(PANICKED.to_owned())).await;
    }
}

async fn begin(node: &Arc<Node>, leased: &LeasedUpload, leases: &[Arc<Lease>], urls: &Urls) {
    let admitted = match node.unless_draining(admit(node, leased)).await {
        Ok(admitted) => admitted,
        Err(_) => return stop_all(node, leases, || Stop::ShuttingDown).await,
    };
    let upload = match admitted {
        Ok(upload) => upload,
        Err(NotAdmitted::Away(why)) => return stop_all(node, leases, || Stop::Away(why.clone())).await,
        Err(NotAdmitted::Fault(why)) => return stop_all(node, leases, || Stop::Fault(why.clone())).await,
        Err(NotAdmitted::UnknownKey) => {
            let why = format!(
                "the upload's header is sealed for none of the keys of pool `{}` that this processor has (hint: bring its \
                 pool folder up to date after `pool renew --rotate`; `filemill-processor pool show` tells the recipient)",
                node.pool
            );
            // Not a fault of the node, which would pause it: anybody can seal a header for a key of their own.
            return stop_or_end(node, leases, None, &why, || JobEnd::Refused(why.clone())).await;
        }
        Err(NotAdmitted::Disputed(why)) => {
            node.disputes.dispute();
            return stop_all(node, leases, || Stop::Unfit(why.clone())).await;
        }
        Err(NotAdmitted::Missing(why)) => {
            let missing = || Stop::Missing { what: Missing::Header, why: why.clone() };
            return stop_all(node, leases, missing).await;
        }
        Err(NotAdmitted::Refused { why, upload }) => {
            tracing::warn!(upload = leased.upload, "refused: {why}");
            let upload = upload.as_ref().map(|upload| (upload, None));
            return end_leases(node, leases, upload, || JobEnd::Refused(why.clone())).await;
        }
    };
    let release_digest = match leased.release.parse::<Digest>() {
        Ok(digest) => digest,
        // It did when the upload was admitted.
        Err(error) => return stop_all(node, leases, || Stop::Fault(format!("the release: {error}"))).await,
    };
    // Whoever would have to compile it for that gives the leases back instead, and calls the compiler off.
    let found = match node.unless_draining(lease::aside(leases, release(node, release_digest))).await {
        Ok(found) => found,
        Err(_) => return stop_all(node, leases, || Stop::ShuttingDown).await,
    };
    let ready = match found {
        Ok(ready) => ready,
        Err(NoRelease::Away(why)) => return stop_all(node, leases, || Stop::Away(why.clone())).await,
        Err(NoRelease::Fault(why)) => return stop_all(node, leases, || Stop::Fault(why.clone())).await,
        Err(NoRelease::Refused(why)) => {
            tracing::warn!(upload = leased.upload, "refused: {why}");
            return end_leases(node, leases, Some((&upload, None)), || JobEnd::Refused(why.clone())).await;
        }
        // Other releases may run here, and this one on another node; that it never does is for the server to say.
        Err(NoRelease::NotNow { why, it_may_be: true, .. }) => {
            return stop_all(node, leases, || Stop::Unfit(why.clone())).await;
        }
        Err(NoRelease::NotNow { why, .. }) => return stop_all(node, leases, || Stop::Fault(why.clone())).await,
        Err(NoRelease::Damaged(why)) => {
            return stop_or_end(node, leases, Some((&upload, None)), &why, || JobEnd::HostFailed(why.clone())).await;
        }
        Err(NoRelease::Unfit(why) | NoRelease::Suspect { why, .. }) => {
            let about = Some((&upload, Some(release_digest)));
            return stop_or_end(node, leases, about, &why, || JobEnd::HostFailed(why.clone())).await;
        }
    };
    for lease in leases {
        let run_urls = RunUrls::new(urls.clone(), Arc::clone(lease));
        let context = RunContext {
            lease: Arc::clone(lease),
            upload: Arc::clone(&upload),
            release_digest,
            ready: Arc::clone(&ready),
        };
        let fetcher = Fetcher { node: Arc::clone(node), context: Arc::new(context), urls: run_urls };
        node.tasks.spawn(attend_run(Arc::new(fetcher)));
    }
}

/// The release; where this node lacks something to make it ready, after another try. The leases wait for that in the node's
/// hands: handed back at once, they would come again at once, and after a few times end for good.
pub(super) async fn release(node: &Node, digest: Digest) -> Result<Arc<Ready>, NoRelease> {
    let get = || node.releases.get(digest, &node.server, &node.storage);
    match get().await {
        Err(NoRelease::NotNow { why, after, .. }) => {
            // Each of many leases may say so, and how it ends is said again.
            tracing::debug!("{why}: tried again in {} ms", after.as_millis());
            tokio::time::sleep(after).await;
            get().await
        }
        found => found,
    }
}

/// The upload; where no identity opens its header, after the pool's folder was read again.
async fn admit(node: &Node, leased: &LeasedUpload) -> Result<Arc<Upload>, NotAdmitted> {
    let (clock, counter) = (node.server.clock(), &node.counters.headers_opened);
    let admitted = node.uploads.admit(leased, &node.storage, &node.keys.identities(), clock, counter).await;
    match admitted {
        Err(NotAdmitted::UnknownKey) if node.keys.look_again().await => {
            node.uploads.admit(leased, &node.storage, &node.keys.identities(), clock, counter).await
        }
        admitted => admitted,
    }
}

async fn stop_all(node: &Node, leases: &[Arc<Lease>], stop: impl Fn() -> Stop) {
    for lease in leases {
        conclude(node, lease, Err(stop())).await;
    }
}

/// Hands leases back that another processor may be able to run, and ends those that enough processors could not.
async fn stop_or_end(
    node: &Arc<Node>,
    leases: &[Arc<Lease>],
    upload: Option<(&Arc<Upload>, Option<Digest>)>,
    why: &str,
    end: impl Fn() -> JobEnd,
) {
    let (last, early): (Vec<_>, Vec<_>) = leases.iter().cloned().partition(|lease| lease.run.attempt >= FINAL_ATTEMPT);
    stop_all(node, &early, || Stop::Unfit(why.to_owned())).await;
    if let Some(lease) = last.first() {
        tracing::warn!(upload = lease.upload, "{why}");
    }
    end_leases(node, &last, upload, end).await;
}

async fn end_leases(
    node: &Arc<Node>,
    leases: &[Arc<Lease>],
    upload: Option<(&Arc<Upload>, Option<Digest>)>,
    end: impl Fn() -> JobEnd,
) {
    for lease in leases {
        let ended = end_all(node, lease, upload, &end).await;
        conclude(node, lease, ended).await;
    }
}

async fn attend_run(fetcher: Arc<Fetcher>) {
    let (node, lease) = (&fetcher.node, &fetcher.context.lease);
    let ended = tokio::select! {
        biased;
        () = lease.over.cancelled() => Err(Stop::Over),
        () = node.abort.cancelled() => Err(Stop::ShuttingDown),
        ended = AssertUnwindSafe(work(&fetcher)).catch_unwind() => {
            ended.unwrap_or_else(|_| Err(Stop::Fault(PANICKED.to_owned())))
        }
    };
    conclude(node, lease, ended).await;
}

/// Tells the server what a run came to beside its results.
async fn conclude(node: &Node, lease: &Arc<Lease>, ended: Result<(), Stop>) {
    let (upload, run) = (&lease.upload, lease.key.run);
    match ended {
        Ok(()) => {
            lease.settled().await;
            // The server does not count as many jobs as we have run: it may go on without us.
            let reason = if lease.lacks_storage() { ReturnReason::Stalled } else { ReturnReason::NodeFault };
            node.returns.hand_back(node, lease, reason).await;
        }
        Err(Stop::Over) => {}
        Err(Stop::Stalled) => {
            tracing::info!(upload, run, "handed back: no new chunk came in time");
            node.returns.hand_back(node, lease, ReturnReason::Stalled).await;
        }
        Err(Stop::Away(why)) => {
            tracing::warn!(upload, run, "handed back: {why}");
            node.faults.fault();
            // As where an uploader stalls, what it needs does not come; that says nothing of its jobs, however often it is said.
            node.returns.hand_back(node, lease, ReturnReason::Stalled).await;
        }
        Err(Stop::ShuttingDown) => node.returns.hand_back(node, lease, ReturnReason::ShuttingDown).await,
        Err(Stop::Fault(why) | Stop::Refused(why)) => {
            tracing::warn!(upload, run, "handed back: {why}");
            node.faults.fault();
            node.returns.hand_back(node, lease, ReturnReason::NodeFault).await;
        }
        Err(Stop::Unfit(why)) => {
            tracing::warn!(upload, run, "handed back: {why}");
            node.returns.hand_back(node, lease, ReturnReason::NodeFault).await;
        }
        Err(Stop::Missing { what, why }) => {
            tracing::warn!(upload, run, "{what} is missing: {why}");
            report_missing(node, lease, what).await;
        }
    }
}

/// Neighbouring files of a run that are worked on together.
enum Group {
    /// They lie in the same one or two chunks, which are held until all of them have run.
    Whole { files: Vec<(u32, FileSpan)>, first_chunk: u32, last_chunk: u32 },
    /// One file that is given to its engine chunk by chunk.
    Long(u32, FileSpan),
}

async fn work(fetcher: &Arc<Fetcher>) -> Result<(), Stop> {
    let (node, context) = (&fetcher.node, &fetcher.context);
    let lease = &context.lease;
    let files = match files(context) {
        Ok(files) => files,
        Err(why) => {
            tracing::warn!(upload = lease.upload, "refused: {why}");
            let about = Some((&context.upload, Some(context.release_digest)));
            return end_all(node, lease, about, || JobEnd::Refused(why.clone())).await;
        }
    };
    for group in groups(fetcher, files) {
        let (ended, files) = match group {
            Group::Long(index, span) => {
                let ended = match context.ready.described.access {
                    Access::Streaming => stream::run(fetcher, index, span).await,
                    Access::Seekable => seek::run(fetcher, index, span).await,
                };
                (ended, vec![(index, span)])
            }
            Group::Whole { files, first_chunk, last_chunk } => {
                (run_whole(fetcher, &files, first_chunk, last_chunk).await, files)
            }
        };
        match ended {
            Err(Stop::Refused(why)) => {
                tracing::warn!(upload = lease.upload, "refused: {why}");
                let refused = files.into_iter().map(|(index, span)| (index, span, JobEnd::Refused(why.clone())));
                hand_in(node, About::run(context), refused.collect()).await?;
            }
            ended => ended?,
        }
    }
    if lease.open_jobs() > 0 { Err(node.why_dropped(lease)) } else { Ok(()) }
}

/// The run's files, if they lie where the server says.
fn files(context: &RunContext) -> Result<Vec<(u32, FileSpan)>, String> {
    let (layout, run) = (&context.upload.layout, &context.lease.run);
    let files = run
        .indexes
        .iter()
        .map(|index| {
            let span = layout.span(*index).ok_or_else(|| {
                format!("the server names file {index}, the header has {} files", layout.file_count())
            })?;
            Ok((*index, span))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let lies = files.first().zip(files.last()).map(|((_, first), (_, last))| (first.first_chunk, last.last_chunk));
    if lies == Some((run.first_chunk, run.last_chunk)) {
        Ok(files)
    } else {
        let (first, last) = (run.first_chunk, run.last_chunk);
        Err(format!("the server says that the files lie in chunks {first} to {last}, which the header contradicts"))
    }
}

fn groups(fetcher: &Fetcher, files: Vec<(u32, FileSpan)>) -> Vec<Group> {
    let half = fetcher.node.chunks.total_bytes() / 2;
    let mut groups = Vec::new();
    for (index, span) in files {
        let fits = match span.last_chunk - span.first_chunk {
            0 => true,
            // Two chunks are held at once: together they must leave room for others.
            1 => fetcher.most_bytes(span.first_chunk).saturating_add(fetcher.most_bytes(span.last_chunk)) <= half,
            _ => false,
        };
        match groups.last_mut() {
            Some(Group::Whole { files, first_chunk, last_chunk })
                if (*first_chunk, *last_chunk) == (span.first_chunk, span.last_chunk) =>
            {
                files.push((index, span));
            }
            _ if fits => {
                let (first_chunk, last_chunk) = (span.first_chunk, span.last_chunk);
                groups.push(Group::Whole { files: vec![(index, span)], first_chunk, last_chunk });
            }
            _ => groups.push(Group::Long(index, span)),
        }
    }
    groups
}

/// Runs files that lie in one or two chunks, and waits until they have run.
async fn run_whole(
    fetcher: &Arc<Fetcher>,
    files: &[(u32, FileSpan)],
    first_chunk: u32,
    last_chunk: u32,
) -> Result<(), Stop> {
    let (node, context) = (&fetcher.node, &fetcher.context);
    fetcher.urls.wait_from_now();
    let (first, last) = node.unless_draining(chunks(fetcher, first_chunk, last_chunk)).await??;
    let upload = &context.upload;
    let mut jobs = Vec::with_capacity(files.len());
    for (index, span) in files {
        let verdict = upload
            .verdict(&last, *index, last_chunk)
            .ok_or_else(|| Stop::Refused(format!("chunk {last_chunk} has no verdict on file {index}")))?;
        let mut pieces = vec![upload.piece(&first, span, first_chunk)];
        if first_chunk != last_chunk {
            pieces.push(upload.piece(&last, span, last_chunk));
        }
        let input = Input::Whole { pieces, verdict };
        jobs.push(Job { context: Arc::clone(context), index: *index, span: *span, input });
    }
    drop((first, last));
    let indexes: Vec<u32> = files.iter().map(|(index, _)| *index).collect();
    if context.lease.run.alone {
        // Only what runs is a suspect if this node dies.
        for job in jobs {
            node.started(&context.lease, vec![job.index]).await?;
            node.slots.push([job], true).wait().await;
        }
    } else {
        node.started(&context.lease, indexes).await?;
        node.slots.push(jobs, false).wait().await;
    }
    Ok(())
}

/// One or two chunks.
async fn chunks(fetcher: &Fetcher, first: u32, last: u32) -> Result<(Chunk, Chunk), Stop> {
    if first == last {
        let chunk = fetcher.chunk(first).await?;
        return Ok((chunk.clone(), chunk));
    }
    // Not under the lock: an uploader may take its time.
    futures::try_join!(fetcher.stored(first), fetcher.stored(last))?;
    // One at a time may hold a part of what it needs, or several could wait for each other for ever.
    let _turn = fetcher.node.pairs.lock().await;
    futures::try_join!(fetcher.chunk(first), fetcher.chunk(last))
}
