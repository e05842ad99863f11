//! Files that lie in one or two chunks, which are held until all of them have run.

use std::sync::Arc;

use super::job::{Input, Job};
use super::parts::Span;
use crate::input::UploadJob;
use crate::leases::Stop;

/// Runs files that lie in these one or two chunks, and waits until they have run.
///
/// # Errors
///
/// [`Stop`], where some of them were not run.
pub(super) async fn run(span: &Span, of: &[UploadJob], first_chunk: u32, last_chunk: u32) -> Result<(), Stop> {
    let Span { parts, context, fetcher } = span;
    fetcher.urls.wait_from_now();
    let (first, last) = parts.shutdown.unless_draining(fetcher.pair(first_chunk, last_chunk)).await??;
    let upload = &context.upload;
    let mut jobs = Vec::with_capacity(of.len());
    for job in of {
        let (index, file) = (job.index, &job.file);
        let verdict = upload
            .verdict(&last, index, last_chunk)
            .ok_or_else(|| Stop::Refused(format!("chunk {last_chunk} has no verdict on file {index}")))?;
        let mut pieces = vec![upload.piece(&first, file, first_chunk)];
        if first_chunk != last_chunk {
            pieces.push(upload.piece(&last, file, last_chunk));
        }
        let input = Input::Whole { pieces, verdict };
        jobs.push(Job { context: Arc::clone(context), of: *job, input });
    }
    drop((first, last));
    if context.lease.span.alone {
        // Only what runs is a suspect if this node dies.
        for job in jobs {
            parts.renewal.started(&context.lease, vec![job.of.number]).await?;
            context.results.attend(parts.slots.push([job], true).wait()).await?;
        }
        return Ok(());
    }
    parts.renewal.started(&context.lease, of.iter().map(|job| job.number).collect()).await?;
    context.results.attend(parts.slots.push(jobs, false).wait()).await
}
