//! The results of one span in one age file.

use std::fmt;

use zeroize::Zeroizing;

use super::error::ResultError;
use super::wire::{BatchId, Place};
use super::{Expected, ResultBody, UnverifiedResult, text};
use crate::bounds::{BATCH_MAX, RESULT_MAX_BYTES, RESULT_MAX_SEALED_BYTES};
use crate::data_key::DataKey;
use crate::envelope;
use crate::format::Format;
use crate::header::Header;
use crate::identifiers::UploadId;
use crate::identity::{Identity, Recipient};

const MAGIC: &str = "filemill-results/2 ";

/// Longest first line of a batch: its magic, an upload id, a space, two digits, a line feed.
const FIRST_LINE_MAX_BYTES: usize = MAGIC.len() + 2 * UploadId::BYTES + 4;
/// Longest line that says how long a member is: eight digits, a line feed.
const LENGTH_LINE_MAX_BYTES: usize = 9;
/// Most bytes that `task`, `batch`, `position` and `members` add to a result.
const PLACE_MAX_BYTES: usize = 96;
/// Longest plaintext of a batch.
const PLAINTEXT_MAX_BYTES: usize = RESULT_MAX_BYTES + FIRST_LINE_MAX_BYTES + BATCH_MAX * LENGTH_LINE_MAX_BYTES;
/// Longest sealed batch, in bytes.
pub const BATCH_MAX_SEALED_BYTES: usize = RESULT_MAX_SEALED_BYTES + (PLAINTEXT_MAX_BYTES - RESULT_MAX_BYTES) + 16;

/// Seals results of one upload, whose header is of format 2, for its uploader and its organisation.
///
/// Whoever has more than [`BATCH_USUAL_BYTES`](crate::BATCH_USUAL_BYTES) of them seals several batches.
///
/// # Errors
///
/// [`ResultError::Batch`] for none or more than [`BATCH_MAX`], for another upload's, and for two of one job; else as
/// [`seal_result`](super::seal_result), where [`RESULT_MAX_BYTES`] bounds all of them together.
pub fn seal_batch(bodies: &[ResultBody], header: &Header) -> Result<Vec<u8>, ResultError> {
    let members = u32::try_from(bodies.len()).ok().filter(|members| (1..=BATCH_MAX as u32).contains(members));
    let members = members.ok_or(ResultError::Batch { what: "it has no member, or too many" })?;
    if bodies.iter().any(|body| body.upload != header.upload) {
        return Err(ResultError::Batch { what: "a member is of another upload" });
    }
    check_jobs(bodies.iter().map(|body| (body.task, body.index)))?;
    let (key, batch) = (header.key.result_key(&header.upload, Format::Two), BatchId::random());
    let mut plaintext = Zeroizing::new(format!("{MAGIC}{} {members}\n", header.upload).into_bytes());
    for (position, body) in (0..members).zip(bodies) {
        let member = Zeroizing::new(text::write(body, Some(Place { batch, position, members }), &key)?);
        plaintext.extend_from_slice(format!("{}\n", member.len()).as_bytes());
        plaintext.extend_from_slice(&member);
    }
    if plaintext.len() > PLAINTEXT_MAX_BYTES {
        return Err(ResultError::TooLong { found: plaintext.len() });
    }
    Ok(envelope::seal(&plaintext, std::iter::once(&header.uploader).chain(&header.organisation)))
}

/// Bytes that a result takes in a batch, the line before it among them, or a few more: for whoever closes a batch before it is too long.
///
/// Checks nothing, and writes the result out once without keeping it.
pub fn member_bytes(body: &ResultBody) -> usize {
    LENGTH_LINE_MAX_BYTES + text::bytes(body) + PLACE_MAX_BYTES
}

/// Decrypts a sealed batch with the first of `identities` that fits.
///
/// # Errors
///
/// [`ResultError::Envelope`] if it does not open; [`ResultError::NotABatch`], [`ResultError::Batch`] or what
/// [`open_result`](super::open_result) says of a member if what is inside cannot be one.
pub fn open_batch(sealed: &[u8], identities: &[Identity]) -> Result<UnverifiedBatch, ResultError> {
    let plaintext = envelope::open(sealed, identities, BATCH_MAX_SEALED_BYTES).map_err(ResultError::Envelope)?;
    UnverifiedBatch::parse(&plaintext)
}

/// A batch that was decrypted. Anybody who knows the uploader's recipient can make one: nothing but what it claims to be about can be
/// read until [`verify`](Self::verify) has shown that a processor of the pool made it, as it is.
pub struct UnverifiedBatch {
    upload: UploadId,
    members: Vec<UnverifiedResult>,
}

/// One result that was verified, of a batch or alone.
#[derive(Clone)]
pub struct Member {
    body: ResultBody,
    text: Zeroizing<Vec<u8>>,
}

impl UnverifiedBatch {
    pub(crate) fn parse(plaintext: &[u8]) -> Result<Self, ResultError> {
        if plaintext.len() > PLAINTEXT_MAX_BYTES {
            return Err(ResultError::TooLong { found: plaintext.len() });
        }
        let (upload, announced, mut rest) = first_line(plaintext).ok_or(ResultError::NotABatch)?;
        let mut members = Vec::with_capacity(announced);
        for _ in 0..announced {
            let (member, behind) = member(rest).ok_or(ResultError::Batch { what: "a member is cut off" })?;
            let member = UnverifiedResult::parse(Zeroizing::new(member.to_vec()))?;
            if member.format != Format::Two {
                return Err(ResultError::Batch { what: "a member is of another format" });
            }
            members.push(member);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(ResultError::Batch { what: "something follows its last member" });
        }
        Ok(Self { upload, members })
    }

    /// The upload it claims to be about: to look up what to verify it against, not to be believed.
    pub fn claimed_upload(&self) -> UploadId {
        self.upload
    }

    /// The jobs that its members claim to be about, each a task and a file: to look up what to verify it against, not to be believed.
    pub fn claimed_jobs(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.members.iter().map(|member| (member.claims.task, member.claims.index))
    }

    /// Checks that whoever could open the header made this batch, that it is whole, and that its members are the results of the
    /// `expected` jobs, in that order.
    ///
    /// `key` is the upload's data key.
    ///
    /// # Errors
    ///
    /// [`ResultError::Batch`] where the members do not make one batch or are not those that were expected; else as
    /// [`UnverifiedResult::verify`]. Nothing of the batch is then to be shown.
    pub fn verify(self, key: &DataKey, expected: &[Expected<'_>]) -> Result<Vec<Member>, ResultError> {
        if self.members.len() != expected.len() {
            return Err(ResultError::Batch { what: "it has not as many members as there should be results" });
        }
        if let Some(other) = expected.iter().find(|expected| expected.upload != self.upload) {
            return Err(ResultError::OtherUpload { expected: other.upload, found: self.upload });
        }
        check_jobs(self.claimed_jobs())?;
        let key = key.result_key(&self.upload, Format::Two);
        let members = self.members.len();
        let mut batch = None;
        let mut verified = Vec::with_capacity(members);
        for (position, (member, expected)) in self.members.into_iter().zip(expected).enumerate() {
            let (body, place) = member.check(&key, expected)?;
            let place = place.ok_or(ResultError::Batch { what: "a member has no place in a batch" })?;
            if *batch.get_or_insert(place.batch) != place.batch {
                return Err(ResultError::Batch { what: "a member is of another batch" });
            }
            if place.members as usize != members {
                return Err(ResultError::Batch { what: "a member is missing, or one too many" });
            }
            if place.position as usize != position {
                return Err(ResultError::Batch { what: "a member is in another's place" });
            }
            verified.push(Member { body, text: member.plaintext });
        }
        Ok(verified)
    }

    /// Its members, each as a result by itself. Verified so, they say nothing of each other: that the batch is whole is to be known from before.
    pub fn into_results(self) -> Vec<UnverifiedResult> {
        self.members
    }
}

impl Member {
    pub(super) fn new(body: ResultBody, text: Zeroizing<Vec<u8>>) -> Self {
        Self { body, text }
    }

    /// What the processor says.
    pub fn body(&self) -> &ResultBody {
        &self.body
    }

    /// What the processor says.
    pub fn into_body(self) -> ResultBody {
        self.body
    }

    /// Its text, alone, sealed for `recipient`: a *single result*, which [`open_result`](super::open_result) opens.
    pub fn seal_for(&self, recipient: &Recipient) -> Vec<u8> {
        envelope::seal(&self.text, std::iter::once(recipient))
    }
}

/// The same batch, each of whose members has the authenticator that is right for its text; `None` where it is not parsed as a batch.
pub(crate) fn authenticated_batch(plaintext: &[u8], key: &DataKey) -> Option<Vec<u8>> {
    let batch = UnverifiedBatch::parse(plaintext).ok()?;
    let key = key.result_key(&batch.upload, Format::Two);
    let mut authenticated = format!("{MAGIC}{} {}\n", batch.upload, batch.members.len()).into_bytes();
    for UnverifiedResult { plaintext, .. } in &batch.members {
        let body = &plaintext[text::FIRST_LINE_BYTES..];
        authenticated.extend_from_slice(format!("{}\n", plaintext.len()).as_bytes());
        authenticated.extend_from_slice(&text::first_line(body, &key, Format::Two));
        authenticated.extend_from_slice(body);
    }
    Some(authenticated)
}

/// Refuses two results of one job.
fn check_jobs(jobs: impl Iterator<Item = (u32, u32)>) -> Result<(), ResultError> {
    let mut jobs: Vec<_> = jobs.collect();
    jobs.sort_unstable();
    match jobs.array_windows().any(|[left, right]| left == right) {
        true => Err(ResultError::Batch { what: "two members are of one job" }),
        false => Ok(()),
    }
}

/// What the first line of a batch says, and what follows it.
fn first_line(plaintext: &[u8]) -> Option<(UploadId, usize, &[u8])> {
    let (line, rest) = line(plaintext, FIRST_LINE_MAX_BYTES)?;
    let (upload, members) = line.strip_prefix(MAGIC)?.split_once(' ')?;
    let members = number(members).filter(|members| (1..=BATCH_MAX).contains(members))?;
    Some((upload.parse().ok()?, members, rest))
}

/// The next member, and what follows it.
fn member(plaintext: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = line(plaintext, LENGTH_LINE_MAX_BYTES)?;
    rest.split_at_checked(number(line)?)
}

/// The next line, of at most `max_bytes` with its line feed, and what follows it.
fn line(text: &[u8], max_bytes: usize) -> Option<(&str, &[u8])> {
    let end = text[..text.len().min(max_bytes)].iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&text[..end]).ok()?, &text[end + 1..]))
}

/// A decimal number as it is written here: no sign, no zeros before it.
fn number(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

impl fmt::Debug for UnverifiedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedBatch")
            .field("claimed_upload", &self.upload)
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("task", &self.body.task).field("index", &self.body.index).finish_non_exhaustive()
    }
}
