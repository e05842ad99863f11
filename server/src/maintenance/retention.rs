//! Deleting what nobody needs any more: name the objects, wait until storage deleted them, forget the rows.
//!
//! A finished upload is its own mark: what it still has in `chunks` is to be deleted. Whatever is interrupted is found
//! again, and deleting an object twice is no harm.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use filemill_api::ErrorBody;

use super::handle::Maintenance;
use crate::refusal::{bad_request, from_store};
use crate::retry::ms;
use crate::storage::{InvalidKey, Object, ObjectKey};
use crate::store::StoreError;

/// Uploads looked at in one step.
const UPLOADS: i64 = 256;
/// Files of the uploads that one transaction forgets, unless a single one has more: others wait for it.
const FORGOTTEN_FILES: i64 = 8192;
/// Components that are looked at in one go.
const LOOKED_AT: i64 = 64;
/// A device that has not asked for events for so long is waited for no more.
const DEVICE_COUNTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// Keys that [`Maintenance::orphans`] takes at once.
const MAX_LISTED: usize = 1000;

/// The rows behind doomed objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    chunks: Vec<(i64, i64)>,
    replaced: Vec<(i64, i64, String)>,
    emptied: Vec<(i64,)>,
    results: Vec<(i64, i64)>,
    uploads: Vec<(i64,)>,
    components: Vec<(String, String)>,
}

/// A component that a node brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// For whom.
    pub pool: String,
    /// Where it should be.
    pub object: Object,
}

/// Objects that nobody needs any more; the answer to `doomed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Keys to delete; deleting one that is gone is a success.
    pub keys: Vec<ObjectKey>,
    /// What `forget` removes once they are deleted.
    pub(crate) marks: Marks,
}

impl Maintenance {
    /// Objects to delete now, at most some `max_keys`: those of finished uploads, of replaced chunks, results past
    /// their retention, and components that no node has offered for long. Call [`Maintenance::forget`] when they are deleted. It is at its end when it is empty.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn doomed(&self, max_keys: u32) -> Result<Doomed, ErrorBody> {
        let limit = i64::from(max_keys.max(1));
        let found = async {
            let mut doomed = Doomed::default();
            let now = self.deletable().await?;
            self.doomed_uploads(&mut doomed, limit).await?;
            self.doomed_replaced(&mut doomed, now, limit).await?;
            self.doomed_results(&mut doomed, now, limit).await?;
            self.doomed_components(&mut doomed, now, limit).await?;
            Ok::<_, StoreError>(doomed)
        };
        found.await.map_err(|error| from_store("find doomed objects", &error))
    }

    /// Forgets the rows of objects that storage has deleted.
    ///
    /// # Errors
    /// Those of the database; the objects come again then.
    pub async fn forget(&self, doomed: Doomed) -> Result<(), ErrorBody> {
        let marks = doomed.marks;
        let forgotten = async {
            let mut tx = self.store.begin().await?;
            // Uploads are locked before what hangs on them, as everywhere.
            let mut numbers: Vec<_> = marks
                .emptied
                .iter()
                .chain(&marks.uploads)
                .copied()
                .chain(marks.chunks.iter().map(|c| (c.0,)))
                .collect();
            numbers.sort_unstable();
            numbers.dedup();
            tx.lock_uploads(&numbers).await?;
            if !marks.chunks.is_empty() {
                tx.forget_chunks(&marks.chunks).await?;
            }
            if !marks.replaced.is_empty() {
                tx.forget_replaced(&marks.replaced).await?;
            }
            if !marks.emptied.is_empty() {
                tx.mark_emptied(&marks.emptied).await?;
            }
            if !marks.results.is_empty() {
                tx.forget_results(&marks.results).await?;
            }
            if !marks.uploads.is_empty() {
                tx.forget_uploads(&marks.uploads).await?;
            }
            if !marks.components.is_empty() {
                tx.forget_components(&marks.components).await?;
            }
            tx.commit().await
        };
        forgotten.await.map_err(|error| from_store("forget deleted objects", &error))
    }

    /// Of objects that a listing of `uploads/` or `results/` showed, those that nobody needs: left by a URL that was
    /// used late, or by a node that had lost its lease. Ask only about objects older than a URL's lifetime and some
    /// skew.
    ///
    /// This is the second sweep. It lists everything once for all uploads, a thousand objects a request; a listing for
    /// each finished upload would cost a request an upload and mostly find nothing.
    ///
    /// # Errors
    /// `bad_request`: more than 1,000 keys; those of the database.
    pub async fn orphans(&self, keys: Vec<ObjectKey>) -> Result<Vec<ObjectKey>, ErrorBody> {
        if keys.len() > MAX_LISTED {
            return Err(bad_request(format!("{} keys at once, at most {MAX_LISTED} are allowed", keys.len())));
        }
        let ids: HashSet<_> = keys.iter().filter_map(|key| Place::of(key.as_str())).map(|place| place.upload).collect();
        let ids: Vec<_> = ids.into_iter().map(|id| (id,)).collect();
        let jobs: Vec<_> = keys
            .iter()
            .filter_map(|key| Place::of(key.as_str()))
            .filter_map(|p| Some((p.upload, p.result?.0)))
            .collect();
        let store = &self.store;
        let read = async {
            let unfinished: HashSet<_> = store.unfinished_ids(&ids).await?.into_iter().map(|(id,)| id).collect();
            let results = if jobs.is_empty() { Vec::new() } else { store.result_places(&jobs).await? };
            Ok::<_, StoreError>((unfinished, results))
        };
        let (unfinished, results) = read.await.map_err(|error| from_store("find orphans", &error))?;
        let results: HashMap<_, _> =
            results.into_iter().map(|(upload, index, fence, sha256)| ((upload, index), (fence, sha256))).collect();
        let needed = |place: &Place<'_>| match place.result {
            None => unfinished.contains(place.upload),
            Some((index, fence, sha256)) => {
                unfinished.contains(place.upload)
                    || results
                        .get(&(place.upload.to_owned(), i64::from(index)))
                        .is_some_and(|(kept_fence, kept)| *kept_fence == fence && kept == sha256)
            }
        };
        // A key of another form is not this server's: it stays.
        let orphaned: Vec<_> =
            keys.iter().map(|key| Place::of(key.as_str()).is_some_and(|place| !needed(&place))).collect();
        Ok(keys.into_iter().zip(orphaned).filter(|(_, orphaned)| *orphaned).map(|(key, _)| key).collect())
    }

    /// What time it is by the database's clock, less what that jumped lately: what is kept for a time goes by this.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn explained_now(&self) -> Result<SystemTime, ErrorBody> {
        let now = self.deletable().await.map_err(|error| from_store("look at the clock", &error))?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap_or(0)))
    }

    /// Stored components that storage was not asked about for so long, at most some. Say by [`Maintenance::looked_at`] whether they are
    /// there.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn components_to_look_at(&self, unseen: Duration) -> Result<Vec<Brought>, ErrorBody> {
        let found = async {
            let rows = self.store.unseen_components(ms(unseen), LOOKED_AT).await?;
            rows.into_iter()
                .map(|(pool, sha256, length)| {
                    let key = key(ObjectKey::component(&pool, &sha256))?;
                    Ok(Brought { pool, object: Object { key, length: u64::try_from(length).unwrap_or(0), sha256 } })
                })
                .collect::<Result<_, StoreError>>()
        };
        found.await.map_err(|error| from_store("find components to look at", &error))
    }

    /// Takes down that storage was asked about components, and whether they are there. One that is not is no longer offered to
    /// clients until a node stores it again.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn looked_at(&self, components: Vec<(Brought, bool)>) -> Result<(), ErrorBody> {
        let rows: Vec<_> = components
            .into_iter()
            .map(|(brought, there)| (brought.pool, brought.object.sha256, i64::from(there)))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut tx = self.store.begin().await?;
            tx.saw_components(&rows).await?;
            tx.commit().await
        };
        written.await.map_err(|error| from_store("look at components", &error))
    }

    async fn doomed_uploads(&self, doomed: &mut Doomed, limit: i64) -> Result<(), StoreError> {
        let store = &self.store;
        let uploads = store.doomed_uploads(limit.min(UPLOADS)).await?;
        if uploads.is_empty() {
            return Ok(());
        }
        let numbers: Vec<_> = uploads.iter().map(|upload| (upload.number,)).collect();
        let chunks = store.doomed_chunks(&numbers, limit).await?;
        // Past the limit there may be more of the upload at which it was reached, and of those behind it.
        let whole_below =
            if (chunks.len() as i64) < limit { i64::MAX } else { chunks.last().map_or(0, |(upload, ..)| *upload) };
        for (upload, id, sequence, sha256) in chunks {
            let narrow = u32::try_from(sequence).unwrap_or(u32::MAX);
            doomed.keys.push(key(ObjectKey::chunk(&id, narrow, &sha256))?);
            doomed.marks.chunks.push((upload, sequence));
        }
        for upload in uploads.iter().filter(|upload| upload.number < whole_below) {
            doomed.keys.push(key(ObjectKey::header(&upload.id, &upload.header_sha256))?);
            doomed.marks.emptied.push((upload.number,));
        }
        Ok(())
    }

    async fn doomed_replaced(&self, doomed: &mut Doomed, now: i64, limit: i64) -> Result<(), StoreError> {
        for (upload, id, sequence, sha256, counts) in self.store.doomed_replaced(now, limit).await? {
            if !counts {
                let narrow = u32::try_from(sequence).unwrap_or(u32::MAX);
                doomed.keys.push(key(ObjectKey::chunk(&id, narrow, &sha256))?);
            }
            doomed.marks.replaced.push((upload, sequence, sha256));
        }
        Ok(())
    }

    async fn doomed_results(&self, doomed: &mut Doomed, now: i64, limit: i64) -> Result<(), StoreError> {
        self.queue.core().write_taken().await?;
        let [taken, untaken, devices] = [self.config.retention, self.config.retention_untaken, DEVICE_COUNTS]
            .map(|kept| now.saturating_sub(ms(kept)));
        let uploads = first_files(self.store.past_retention(taken, untaken, devices, UPLOADS).await?);
        if uploads.is_empty() {
            return Ok(());
        }
        let results = self.store.doomed_results(&uploads, limit).await?;
        let whole = (results.len() as i64) < limit;
        for (upload, id, index, fence, sha256) in results {
            let narrow = u32::try_from(index).unwrap_or(u32::MAX);
            doomed.keys.push(key(ObjectKey::result(&id, narrow, fence, &sha256))?);
            doomed.marks.results.push((upload, index));
        }
        if whole {
            doomed.marks.uploads = uploads;
        }
        Ok(())
    }

    /// Components that no node has offered for long. They are marked before they are named: a node that offers one from then
    /// on is not told to store it before it is gone.
    async fn doomed_components(&self, doomed: &mut Doomed, now: i64, limit: i64) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.doom_components(now.saturating_sub(ms(self.config.abandoned_after))).await?;
        tx.commit().await?;
        for (pool, digest) in self.store.doomed_components(limit).await? {
            doomed.keys.push(key(ObjectKey::component(&pool, &digest))?);
            doomed.marks.components.push((pool, digest));
        }
        Ok(())
    }
}

impl Doomed {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.marks == Marks::default()
    }
}

/// Of (upload, files), the first ones that one transaction forgets.
fn first_files(uploads: Vec<(i64, i64)>) -> Vec<(i64,)> {
    let mut sum = 0;
    let within = |&(_, files): &(i64, i64)| {
        let first = sum == 0;
        sum += files;
        first || sum <= FORGOTTEN_FILES
    };
    uploads.into_iter().take_while(within).map(|(upload, _)| (upload,)).collect()
}

/// What an object's key says.
struct Place<'a> {
    upload: &'a str,
    /// File index, fence and SHA-256 of a result.
    result: Option<(u32, i64, &'a str)>,
}

impl<'a> Place<'a> {
    fn of(key: &'a str) -> Option<Self> {
        let parts: Vec<_> = key.split('/').collect();
        match *parts.as_slice() {
            ["uploads", upload, _, _] => Some(Self { upload, result: None }),
            ["results", upload, index, fence, sha256] => {
                Some(Self { upload, result: Some((index.parse().ok()?, fence.parse().ok()?, sha256)) })
            }
            _ => None,
        }
    }
}

/// A key made of what is in the database, which was checked on its way in.
fn key(made: Result<ObjectKey, InvalidKey>) -> Result<ObjectKey, StoreError> {
    made.map_err(|error| StoreError::from(sqlx::Error::Decode(error.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_forgotten_at_once_than_others_can_wait_for() {
        let numbers = |files: &[i64]| first_files((1..).zip(files.iter().copied()).collect()).len();
        assert_eq!(numbers(&[]), 0);
        assert_eq!(numbers(&[1; 256]), 256);
        assert_eq!(numbers(&[65_536, 1]), 1);
        assert_eq!(numbers(&[4096, 4096, 1]), 2);
    }
}
