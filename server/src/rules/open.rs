//! Opening uploads, many in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use filemill_api::limits::MAX_UPLOADS_PER_REQUEST;
use filemill_api::{ErrorBody, OpenRequest, OpenUpload, UploadState};

use super::announce::{self, Announced};
use super::combine::{self, Combined};
use super::refusal::{conflict, from_store, not_found, shown, too_many};
use super::releases::with_long_parameters;
use super::service::NOWHERE;
use super::turns::Owner;
use super::{Caller, Core, Object, Opened, Rules, random};
use crate::storage::ObjectKey;
use crate::store::{NewRun, NewUpload, RunState, Store, StoreError, Tx, UploadRow};

/// An upload's fences begin at a random number below this: the number that names its runs may have named another upload's before the
/// database was restored, and a node may still hold a lease of that one.
const FIRST_FENCES: i64 = 1 << 40;

/// Ranges of stored chunks beyond first gaps that one request is told of, for all its uploads together. Clients store chunks nearly in
/// order; those that are not told of are stored again.
pub const STORED_RANGES: usize = 1024;
/// Chunks that are read for that.
const STORED_READ: i64 = 1 << 16;

impl Rules {
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
        let owner = combine::owner(caller);
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
                    None => Err(super::refusal::unavailable()),
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
            let served = core.shows(caller, &upload.pool).await?
                || core.store.upload(caller.member, &upload.id).await?.is_some_and(|row| row.pool == upload.pool);
            let needs = match core.needs_of(&upload.release).await? {
                Some(needs) => Some(needs),
                None => {
                    let pool = if served { upload.pool.as_str() } else { NOWHERE };
                    core.local_needs(pool, &upload.release, &upload.id).await?
                }
            };
            Ok::<_, StoreError>((served && core.pool_exists(&upload.pool).await?, needs))
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

/// One of a caller's uploads.
pub(super) struct OpenAsk {
    owner: Owner,
    opening: Arc<OneOpening>,
}

/// An upload to open.
struct OneOpening {
    upload: OpenUpload,
    announced: Announced,
    needs: i64,
}

/// Opens what many callers ask; answers the row of an upload that was there already.
pub(super) struct Opening(pub(super) Arc<Core>);

impl Combined for Opening {
    type Ask = OpenAsk;
    type Answer = Option<UploadRow>;
    type Begun = Tx;
    const NAME: &'static str = "open uploads";
    /// Runs, and a flat part for each upload: some 50 ms of SQLite's only writer.
    const FULL: usize = 2048;

    fn weight(ask: &OpenAsk) -> usize {
        10 + ask.opening.announced.runs
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, mut tx: Tx, asks: &[OpenAsk]) -> Result<Vec<Self::Answer>, StoreError> {
        // An id that was asked for twice: the first is inserted, and the others are compared with it.
        let mut firsts = HashMap::new();
        for ask in asks {
            firsts.entry(ask.opening.upload.id.as_str()).or_insert(ask);
        }
        let new: Vec<_> = firsts.values().map(|ask| new_upload(ask)).collect();
        let inserted: HashMap<_, _> =
            tx.insert_uploads(&new).await?.into_iter().map(|(number, id)| (id, number)).collect();
        let mut runs = Vec::new();
        let fences = random::numbers(inserted.len())?;
        for ((id, number), fence) in inserted.iter().zip(fences) {
            if let Some(ask) = firsts.get(id.as_str()) {
                // It was checked before.
                let pieces = announce::cut(&ask.opening.upload.jobs, ask.opening.upload.chunks).unwrap_or_default();
                runs.extend(pieces.into_iter().map(|piece| new_run(*number, ask, piece, fence % FIRST_FENCES)));
            }
        }
        if !runs.is_empty() {
            tx.insert_runs(&runs).await?;
        }
        let repeated: Vec<_> = asks
            .iter()
            .filter(|ask| {
                let id = ask.opening.upload.id.as_str();
                !inserted.contains_key(id) || firsts.get(id).is_none_or(|first| !std::ptr::eq(*first, *ask))
            })
            .map(|ask| (ask.opening.upload.id.as_str(),))
            .collect();
        let mut known = HashMap::new();
        if !repeated.is_empty() {
            known.extend(tx.uploads_by_id(&repeated).await?.into_iter().map(|row| (row.id.clone(), row)));
        }
        tx.commit().await?;
        Ok(asks.iter().map(|ask| known.get(&ask.opening.upload.id).cloned()).collect())
    }
}

fn new_upload(ask: &OpenAsk) -> NewUpload<'_> {
    let OpenAsk { owner, opening } = ask;
    let upload = &opening.upload;
    NewUpload {
        id: &upload.id,
        organisation: owner.organisation,
        member: owner.member,
        release: &upload.release,
        pool: &upload.pool,
        needs: opening.needs,
        header_length: length_of(upload),
        header_sha256: &upload.header_sha256,
        files: i64::from(opening.announced.files),
        chunks: i64::from(upload.chunks),
        ranges_sha256: &opening.announced.ranges_sha256,
    }
}

fn new_run(number: i64, ask: &OpenAsk, piece: announce::Piece, fence: i64) -> NewRun<'_> {
    let OpenAsk { owner, opening } = ask;
    NewRun {
        upload: number,
        organisation: owner.organisation,
        member: owner.member,
        pool: &opening.upload.pool,
        needs: opening.needs,
        lo: piece.lo,
        hi: piece.hi,
        gone: 0,
        first_chunk: i64::from(piece.first_chunk),
        last_chunk: i64::from(piece.last_chunk),
        state: RunState::WAITING,
        patient: false,
        alone: false,
        deaths: 0,
        missed: 0,
        vstart: 0,
        fence,
        attempt: 0,
    }
}

/// Bounded by the check of the announcement.
fn length_of(upload: &OpenUpload) -> i64 {
    i64::try_from(upload.header_length).unwrap_or(i64::MAX)
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

/// The objects of wanted chunks; none for an upload that is over, since nobody would ever read them.
pub(super) fn wanted(
    upload: &str,
    state: UploadState,
    want: &[filemill_api::ChunkWant],
) -> Result<Vec<Object>, ErrorBody> {
    if matches!(state, UploadState::Done | UploadState::Cancelled) {
        return Ok(Vec::new());
    }
    want.iter()
        .map(|chunk| {
            Ok(Object {
                key: key(ObjectKey::chunk(upload, chunk.sequence, &chunk.sha256))?,
                length: chunk.length,
                sha256: chunk.sha256.clone(),
            })
        })
        .collect()
}

/// A key whose parts were checked before.
pub(super) fn key(made: Result<ObjectKey, crate::storage::InvalidKey>) -> Result<ObjectKey, ErrorBody> {
    made.map_err(|error| super::refusal::bad_request(error.to_string()))
}

/// What an upload is doing, from its row.
pub(super) fn state_of(row: &UploadRow) -> UploadState {
    match row.finished_at {
        Some(_) if row.cancelled => UploadState::Cancelled,
        Some(_) => UploadState::Done,
        None if row.header_stored && row.prefix >= row.chunks => UploadState::Stored,
        None => UploadState::Uploading,
    }
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
