//! How a job ended, and what it belongs to.

use std::sync::Arc;

use filemill_runtime::Run;
use filemill_seal::{Digest, VoidReason};

use crate::input::Upload;
use crate::leases::Lease;

/// What the jobs of a span belong to.
pub(crate) struct About {
    pub(crate) lease: Arc<Lease>,
    pub(crate) upload: Arc<Upload>,
    /// The component that ran; absent where none was found that may.
    pub(crate) release: Option<Digest>,
    /// SHA-256 of what the component says of itself, where it ran.
    pub(crate) description: Option<Digest>,
}

/// What came of a job.
pub(crate) enum JobEnd {
    /// The engine ran over the intact file.
    Analysed { run: Box<Run>, sha256: Digest },
    /// The file is not what its uploader announced.
    Void(VoidReason),
    /// Something did not stand up to a check.
    Refused(String),
    /// It could not be run here.
    HostFailed(String),
}

impl JobEnd {
    /// The file's bytes have another SHA-256 than the one of its verdict.
    pub(crate) fn differs(found: Digest, sealed: Digest) -> Self {
        Self::Refused(format!("the file's bytes have the SHA-256 `{found}`, the uploader sealed `{sealed}`"))
    }
}
