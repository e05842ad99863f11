//! What came of one file: sealed by the processor, opened and checked by the uploader.

mod body;
mod error;
mod report;
mod wire;

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::bounds::{RESULT_MAX_BYTES, RESULT_MAX_SEALED_BYTES};
use crate::data_key::DataKey;
use crate::envelope;
use crate::header::Header;
use crate::identifiers::{Digest, UploadId};
use crate::identity::{Identity, Recipient};
pub use body::{EngineInput, Failure, LogLine, Resources, ResultBody};
pub use error::ResultError;
pub use report::{
    Artifact, Finding, JsonObject, Report, Severity, is_artifact_name, is_finding_kind, is_media_type, is_summary,
    to_summary,
};

/// First line: this, 64 hex characters, a line feed.
const MAGIC: &[u8] = b"filemill-result/1 ";
const TAG_CHARACTERS: usize = 64;
const FIRST_LINE_BYTES: usize = MAGIC.len() + TAG_CHARACTERS + 1;

/// A result that was decrypted. Anybody who knows the uploader's recipient can make one: nothing but what it claims to be
/// about can be read until [`verify`](Self::verify) has shown that a processor of the pool made it.
pub struct UnverifiedResult {
    plaintext: Zeroizing<Vec<u8>>,
    tag: [u8; 32],
    claims: Claims,
}

/// What the client knows of the job, from its journal or from the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The upload.
    pub upload: UploadId,
    /// The file.
    pub index: u32,
    /// Digest of the sealed header.
    pub header: Digest,
    /// The releases that the header names.
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
    index: u32,
    header: Digest,
}

/// Seals a result for `uploader`, the recipient that the opened header names, and authenticates it under the data key.
///
/// # Errors
///
/// [`ResultError::Inconsistent`] if its fields contradict each other, [`ResultError::Malformed`] if the report breaks one of
/// its bounds, [`ResultError::TooLong`] above [`RESULT_MAX_BYTES`].
pub fn seal_result(body: &ResultBody, key: &DataKey, uploader: &Recipient) -> Result<Vec<u8>, ResultError> {
    body.check()?;
    // Room for the first line, which is written last.
    let mut plaintext = vec![0; FIRST_LINE_BYTES];
    serde_json::to_writer(&mut plaintext, body).map_err(ResultError::malformed)?;
    if plaintext.len() > RESULT_MAX_BYTES {
        return Err(ResultError::TooLong { found: plaintext.len() });
    }
    let first_line = first_line(&plaintext[FIRST_LINE_BYTES..], key, &body.upload);
    plaintext[..FIRST_LINE_BYTES].copy_from_slice(&first_line);
    Ok(envelope::seal(&plaintext, std::iter::once(uploader)))
}

/// Decrypts a sealed result with the first of `identities` that fits.
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
        let tag = first_line_tag(&plaintext).ok_or(ResultError::NotAResult)?;
        let claims = serde_json::from_slice(&plaintext[FIRST_LINE_BYTES..]).map_err(ResultError::malformed)?;
        Ok(Self { plaintext, tag, claims })
    }

    /// The upload it claims to be about: to look up what to verify it against, not to be believed.
    pub fn claimed_upload(&self) -> UploadId {
        self.claims.upload
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
        // Said before the authenticator is looked at, because that one would only say that it is wrong.
        if self.claims.upload != expected.upload {
            return Err(ResultError::OtherUpload { expected: expected.upload, found: self.claims.upload });
        }
        let body = &self.plaintext[FIRST_LINE_BYTES..];
        hmac::verify(&key.result_key(&expected.upload), body, &self.tag).map_err(|_| ResultError::Forged)?;

        let body: ResultBody = serde_json::from_slice(body).map_err(ResultError::malformed)?;
        expected.check(&body)?;
        body.check()?;
        Ok(body)
    }
}

impl<'a> Expected<'a> {
    /// What is known of file `index` from an opened header and the digest of the sealed one; `None` if the header has no
    /// such file.
    pub fn from_header(header: &'a Header, digest: Digest, index: u32) -> Option<Self> {
        let file = header.files.get(usize::try_from(index).ok()?)?;
        Some(Self {
            upload: header.upload,
            index,
            header: digest,
            releases: &header.releases,
            length: file.length,
            sha256: None,
        })
    }

    fn check(&self, body: &ResultBody) -> Result<(), ResultError> {
        // Twice the same field would be an error of the JSON, so that the claims are those of the body.
        if body.upload != self.upload {
            return Err(ResultError::OtherUpload { expected: self.upload, found: body.upload });
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

/// The first line of a result whose JSON is `body`, with its line feed: [`FIRST_LINE_BYTES`] bytes.
pub(crate) fn first_line(body: &[u8], key: &DataKey, upload: &UploadId) -> Vec<u8> {
    let tag = hmac::sign(&key.result_key(upload), body);
    [MAGIC, HEXLOWER.encode(tag.as_ref()).as_bytes(), b"\n"].concat()
}

/// The authenticator on the first line; `None` if the text does not start as a result does.
fn first_line_tag(plaintext: &[u8]) -> Option<[u8; 32]> {
    let (first_line, _) = plaintext.split_at_checked(FIRST_LINE_BYTES)?;
    let hex = first_line.strip_prefix(MAGIC)?.strip_suffix(b"\n")?;
    let mut tag = [0; 32];
    HEXLOWER.decode_mut(hex, &mut tag).ok()?;
    Some(tag)
}

impl fmt::Debug for UnverifiedResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedResult")
            .field("claimed_upload", &self.claims.upload)
            .field("claimed_index", &self.claims.index)
            .finish_non_exhaustive()
    }
}
