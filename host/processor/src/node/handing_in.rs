//! Sealing what came of jobs, and handing it in.

use std::sync::Arc;

use filemill_seal::{Digest, FileSpan};

use super::Node;
use super::events::event;
use super::job::RunContext;
use super::lease::Lease;
use super::results::{JobEnd, seal};
use super::stop::Stop;
use super::upload::Upload;

/// What a job belongs to.
#[derive(Clone)]
pub(super) struct About {
    pub(super) lease: Arc<Lease>,
    pub(super) upload: Arc<Upload>,
    /// The component that ran; absent where none was found that may.
    pub(super) release: Option<Digest>,
    /// SHA-256 of what the component says of itself, where it ran.
    pub(super) description: Option<Digest>,
}

impl About {
    pub(super) fn run(context: &RunContext) -> Self {
        let (lease, upload) = (Arc::clone(&context.lease), Arc::clone(&context.upload));
        let description = Some(context.ready.described.digest);
        Self { lease, upload, release: Some(context.release_digest), description }
    }
}

/// Seals a job's end and sends it on its way. Blocks while too many are on their way.
///
/// # Errors
///
/// A text, where it cannot be sealed; the job counts as not ended then.
pub(super) fn seal_and_send(
    node: &Node,
    about: &About,
    index: u32,
    span: &FileSpan,
    end: JobEnd,
) -> Result<(), String> {
    let sealed = seal(about, index, span, end)?;
    let lease = &about.lease;
    event!("job ended", upload = %lease.upload, index = index, outcome = ?sealed.outcome);
    lease.job_ended();
    node.completions.send(lease, index, sealed);
    Ok(())
}

/// The same for some jobs, from a task.
pub(super) async fn hand_in(node: &Arc<Node>, about: About, ends: Vec<(u32, FileSpan, JobEnd)>) -> Result<(), Stop> {
    let node = Arc::clone(node);
    let sealing = tokio::task::spawn_blocking(move || {
        ends.into_iter().try_for_each(|(index, span, end)| seal_and_send(&node, &about, index, &span, end))
    });
    let sealed = sealing.await.unwrap_or_else(|error| Err(error.to_string()));
    sealed.map_err(|error| Stop::Fault(format!("the result cannot be sealed: {error}")))
}

/// Ends every job of a lease because of `why`, sealed where there is an upload to seal it for.
pub(super) async fn end_all(
    node: &Arc<Node>,
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
                node.completions.send_unsealed(lease, *index).await;
            }
        }
    }
    match upload {
        Some((upload, release)) if !sealed.is_empty() => {
            let (lease, upload) = (Arc::clone(lease), Arc::clone(upload));
            let about = About { lease, upload, release, description: None };
            hand_in(node, about, sealed).await
        }
        _ => Ok(()),
    }
}
