//! The sealed description of an upload: what it holds, with which key, and what may run over it.

mod encoding;
mod error;
mod fields;

use std::collections::HashSet;
use std::fmt;

use zeroize::Zeroizing;

use crate::bounds::{
    FILES_MAX, HEADER_MAX_BYTES, ISOLATION_MAX, ISOLATION_NAME_MAX_BYTES, NAME_MAX_BYTES, ORGANISATION_RECIPIENTS_MAX,
    PARAMETERS_MAX_BYTES, POOL_RECIPIENTS_MAX, RELEASES_MAX, TASKS_MAX,
};
use crate::envelope::{self, EnvelopeError};
use crate::format::Format;
use crate::identifiers::Digest;
use crate::identity::{Identity, Recipient};
use crate::json;
use crate::layout::Layout;
pub use error::HeaderError;
pub use fields::{FileEntry, Header, Task};

/// A header as it is stored: an age file of at most [`HEADER_MAX_BYTES`] bytes, with its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedHeader {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Header {
    /// Seals the header for the recipients of the pool and for the uploader.
    ///
    /// Seal an upload's header once, and keep the bytes: sealing again gives others with another digest, to which chunks
    /// and results that are already sealed do not belong.
    ///
    /// # Errors
    ///
    /// [`HeaderError::PoolRecipients`] without recipients of the pool, or with more than [`POOL_RECIPIENTS_MAX`];
    /// [`HeaderError::PoolReadsResults`] if one of them is the organisation's, too;
    /// [`HeaderError::TooLong`] if the sealed bytes are too many (see
    /// [`FILES_MAX_ENCODED_BYTES`](crate::FILES_MAX_ENCODED_BYTES)); else the error for the field that is out of bounds.
    pub fn seal(&self, pool: &[Recipient]) -> Result<SealedHeader, HeaderError> {
        if !(1..=POOL_RECIPIENTS_MAX).contains(&pool.len()) {
            return Err(HeaderError::PoolRecipients { found: pool.len() });
        }
        self.check()?;
        self.check_organisation(pool)?;
        let plaintext = self.encode();
        if plaintext.len() > HEADER_MAX_BYTES {
            return Err(HeaderError::TooLong { found: plaintext.len() });
        }
        let uploader = Some(&self.uploader).filter(|uploader| !pool.contains(uploader));
        SealedHeader::from_bytes(envelope::seal(&plaintext, pool.iter().chain(uploader)))
    }

    /// Opens a sealed header with the first of `identities` that fits, and checks all of it.
    ///
    /// Does not look at the time: see [`is_expired`](Self::is_expired).
    ///
    /// # Errors
    ///
    /// [`HeaderError::Envelope`] if it does not open; else the error for the field that is malformed or out of bounds. In
    /// no case is more memory taken than the sealed bytes stand for.
    pub fn open(sealed: &SealedHeader, identities: &[Identity]) -> Result<Self, HeaderError> {
        let plaintext = envelope::open(&sealed.bytes, identities, HEADER_MAX_BYTES).map_err(HeaderError::Envelope)?;
        let header = Self::decode(&plaintext)?;
        if !header.organisation.is_empty() {
            header.check_organisation(&identities.iter().map(Identity::recipient).collect::<Vec<_>>())?;
        }
        Ok(header)
    }

    /// Encodes the header as it is.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        encoding::encode(self, encoding::fields(self.format))
    }

    /// Decodes the plaintext of a header and checks all of it.
    pub(crate) fn decode(plaintext: &[u8]) -> Result<Self, HeaderError> {
        let encoding::Decoded { header, fields, known_bytes } = encoding::decode(plaintext)?;
        header.check()?;
        // Deterministic CBOR has one encoding for each value, so that this one comparison finds every other.
        if *encoding::encode(&header, fields) != plaintext[..known_bytes] {
            return Err(HeaderError::NotDeterministic);
        }
        Ok(header)
    }

    /// The layout of the upload's stream.
    ///
    /// # Errors
    ///
    /// [`HeaderError::Layout`] if a bound is crossed; never for a header that was opened or has been sealed.
    pub fn layout(&self) -> Result<Layout, HeaderError> {
        Layout::new(self.chunk_size, self.files.iter().map(|file| file.length)).map_err(HeaderError::Layout)
    }

    /// What is to be done by task `task`; `None` if the header has no such task.
    pub fn task(&self, task: u32) -> Option<&Task> {
        self.tasks.get(usize::try_from(task).ok()?)
    }

    /// Whether it is too late to run anything, at `now` in seconds since 1970-01-01 UTC.
    pub fn is_expired(&self, now: u64) -> bool {
        now > self.not_after
    }

    /// Checks the bounds of every field.
    fn check(&self) -> Result<(), HeaderError> {
        self.check_tasks()?;
        at_most("recipients of the organisation", self.organisation.len(), ORGANISATION_RECIPIENTS_MAX)?;
        let mut readers = HashSet::from([&self.uploader]);
        if let Some(recipient) = self.organisation.iter().find(|recipient| !readers.insert(recipient)) {
            return Err(HeaderError::RecipientTwice { recipient: recipient.to_string() });
        }
        at_most("kinds of isolation", self.isolation.len(), ISOLATION_MAX)?;
        if let Some(name) = self.isolation.iter().find(|name| !is_isolation_name(name)) {
            return Err(HeaderError::Isolation { found: name.chars().take(80).collect() });
        }
        let misnamed = |file: &FileEntry| !(1..=NAME_MAX_BYTES).contains(&file.name.len());
        if let Some(index) = self.files.iter().position(misnamed) {
            return Err(HeaderError::Name { index, found: self.files[index].name.len() });
        }
        self.layout().map(|_| ())
    }

    fn check_tasks(&self) -> Result<(), HeaderError> {
        if self.tasks.is_empty() {
            return Err(HeaderError::NoTask);
        }
        at_most("tasks", self.tasks.len(), TASKS_MAX)?;
        if self.format == Format::One
            && !(self.tasks.len() == 1 && self.organisation.is_empty() && self.isolation.is_empty())
        {
            return Err(HeaderError::NeedsFormatTwo);
        }
        let mut work = HashSet::new();
        for task in &self.tasks {
            if !(1..=RELEASES_MAX).contains(&task.releases.len()) {
                return Err(HeaderError::Releases { found: task.releases.len() as u64 });
            }
            if !json::is_object(&task.parameters) {
                return Err(HeaderError::Parameters);
            }
            // Format 1 lets a release stand twice.
            let mut releases = task.releases.iter();
            let twice = releases.find(|release| !work.insert((**release, task.parameters.as_str())));
            if let Some(release) = twice.filter(|_| self.format != Format::One) {
                return Err(HeaderError::ReleaseTwice { release: *release });
            }
        }
        let parameters: usize = self.tasks.iter().map(|task| task.parameters.len()).sum();
        if parameters > PARAMETERS_MAX_BYTES {
            return Err(HeaderError::ParametersTooLong { found: parameters });
        }
        if self.tasks.len().saturating_mul(self.files.len()) > FILES_MAX && self.tasks.len() > 1 {
            return Err(HeaderError::TooManyJobs { files: self.files.len(), tasks: self.tasks.len() });
        }
        Ok(())
    }

    /// Checks that nobody who opens the header reads its results as the organisation.
    fn check_organisation(&self, pool: &[Recipient]) -> Result<(), HeaderError> {
        match self.organisation.iter().find(|recipient| pool.contains(recipient)) {
            Some(recipient) => Err(HeaderError::PoolReadsResults { recipient: recipient.to_string() }),
            None => Ok(()),
        }
    }
}

/// Refuses more of something than a header may have.
fn at_most(field: &'static str, found: usize, max: usize) -> Result<(), HeaderError> {
    if found <= max { Ok(()) } else { Err(HeaderError::TooMany { field, found: found as u64, max }) }
}

/// Whether `name` may name a kind of isolation: 1 to 64 characters of `[a-z0-9-]`.
fn is_isolation_name(name: &str) -> bool {
    (1..=ISOLATION_NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

impl FileEntry {
    /// Bytes that the file takes in a header: for whoever fills one up to
    /// [`FILES_MAX_ENCODED_BYTES`](crate::FILES_MAX_ENCODED_BYTES).
    pub fn encoded_bytes(&self) -> usize {
        1 + encoding::head_bytes(self.name.len() as u64) + self.name.len() + encoding::head_bytes(self.length)
    }
}

impl SealedHeader {
    /// Takes sealed bytes as they come from storage or from a journal, and computes their digest. Nothing is opened.
    ///
    /// # Errors
    ///
    /// [`HeaderError::TooLong`] above [`HEADER_MAX_BYTES`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, HeaderError> {
        if bytes.len() > HEADER_MAX_BYTES {
            return Err(HeaderError::TooLong { found: bytes.len() });
        }
        let digest = Digest::of(&bytes);
        Ok(Self { bytes, digest })
    }

    /// The sealed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The sealed bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// SHA-256 of the sealed bytes: the *header digest* that chunks and results are bound to.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl From<EnvelopeError> for HeaderError {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

impl fmt::Debug for SealedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedHeader").field("bytes", &self.bytes.len()).field("digest", &self.digest).finish()
    }
}
