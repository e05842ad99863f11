//! Opening uploads: what a caller asks, checked, and what it is answered.

use std::sync::Arc;

use filemill_api::limits::MAX_UPLOADS_PER_REQUEST;
use filemill_api::{ErrorBody, OpenRequest, OpenUpload, UploadState};

use super::batch::{OneOpening, OpenAsk, length_of};
use super::fair_share::Owner;
use super::handle::Queue;
use super::types::Opened;
use super::upload::{key, state_of, wanted};
use super::{announce, coalesce};
use crate::accounts::Caller;
use crate::catalog::{NOWHERE, with_long_parameters};
use crate::refusal::{conflict, from_store, not_found, shown, too_many, unavailable};
use crate::storage::{Object, ObjectKey};
use crate::store::queue::UploadRow;
use crate::store::{Store, StoreError};

/// Ranges of stored chunks beyond first gaps that one request is told of, for all its uploads together. Clients store chunks nearly in
/// order; those that are not told of are stored again.
pub const STORED_RANGES: usize = 1024;
/// Chunks that are read for that.
const STORED_READ: i64 = 1 << 16;

impl Queue {
    /// Opens uploads for the caller, each by itself. One that is open with the same content is answered as it is.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many. For one: `bad_request`; `not_found`: no such release, or no pool of that name that
    /// serves the caller's organisation; `conflict`:
    /// the id is taken, by other content or somebody else.
    pub async fn open(
        &self,
        caller: &Caller,
        request: OpenRequest,
    ) -> Result<Vec<Result<Opened, ErrorBody>>, ErrorBody> {
        if request.uploads.len() > MAX_UPLOADS_PER_REQUEST {
            return Err(too_many("uploads", MAX_UPLOADS_PER_REQUEST));
        }
        let owner = coalesce::owner(caller);
        let mut checked = Vec::with_capacity(request.uploads.len());
        for upload in request.uploads {
            checked.push(self.checked(caller, upload).await.map(Arc::new));
        }
        let openings = checked.iter().flatten();
        let asks = openings.map(|opening| OpenAsk { owner, opening: Arc::clone(opening) }).collect();
        let mut opened = self.inner.opening.ask(owner, asks).await?.into_iter();
        let mut answers = Vec::with_capacity(checked.len());
        let mut beyond = BeyondGaps { ranges: STORED_RANGES, chunks: STORED_READ };
        for opening in checked {
            let answer = match opening {
                Err(refusal) => Err(refusal),
                Ok(opening) => match opened.next() {
                    None => Err(unavailable()),
                    Some(None) => self::opened(&opening, false, Vec::new(), UploadState::Uploading),
                    Some(Some(row)) => self.reopened(owner, &opening, &row, &mut beyond).await,
                },
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Answers for an upload that was there: the same as the first time, if it is the same.
    async fn reopened(
        &self,
        owner: Owner,
        opening: &OneOpening,
        row: &UploadRow,
        beyond: &mut BeyondGaps,
    ) -> Result<Opened, ErrorBody> {
        check_same(owner, opening, row)?;
        let stored =
            stored_ranges(&self.core().store, row, beyond).await.map_err(|error| from_store("open", &error))?;
        opened(opening, row.header_stored, stored, state_of(row))
    }

    async fn checked(&self, caller: &Caller, upload: OpenUpload) -> Result<OneOpening, ErrorBody> {
        let announced = announce::check(&upload)?;
        let core = self.core();
        let known = async {
            // What was opened while the pool served the caller goes on.
            let served = core.catalog.shows(caller, &upload.pool).await?
                || core.store.upload(caller.member, &upload.id).await?.is_some_and(|row| row.pool == upload.pool);
            let needs = match core.catalog.needs_of(&upload.release).await? {
                Some(needs) => Some(needs),
                None => {
                    let pool = if served { upload.pool.as_str() } else { NOWHERE };
                    match core.catalog.local_needs(pool, &upload.release).await? {
                        // What was opened while it was offered may be opened again.
                        Some((needs, offered)) if offered || core.store.upload_exists(&upload.id).await? => Some(needs),
                        _ => None,
                    }
                }
            };
            Ok::<_, StoreError>((served && core.catalog.pool_exists(&upload.pool).await?, needs))
        };
        let (served, needs) = known.await.map_err(|error| from_store("open", &error))?;
        let Some(needs) = needs else {
            return Err(not_found(
                format!("there is no release `{}`", shown(&upload.release)),
                "list the releases and choose one of them",
            ));
        };
        if !served {
            return Err(not_found(
                format!("there is no pool `{}`", shown(&upload.pool)),
                "check the enrolment file; the pool's first processor publishes it",
            ));
        }
        let needs = if upload.long_parameters { with_long_parameters(needs) } else { needs };
        Ok(OneOpening { upload, announced, needs })
    }
}

/// Whether an upload that was there is the owner's, and the same.
fn check_same(owner: Owner, opening: &OneOpening, row: &UploadRow) -> Result<(), ErrorBody> {
    let upload = &opening.upload;
    if row.member != owner.member {
        return Err(conflict(format!("upload id `{}` is taken", shown(&upload.id)), "choose a random id"));
    }
    let same = row.release == upload.release
        && row.pool == upload.pool
        && row.header_sha256 == upload.header_sha256
        && row.header_length == length_of(upload)
        && row.chunks == i64::from(upload.chunks)
        && row.files == i64::from(opening.announced.files)
        && row.ranges_sha256 == opening.announced.ranges_sha256;
    if !same {
        return Err(conflict(
            format!("upload `{}` exists with another header or other jobs", shown(&upload.id)),
            "an id stands for one content: make a new upload",
        ));
    }
    Ok(())
}

fn opened(
    opening: &OneOpening,
    header_stored: bool,
    stored: Vec<(u32, u32)>,
    state: UploadState,
) -> Result<Opened, ErrorBody> {
    let upload = &opening.upload;
    let header = if header_stored {
        None
    } else {
        Some(Object {
            key: key(ObjectKey::header(&upload.id, &upload.header_sha256))?,
            length: upload.header_length,
            sha256: upload.header_sha256.clone(),
        })
    };
    Ok(Opened { header, chunks: wanted(&upload.id, state, &upload.want)?, stored, state })
}

/// What a request may still be told of stored chunks beyond the first gaps of its uploads, however many it names and however often.
struct BeyondGaps {
    /// Ranges that are told.
    ranges: usize,
    /// Chunks that are read.
    chunks: i64,
}

/// The stored chunks of an upload, as sorted ranges; beyond the first gap no more of them than `beyond` allows, from which they are taken.
async fn stored_ranges(store: &Store, row: &UploadRow, beyond: &mut BeyondGaps) -> Result<Vec<(u32, u32)>, StoreError> {
    let narrow = |sequence: i64| u32::try_from(sequence).unwrap_or(u32::MAX);
    let mut ranges = Vec::new();
    if row.prefix > 0 {
        ranges.push((0, narrow(row.prefix - 1)));
    }
    if row.stored > row.prefix && beyond.ranges > 0 && beyond.chunks > 0 {
        let sequences = store.sequences_from(row.number, row.prefix, beyond.chunks).await?;
        beyond.chunks -= sequences.len() as i64;
        for (sequence,) in sequences {
            let sequence = narrow(sequence);
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == sequence => *last = sequence,
                _ if beyond.ranges == 0 => break,
                _ => {
                    beyond.ranges -= 1;
                    ranges.push((sequence, sequence));
                }
            }
        }
    }
    Ok(ranges)
}
