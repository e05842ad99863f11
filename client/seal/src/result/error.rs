//! Why a result could not be sealed or is not to be believed.

use crate::bounds::RESULT_MAX_BYTES;
use crate::envelope::EnvelopeError;
use crate::identifiers::{Digest, UploadId};

/// Why a result could not be sealed or is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The age file around it does not open.
    #[error("result {0}")]
    Envelope(EnvelopeError),
    /// More than [`RESULT_MAX_BYTES`] before it is sealed.
    #[error("result has {found} bytes, more than {RESULT_MAX_BYTES}")]
    TooLong {
        /// How many bytes.
        found: usize,
    },
    /// Does not start with the line of a result of format 1 or 2.
    #[error("this is not a result of format 1 or 2")]
    NotAResult,
    /// Does not start with the line of a batch of format 2.
    #[error("this is not a batch of results of format 2")]
    NotABatch,
    /// A batch that is not whole, or whose members do not belong together.
    #[error("batch of results is not as it was sealed: {what}")]
    Batch {
        /// What is wrong with it.
        what: &'static str,
    },
    /// In another format than the header asks for.
    #[error("result is of format {found}, its header is of format {expected}")]
    OtherFormat {
        /// Format of the header.
        expected: u64,
        /// Format of the result.
        found: u64,
    },
    /// Of another task of the same upload.
    #[error("result is for task {found} of the upload, not for task {expected}")]
    OtherTask {
        /// The task that was asked about.
        expected: u32,
        /// The task it names.
        found: u32,
    },
    /// Not the JSON that a result is.
    #[error("result is malformed: {detail}")]
    Malformed {
        /// What is wrong, and where.
        detail: String,
    },
    /// Fields that contradict each other.
    #[error("result contradicts itself: {what}")]
    Inconsistent {
        /// The rule that is broken.
        what: &'static str,
    },
    /// Says that it is about another upload.
    #[error("result is for upload `{found}`, not for `{expected}`")]
    OtherUpload {
        /// The upload that was asked about.
        expected: UploadId,
        /// The upload it names.
        found: UploadId,
    },
    /// Not made by anybody who could open the header.
    #[error("result was not made by a processor of the pool that the upload was sealed for")]
    Forged,
    /// About another file of the same upload.
    #[error("result is for file {found} of the upload, not for file {expected}")]
    OtherFile {
        /// Index of the file that was asked about.
        expected: u32,
        /// Index of the file it names.
        found: u32,
    },
    /// About another header than the one that was sealed.
    #[error("result is for header `{found}`, not for `{expected}`")]
    OtherHeader {
        /// Digest of the sealed header.
        expected: Digest,
        /// The digest it names.
        found: Digest,
    },
    /// From a release that the header does not name.
    #[error("result comes from release `{release}`, which the upload does not allow")]
    ReleaseNotAllowed {
        /// The release it names.
        release: Digest,
    },
    /// The engine was given another number of bytes than the file has.
    #[error("result is about a file of {found} bytes, {expected} were sent")]
    OtherLength {
        /// Bytes that were sent.
        expected: u64,
        /// Bytes it names.
        found: u64,
    },
    /// The engine was given other bytes than were sent.
    #[error("result is about a file with the SHA-256 `{found}`, the one that was sent has `{expected}`")]
    OtherContent {
        /// SHA-256 of the file that was sent.
        expected: Digest,
        /// The SHA-256 it names.
        found: Digest,
    },
}

impl ResultError {
    pub(super) fn malformed(error: serde_json::Error) -> Self {
        Self::Malformed { detail: error.to_string() }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.hint(),
            Self::TooLong { .. } => "have the engine report and log less",
            Self::NotAResult | Self::NotABatch => "a newer processor may have sealed it: update this program",
            Self::Malformed { .. } | Self::Inconsistent { .. } => {
                "the processor that made it is broken: tell its operator"
            }
            Self::OtherUpload { .. }
            | Self::OtherTask { .. }
            | Self::OtherFile { .. }
            | Self::OtherHeader { .. }
            | Self::OtherFormat { .. }
            | Self::Batch { .. }
            | Self::Forged => {
                "the server handed out something else than the result: do not trust it, and tell its operator"
            }
            Self::ReleaseNotAllowed { .. } | Self::OtherLength { .. } | Self::OtherContent { .. } => {
                "the processor did something else than it was asked to: tell its operator, and send the file again"
            }
        }
    }
}
