//! Opening uploads: what a caller asks, checked, and what it is answered.

use std::collections::HashMap;
use std::sync::Arc;

use filemill_api::abilities::HEADER_2;
use filemill_api::limits::MAX_UPLOADS_PER_REQUEST;
use filemill_api::{ErrorBody, OpenRequest, OpenTask, OpenUpload, UploadState};

use super::batch::{OneOpening, OpenAsk, TaskNeeds, length_of};
use super::fair_share::Owner;
use super::handle::Queue;
use super::types::Opened;
use super::upload::{key, state_of, wanted};
use super::{announce, coalesce};
use crate::accounts::Caller;
use crate::catalog::{NOWHERE, NeedSet};
use crate::refusal::{conflict, from_store, not_found, shown, too_many, unavailable};
use crate::storage::{Object, ObjectKey};
use crate::store::queue::UploadRow;
use crate::store::{Store, StoreError};

/// Ranges of stored chunks beyond first gaps that one request is told of, for all its uploads together. Clients store chunks nearly in
/// order; those that are not told of are stored again.
pub const STORED_RANGES: usize = 1024;
/// Chunks that are read for that.
const STORED_READ: i64 = 1 << 16;
/// Where so many sets of alternatives are known, one release of a task decides what it needs: the first that a node can run now.
const MOST_ALTERNATIVES: usize = 512;

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
            let mut tasks = Vec::with_capacity(upload.tasks.len());
            let mut local = LocalNeeds::new();
            for task in &upload.tasks {
                match self.needs_of(&upload, task, served, &mut local).await? {
                    Ok(needs) => tasks.push(needs),
                    Err(unknown) => return Ok((served, Err(unknown))),
                }
            }
            Ok::<_, StoreError>((served && core.catalog.pool_exists(&upload.pool).await?, Ok(tasks)))
        };
        let (served, tasks) = known.await.map_err(|error| from_store("open", &error))?;
        let tasks = tasks.map_err(|Unknown(release)| {
            not_found(format!("there is no release `{}`", shown(&release)), "list the releases and choose one of them")
        })?;
        if !served {
            return Err(not_found(
                format!("there is no pool `{}`", shown(&upload.pool)),
                "check the enrolment file; the pool's first processor publishes it",
            ));
        }
        Ok(OneOpening { upload, announced, tasks })
    }

    /// What it takes to run a task's releases; or the first of them that there is not.
    async fn needs_of(
        &self,
        upload: &OpenUpload,
        task: &OpenTask,
        served: bool,
        local: &mut LocalNeeds,
    ) -> Result<Result<TaskNeeds, Unknown>, StoreError> {
        let catalog = &self.core().catalog;
        let mut more: Vec<_> = task.needs.iter().map(String::as_str).collect();
        more.extend((upload.format == 2).then_some(HEADER_2));
        let mut sets = Vec::with_capacity(task.releases.len());
        let mut all_published = true;
        for release in &task.releases {
            let needs = match catalog.needs_of(release).await? {
                Some(needs) => needs,
                None => {
                    all_published = false;
                    let pool = if served { upload.pool.as_str() } else { NOWHERE };
                    let found = match local.get(release) {
                        Some(found) => *found,
                        None => {
                            let found = catalog.local_needs(pool, release).await?;
                            local.insert(release.clone(), found);
                            found
                        }
                    };
                    match found {
                        // What was opened while it was offered may be opened again.
                        Some((needs, offered)) if offered || self.core().store.upload_exists(&upload.id).await? => {
                            needs
                        }
                        _ => return Ok(Err(Unknown(release.clone()))),
                    }
                }
            };
            // A release whose needs nobody numbered is one that nobody published.
            let Some(set) = catalog.set_of(needs).await? else { return Ok(Err(Unknown(release.clone()))) };
            sets.push(set.and(&more));
        }
        let mut each = Vec::with_capacity(sets.len());
        for set in &sets {
            each.push(catalog.number_of(set).await?);
        }
        let any = match *each.as_slice() {
            [only] => only,
            // Those who upload choose which releases they put together, and nodes what theirs need: there are no more such sets than servers
            // keep in mind.
            [first, ..] if !all_published || catalog.alternatives() >= MOST_ALTERNATIVES => {
                let nodes = catalog.abilities_in(&upload.pool).await?;
                let can = |set: &NeedSet| nodes.iter().any(|node| set.met_by(node));
                each.iter().zip(&sets).find(|(_, set)| can(set)).map_or(first, |(number, _)| *number)
            }
            _ => catalog.number_of(&NeedSet::any(sets)).await?,
        };
        Ok(Ok(TaskNeeds { any, each }))
    }
}

/// What releases need that nodes bring themselves, and whether one offers them; each is asked for once, however many tasks name it.
type LocalNeeds = HashMap<String, Option<(i64, bool)>>;

/// There is no such release.
struct Unknown(String);

/// Whether an upload that was there is the owner's, and the same.
fn check_same(owner: Owner, opening: &OneOpening, row: &UploadRow) -> Result<(), ErrorBody> {
    let upload = &opening.upload;
    if row.member != owner.member {
        return Err(conflict(format!("upload id `{}` is taken", shown(&upload.id)), "choose a random id"));
    }
    let first = upload.tasks.first().and_then(|task| task.releases.first());
    let same = Some(&row.release) == first
        && row.pool == upload.pool
        && row.header_sha256 == upload.header_sha256
        && row.header_length == length_of(upload)
        && row.chunks == i64::from(upload.chunks)
        && row.files == i64::from(opening.announced.jobs)
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
