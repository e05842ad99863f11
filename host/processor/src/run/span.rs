//! The files of a leased span, run in groups that lie in the same chunks.

use filemill_runtime::Access;

use super::parts::Span;
use super::{seek, stream, whole};
use crate::input::UploadJob;
use crate::leases::Stop;
use crate::results::JobEnd;

/// Neighbouring files of a span that are worked on together.
enum Group {
    /// They lie in the same one or two chunks, which are held until all of them have run.
    Whole { jobs: Vec<UploadJob>, first_chunk: u32, last_chunk: u32 },
    /// One file that is given to its engine chunk by chunk.
    Long(UploadJob),
}

/// Runs `jobs`, all of a span, and hands in the results.
///
/// # Errors
///
/// [`Stop`] says why some of it was not run.
pub(super) async fn work(span: &Span, jobs: Vec<UploadJob>) -> Result<(), Stop> {
    let Span { parts, context, .. } = span;
    let lease = &context.lease;
    for group in groups(span, jobs) {
        let (ended, jobs) = match group {
            Group::Long(job) => {
                let ended = match context.ready.described.access {
                    Access::Streaming => stream::run(span, job).await,
                    Access::Seekable => seek::run(span, job).await,
                };
                (ended, vec![job])
            }
            Group::Whole { jobs, first_chunk, last_chunk } => {
                (whole::run(span, &jobs, first_chunk, last_chunk).await, jobs)
            }
        };
        match ended {
            Err(Stop::Refused(why)) => {
                tracing::warn!(upload = lease.upload, "refused: {why}");
                let refused = jobs.into_iter().map(|job| (job, JobEnd::Refused(why.clone())));
                context.results.submit(refused.collect()).await?;
            }
            ended => ended?,
        }
    }
    if lease.open_jobs() > 0 {
        return Err(parts.why_dropped(lease));
    }
    context.results.sealed()
}

fn groups(span: &Span, jobs: Vec<UploadJob>) -> Vec<Group> {
    let fetcher = &span.fetcher;
    let half = fetcher.shared.budget_bytes() / 2;
    let mut groups = Vec::new();
    for job in jobs {
        let file = &job.file;
        let fits = match file.last_chunk - file.first_chunk {
            0 => true,
            // Two chunks are held at once: together they must leave room for others.
            1 => fetcher.most_bytes(file.first_chunk).saturating_add(fetcher.most_bytes(file.last_chunk)) <= half,
            _ => false,
        };
        match groups.last_mut() {
            Some(Group::Whole { jobs, first_chunk, last_chunk })
                if (*first_chunk, *last_chunk) == (file.first_chunk, file.last_chunk) =>
            {
                jobs.push(job);
            }
            _ if fits => {
                let (first_chunk, last_chunk) = (file.first_chunk, file.last_chunk);
                groups.push(Group::Whole { jobs: vec![job], first_chunk, last_chunk });
            }
            _ => groups.push(Group::Long(job)),
        }
    }
    groups
}
