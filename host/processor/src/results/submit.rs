//! Sealing what came of jobs, and handing it in.

use std::sync::Arc;

use filemill_seal::{Digest, FileSpan};

use super::completions::Completions;
use super::end::{About, JobEnd};
use super::seal::seal;
use crate::input::Upload;
use crate::leases::{Lease, Stop};
use crate::telemetry::event;

/// Seals a job's end and sends it on its way. Blocks while too many are on their way.
///
/// # Errors
///
/// A text, where it cannot be sealed; the job counts as not ended then.
pub(crate) fn seal_and_submit(
    completions: &Completions,
    about: &About,
    index: u32,
    span: &FileSpan,
    end: JobEnd,
) -> Result<(), String> {
    let sealed = seal(about, index, span, end)?;
    let lease = &about.lease;
    event!("job ended", upload = %lease.upload, index = index, outcome = ?sealed.outcome);
    lease.job_ended();
    completions.send(lease, index, sealed);
    Ok(())
}

/// The same for some jobs, from a task.
pub(crate) async fn submit(
    completions: &Arc<Completions>,
    about: About,
    ends: Vec<(u32, FileSpan, JobEnd)>,
) -> Result<(), Stop> {
    let completions = Arc::clone(completions);
    let sealing = tokio::task::spawn_blocking(move || {
        ends.into_iter().try_for_each(|(index, span, end)| seal_and_submit(&completions, &about, index, &span, end))
    });
    let sealed = sealing.await.unwrap_or_else(|error| Err(error.to_string()));
    sealed.map_err(|error| Stop::Fault(format!("the result cannot be sealed: {error}")))
}

/// Ends every job of a lease because of `why`, sealed where there is an upload to seal it for.
pub(crate) async fn end_all(
    completions: &Arc<Completions>,
    lease: &Arc<Lease>,
    upload: Option<(&Arc<Upload>, Option<Digest>)>,
    end: impl Fn() -> JobEnd,
) -> Result<(), Stop> {
    let mut sealed = Vec::new();
    for index in &lease.run.indexes {
        match upload.and_then(|(upload, _)| upload.layout.span(*index)) {
            Some(span) => sealed.push((*index, span, end())),
            None => {
                lease.job_ended();
                completions.send_unsealed(lease, *index).await;
            }
        }
    }
    match upload {
        Some((upload, release)) if !sealed.is_empty() => {
            let (lease, upload) = (Arc::clone(lease), Arc::clone(upload));
            let about = About { lease, upload, release, description: None };
            submit(completions, about, sealed).await
        }
        _ => Ok(()),
    }
}
