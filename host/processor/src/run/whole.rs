//! Files that lie in one or two chunks, which are held until all of them have run.

use std::sync::Arc;

use filemill_seal::FileSpan;

use super::job::{Input, Job};
use super::parts::Span;
use crate::leases::Stop;

/// Runs files that lie in these one or two chunks, and waits until they have run.
///
/// # Errors
///
/// [`Stop`], where some of them were not run.
pub(super) async fn run(span: &Span, files: &[(u32, FileSpan)], first_chunk: u32, last_chunk: u32) -> Result<(), Stop> {
    let Span { parts, context, fetcher } = span;
    fetcher.urls.wait_from_now();
    let (first, last) = parts.shutdown.unless_draining(fetcher.pair(first_chunk, last_chunk)).await??;
    let upload = &context.upload;
    let mut jobs = Vec::with_capacity(files.len());
    for (index, file) in files {
        let verdict = upload
            .verdict(&last, *index, last_chunk)
            .ok_or_else(|| Stop::Refused(format!("chunk {last_chunk} has no verdict on file {index}")))?;
        let mut pieces = vec![upload.piece(&first, file, first_chunk)];
        if first_chunk != last_chunk {
            pieces.push(upload.piece(&last, file, last_chunk));
        }
        let input = Input::Whole { pieces, verdict };
        jobs.push(Job { context: Arc::clone(context), index: *index, span: *file, input });
    }
    drop((first, last));
    let indexes: Vec<u32> = files.iter().map(|(index, _)| *index).collect();
    if context.lease.run.alone {
        // Only what runs is a suspect if this node dies.
        for job in jobs {
            parts.renewal.started(&context.lease, vec![job.index]).await?;
            parts.slots.push([job], true).wait().await;
        }
    } else {
        parts.renewal.started(&context.lease, indexes).await?;
        parts.slots.push(jobs, false).wait().await;
    }
    Ok(())
}
