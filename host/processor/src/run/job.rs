//! One job on its way through a worker's thread.

use std::sync::Arc;

use bytes::Bytes;
use filemill_runtime::{InputSource, Run};
use filemill_seal::Verdict;
use tokio::sync::oneshot;

use super::context::SpanContext;
use crate::input::UploadJob;

/// One file to analyse.
pub(crate) struct Job {
    pub(crate) context: Arc<SpanContext>,
    pub(crate) of: UploadJob,
    pub(crate) input: Input,
}

/// The file's bytes.
pub(crate) enum Input {
    /// All of them, and what the uploader says of them: the worker's thread sees the job through to its sealed result.
    Whole { pieces: Vec<Bytes>, verdict: Verdict },
    /// As they come, or as the engine asks for them; the task that fetches them knows the verdict, and does the rest.
    Fed { source: Box<dyn InputSource>, ended: oneshot::Sender<Run> },
}
