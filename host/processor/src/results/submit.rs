//! Ending all jobs of a lease at once.

use std::sync::Arc;

use filemill_seal::Digest;

use super::completions::Completions;
use super::end::{About, JobEnd};
use super::span::SpanResults;
use crate::input::Upload;
use crate::leases::{Lease, Stop};

/// Ends every job of a lease because of `end`, sealed where there is an upload to seal it for.
pub(crate) async fn end_all(
    completions: &Arc<Completions>,
    lease: &Arc<Lease>,
    upload: Option<(&Arc<Upload>, Option<Digest>)>,
    end: impl Fn() -> JobEnd,
) -> Result<(), Stop> {
    let mut sealed = Vec::new();
    for number in &lease.span.jobs {
        match upload.and_then(|(upload, _)| upload.job(*number)) {
            Some(job) => sealed.push((job, end())),
            None => {
                lease.job_ended();
                completions.send_unsealed(lease, *number).await;
            }
        }
    }
    match upload {
        Some((upload, release)) if !sealed.is_empty() => {
            let (lease, upload) = (Arc::clone(lease), Arc::clone(upload));
            let about = About { lease, upload, release, description: None };
            let results = SpanResults::new(about, Arc::clone(completions));
            results.submit(sealed).await?;
            results.sealed()
        }
        _ => Ok(()),
    }
}
