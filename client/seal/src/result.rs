//! What came of one file: sealed by the processor, opened and checked by the uploader.

mod batch;
mod body;
mod error;
mod report;
mod text;
mod wire;

use std::fmt;

use aws_lc_rs::hmac;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::bounds::{RESULT_MAX_BYTES, RESULT_MAX_SEALED_BYTES};
use crate::data_key::DataKey;
use crate::envelope;
use crate::format::Format;
use crate::header::Header;
use crate::identifiers::{Digest, UploadId};
use crate::identity::{Identity, Recipient};
pub(crate) use batch::authenticated_batch;
pub use batch::{BATCH_MAX_SEALED_BYTES, Member, UnverifiedBatch, member_bytes, open_batch, seal_batch};
pub use body::{EngineInput, Failure, LogLine, Resources, ResultBody};
pub use error::ResultError;
pub use report::{
    Artifact, Finding, JsonObject, Report, Severity, is_artifact_name, is_finding_kind, is_media_type, is_summary,
    to_summary,
};

use text::FIRST_LINE_BYTES;
use wire::{Place, Read};

/// A result that was decrypted. Anybody who knows the uploader's recipient can make one: nothing but what it claims to be
/// about can be read until [`verify`](Self::verify) has shown that a processor of the pool made it.
pub struct UnverifiedResult {
    plaintext: Zeroizing<Vec<u8>>,
    format: Format,
    tag: [u8; 32],
    claims: Claims,
}

/// What the client knows of the job, from its journal or from the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The format of the header.
    pub format: Format,
    /// The upload.
    pub upload: UploadId,
    /// The task; 0 in format 1.
    pub task: u32,
    /// The file.
    pub index: u32,
    /// Digest of the sealed header.
    pub header: Digest,
    /// The releases that the header names for the task.
    pub releases: &'a [Digest],
    /// Announced length of the file, in bytes.
    pub length: u64,
    /// SHA-256 of the file as it was sent, where it is known: the uploader's other devices only have the header.
    pub sha256: Option<Digest>,
}

/// The part of a result that says which job it is about.
#[derive(Clone, Copy, Deserialize)]
struct Claims {
    upload: UploadId,
    #[serde(default)]
    task: u32,
    index: u32,
    header: Digest,
}

/// Seals a result to a header of format 1 for `uploader`, the recipient that the header names, and authenticates it under the data key.
///
/// # Errors
///
/// [`ResultError::Inconsistent`] if its fields contradict each other or it is of a task that format 1 does not have, [`ResultError::Malformed`] if the report breaks one of
/// its bounds, [`ResultError::TooLong`] above [`RESULT_MAX_BYTES`].
pub fn seal_result(body: &ResultBody, key: &DataKey, uploader: &Recipient) -> Result<Vec<u8>, ResultError> {
    if body.task != 0 {
        return Err(ResultError::Inconsistent { what: "format 1 has one task" });
    }
    let plaintext = Zeroizing::new(text::write(body, None, &key.result_key(&body.upload, Format::One))?);
    Ok(envelope::seal(&plaintext, std::iter::once(uploader)))
}

/// Decrypts a sealed result, of format 1 or a single one of format 2, with the first of `identities` that fits.
///
/// # Errors
///
/// [`ResultError::Envelope`] if it does not open, [`ResultError::NotAResult`] or [`ResultError::Malformed`] if what is
/// inside cannot be one.
pub fn open_result(sealed: &[u8], identities: &[Identity]) -> Result<UnverifiedResult, ResultError> {
    let plaintext = envelope::open(sealed, identities, RESULT_MAX_SEALED_BYTES).map_err(ResultError::Envelope)?;
    UnverifiedResult::parse(plaintext)
}

impl UnverifiedResult {
    pub(crate) fn parse(plaintext: Zeroizing<Vec<u8>>) -> Result<Self, ResultError> {
        if plaintext.len() > RESULT_MAX_BYTES {
            return Err(ResultError::TooLong { found: plaintext.len() });
        }
        let (format, tag) = text::read_first_line(&plaintext).ok_or(ResultError::NotAResult)?;
        let claims = serde_json::from_slice(&plaintext[FIRST_LINE_BYTES..]).map_err(ResultError::malformed)?;
        Ok(Self { plaintext, format, tag, claims })
    }

    /// The upload it claims to be about: to look up what to verify it against, not to be believed.
    pub fn claimed_upload(&self) -> UploadId {
        self.claims.upload
    }

    /// The task it claims to be about: to look up what to verify it against, not to be believed.
    pub fn claimed_task(&self) -> u32 {
        self.claims.task
    }

    /// The file it claims to be about: to look up what to verify it against, not to be believed.
    pub fn claimed_index(&self) -> u32 {
        self.claims.index
    }

    /// The header it claims to belong to: to look up what to verify it against, not to be believed.
    pub fn claimed_header(&self) -> Digest {
        self.claims.header
    }

    /// Checks that whoever could open the header made this result, for this job, and that it agrees with what was sent.
    ///
    /// `key` is the upload's data key.
    ///
    /// # Errors
    ///
    /// Each way in which it does not fit is a [`ResultError`] of its own. Nothing of the result is then to be shown.
    pub fn verify(self, key: &DataKey, expected: &Expected<'_>) -> Result<ResultBody, ResultError> {
        self.check(&key.result_key(&expected.upload, self.format), expected).map(|(body, _)| body)
    }

    /// The same of one that is alone, whichever batch it came in, with its text to be sealed again.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_alone(self, key: &DataKey, expected: &Expected<'_>) -> Result<Member, ResultError> {
        let (body, _) = self.check(&key.result_key(&expected.upload, self.format), expected)?;
        Ok(Member::new(body, self.plaintext))
    }

    /// The same, by the key of the upload's results.
    fn check(&self, key: &hmac::Key, expected: &Expected<'_>) -> Result<(ResultBody, Option<Place>), ResultError> {
        // Said before the authenticator is looked at, because that one would only say that it is wrong.
        if self.claims.upload != expected.upload {
            return Err(ResultError::OtherUpload { expected: expected.upload, found: self.claims.upload });
        }
        if self.format != expected.format {
            return Err(ResultError::OtherFormat { expected: expected.format.number(), found: self.format.number() });
        }
        let body = &self.plaintext[FIRST_LINE_BYTES..];
        hmac::verify(key, body, &self.tag).map_err(|_| ResultError::Forged)?;

        let read: Read = serde_json::from_slice(body).map_err(ResultError::malformed)?;
        let (body, place) = read.into_parts(self.format)?;
        expected.check(&body)?;
        body::check(&body)?;
        Ok((body, place))
    }
}

impl<'a> Expected<'a> {
    /// What is known of a job from an opened header and the digest of the sealed one; `None` if the header has no such task or no
    /// such file.
    pub fn from_header(header: &'a Header, digest: Digest, task: u32, index: u32) -> Option<Self> {
        let file = header.files.get(usize::try_from(index).ok()?)?;
        Some(Self {
            format: header.format,
            upload: header.upload,
            task,
            index,
            header: digest,
            releases: &header.task(task)?.releases,
            length: file.length,
            sha256: None,
        })
    }

    fn check(&self, body: &ResultBody) -> Result<(), ResultError> {
        // Twice the same field would be an error of the JSON, so that the claims are those of the body.
        if body.upload != self.upload {
            return Err(ResultError::OtherUpload { expected: self.upload, found: body.upload });
        }
        if body.task != self.task {
            return Err(ResultError::OtherTask { expected: self.task, found: body.task });
        }
        if body.index != self.index {
            return Err(ResultError::OtherFile { expected: self.index, found: body.index });
        }
        if body.header != self.header {
            return Err(ResultError::OtherHeader { expected: self.header, found: body.header });
        }
        if let Some(release) = body.release.filter(|release| !self.releases.contains(release)) {
            return Err(ResultError::ReleaseNotAllowed { release });
        }
        let Some(input) = &body.input else { return Ok(()) };
        if input.length != self.length {
            return Err(ResultError::OtherLength { expected: self.length, found: input.length });
        }
        match self.sha256 {
            Some(expected) if expected != input.sha256 => {
                Err(ResultError::OtherContent { expected, found: input.sha256 })
            }
            _ => Ok(()),
        }
    }
}

/// The JSON of a result of format 1, without checking it.
pub(crate) fn json(body: &ResultBody) -> String {
    serde_json::to_string(&wire::Written::of(body, None)).expect("it can be written")
}

/// Puts in front of `body` the first line of a result of that upload.
pub(crate) fn authenticated(body: &[u8], key: &DataKey, upload: &UploadId, format: Format) -> Vec<u8> {
    [text::first_line(body, &key.result_key(upload, format), format), body.to_vec()].concat()
}

impl fmt::Debug for UnverifiedResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedResult")
            .field("claimed_upload", &self.claims.upload)
            .field("claimed_task", &self.claims.task)
            .field("claimed_index", &self.claims.index)
            .finish_non_exhaustive()
    }
}
