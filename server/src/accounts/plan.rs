//! What an organisation may use. One plan for all; it is asked before a row is written or a URL signed.

use filemill_api::limits::{MAX_CHUNKS, MAX_FILES};
use filemill_api::{ErrorBody, ErrorCode, OpenUpload, UploadLimits};

/// Limits of one upload, each within what the API allows at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files.
    pub max_files: u32,
    /// Chunks, and with them what it may keep in storage: a chunk is at most 68 MiB long.
    pub max_chunks: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { max_files: MAX_FILES, max_chunks: MAX_CHUNKS }
    }
}

impl Plan {
    /// As callers are told it.
    pub(crate) fn limits(self) -> UploadLimits {
        UploadLimits { files: self.max_files, chunks: self.max_chunks, ..UploadLimits::default() }
    }

    /// Whether an upload of this size may be opened. It is told by what the upload announces, so that the answer is the
    /// same when it is opened again.
    ///
    /// # Errors
    /// `over_quota`.
    pub(crate) fn admit(&self, upload: &OpenUpload) -> Result<(), ErrorBody> {
        let files: u64 = upload.files.iter().map(|range| u64::from(range.count)).sum();
        for (what, wanted, most) in
            [("files", files, self.max_files), ("chunks", upload.chunks.into(), self.max_chunks)]
        {
            if wanted > u64::from(most) {
                return Err(ErrorBody {
                    code: ErrorCode::OverQuota,
                    message: format!("an upload of {wanted} {what} is over the plan, which allows {most}"),
                    hint: Some("send it in smaller uploads, or ask for a larger plan".to_owned()),
                });
            }
        }
        Ok(())
    }
}
