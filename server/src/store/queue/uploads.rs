//! The uploads' own rows. Who holds an upload's row lock may change its chunks and runs.

use serde::Serialize;

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// An upload to insert. It travels as a JSON array, in this order of fields.
#[derive(Clone, Debug)]
pub(crate) struct NewUpload<'a> {
    pub(crate) id: &'a str,
    pub(crate) organisation: i64,
    pub(crate) member: i64,
    pub(crate) release: &'a str,
    pub(crate) pool: &'a str,
    pub(crate) needs: i64,
    pub(crate) header_length: i64,
    pub(crate) header_sha256: &'a str,
    /// Jobs: files times tasks.
    pub(crate) files: i64,
    pub(crate) tasks: i64,
    /// Its tasks are written down apart.
    pub(crate) listed: bool,
    pub(crate) chunks: i64,
    pub(crate) ranges_sha256: &'a str,
}

impl Serialize for NewUpload<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            self.id,
            self.organisation,
            self.member,
            self.release,
            self.pool,
            self.needs,
            self.header_length,
            self.header_sha256,
            self.files,
            self.chunks,
            self.ranges_sha256,
            self.tasks,
            self.listed,
        )
            .serialize(serializer)
    }
}

/// An upload.
#[derive(Clone, Debug)]
pub(crate) struct UploadRow {
    pub(crate) number: i64,
    pub(crate) id: String,
    pub(crate) organisation: i64,
    pub(crate) member: i64,
    pub(crate) release: String,
    pub(crate) pool: String,
    pub(crate) header_length: i64,
    pub(crate) header_sha256: String,
    pub(crate) header_stored: bool,
    /// Jobs: files times tasks.
    pub(crate) files: i64,
    pub(crate) tasks: i64,
    /// Its tasks are written down apart.
    pub(crate) listed: bool,
    pub(crate) chunks: i64,
    pub(crate) ranges_sha256: String,
    pub(crate) stored: i64,
    pub(crate) prefix: i64,
    pub(crate) missing_below: i64,
    pub(crate) done: i64,
    pub(crate) cancelled: bool,
    pub(crate) finished_at: Option<i64>,
}

crate::store::from_row!(UploadRow {
    number,
    id,
    organisation,
    member,
    release,
    pool,
    header_length,
    header_sha256,
    header_stored,
    files,
    tasks,
    listed,
    chunks,
    ranges_sha256,
    stored,
    prefix,
    missing_below,
    done,
    cancelled,
    finished_at
});

impl UploadRow {
    /// How many files each of its tasks has.
    pub(crate) fn files_of_task(&self) -> i64 {
        self.files / self.tasks.max(1)
    }
}

/// What changes of an upload when chunks come: number, whether the header is stored, how many chunks more.
pub(crate) type Advance = (i64, bool, i64);

impl Tx {
    /// Inserts those whose id is new, and answers their numbers with their ids.
    pub(crate) async fn insert_uploads(&mut self, uploads: &[NewUpload<'_>]) -> Result<Vec<(i64, String)>, StoreError> {
        // Sorted: two transactions that insert the same ids wait for each other in one direction only.
        Ok(rows!(
            self,
            (i64, String),
            "insert into uploads (id, organisation, member, release, pool, needs, header_length, header_sha256, files,
                 chunks, ranges_sha256, tasks, listed, created_at, touched_at)
             select e.value ->> 0, cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint), e.value ->> 3,
                 e.value ->> 4, cast(e.value ->> 5 as bigint), cast(e.value ->> 6 as bigint), e.value ->> 7,
                 cast(e.value ->> 8 as bigint), cast(e.value ->> 9 as bigint), e.value ->> 10,
                 cast(e.value ->> 11 as bigint), cast(e.value ->> 12 as boolean), {now}, {now}
             from {rows $1} where true order by 1
             on conflict (id) do nothing
             returning number, id",
            json(uploads)?
        )?)
    }

    /// The uploads with these ids, unlocked.
    pub(crate) async fn uploads_by_id(&mut self, ids: &[(&str,)]) -> Result<Vec<UploadRow>, StoreError> {
        Ok(rows!(
            self,
            UploadRow,
            "select number, id, organisation, member, release, pool, header_length, header_sha256, header_stored,
                 files, tasks, listed, chunks, ranges_sha256, stored, prefix, missing_below, done, cancelled, finished_at
             from uploads where id in (select e.value ->> 0 from {rows $1})",
            json(ids)?
        )?)
    }

    /// Locks the uploads with these ids.
    pub(crate) async fn lock_uploads_by_id(&mut self, ids: &[(&str,)]) -> Result<Vec<UploadRow>, StoreError> {
        Ok(rows!(
            self,
            UploadRow,
            "select number, id, organisation, member, release, pool, header_length, header_sha256, header_stored,
                 files, tasks, listed, chunks, ranges_sha256, stored, prefix, missing_below, done, cancelled, finished_at
             from uploads where id in (select e.value ->> 0 from {rows $1}) order by number {lock}",
            json(ids)?
        )?)
    }

    /// Locks the uploads with these numbers.
    pub(crate) async fn lock_uploads(&mut self, numbers: &[(i64,)]) -> Result<Vec<UploadRow>, StoreError> {
        Ok(rows!(
            self,
            UploadRow,
            "select number, id, organisation, member, release, pool, header_length, header_sha256, header_stored,
                 files, tasks, listed, chunks, ranges_sha256, stored, prefix, missing_below, done, cancelled, finished_at
             from uploads where number in (select cast(e.value ->> 0 as bigint) from {rows $1}) order by number {lock}",
            json(numbers)?
        )?)
    }

    /// The uploads with these numbers, unlocked: for what never changes of them.
    pub(crate) async fn uploads_by_number(&mut self, numbers: &[(i64,)]) -> Result<Vec<UploadRow>, StoreError> {
        Ok(rows!(
            self,
            UploadRow,
            "select number, id, organisation, member, release, pool, header_length, header_sha256, header_stored,
                 files, tasks, listed, chunks, ranges_sha256, stored, prefix, missing_below, done, cancelled, finished_at
             from uploads where number in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(numbers)?
        )?)
    }

    /// Moves uploads on after their chunks were recorded, and answers each one's number and prefix.
    pub(crate) async fn advance_uploads(&mut self, advances: &[Advance]) -> Result<Vec<(i64, i64)>, StoreError> {
        // The prefix moves only when the chunk at its end is there; it ends before the first gap, which the index finds
        // without reading what was stored beyond.
        Ok(rows!(
            self,
            (i64, i64),
            "update uploads set
                 header_stored = header_stored or cast(e.value ->> 1 as boolean),
                 stored = stored + cast(e.value ->> 2 as bigint),
                 touched_at = {now},
                 prefix = coalesce((
                     select c.sequence + 1 from chunks c
                     where c.upload = uploads.number and c.sequence >= uploads.prefix
                         and exists (select 1 from chunks f
                             where f.upload = uploads.number and f.sequence = uploads.prefix)
                         and not exists (select 1 from chunks n
                             where n.upload = c.upload and n.sequence = c.sequence + 1)
                     order by c.sequence limit 1), prefix)
             from {rows $1}
             where uploads.number = cast(e.value ->> 0 as bigint)
             returning uploads.number, uploads.prefix",
            json(advances)?
        )?)
    }

    /// Takes back what was said to be stored: sets whether the header is, the prefix, and how many fewer chunks are.
    pub(crate) async fn withdraw(
        &mut self,
        number: i64,
        header_stored: bool,
        prefix: i64,
        fewer: i64,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "update uploads set missing_below = {greatest}(missing_below, prefix), prefix = $2, stored = stored - $3,
                 header_stored = $4, touched_at = {now}
             where number = $1",
            number,
            prefix,
            fewer,
            header_stored
        )?;
        Ok(())
    }

    /// Counts results, and finishes the uploads that have them all.
    pub(crate) async fn count_done(&mut self, counts: &[(i64, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update uploads set done = done + cast(e.value ->> 1 as bigint), touched_at = {now},
                 finished_at = case when done + cast(e.value ->> 1 as bigint) >= files then {now} end
             from {rows $1} where uploads.number = cast(e.value ->> 0 as bigint)",
            json(counts)?
        )?;
        Ok(())
    }

    pub(crate) async fn mark_cancelled(&mut self, numbers: &[(i64,)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update uploads set cancelled = true
             where number in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(numbers)?
        )?;
        Ok(())
    }
}

impl Store {
    /// Uploads that are still to be stored and were not touched since `before`, by number after this one.
    pub(crate) async fn abandoned(&self, before: i64, after: i64, limit: i64) -> Result<Vec<(i64,)>, StoreError> {
        Ok(read!(
            self,
            (i64,),
            "select number from uploads
             where finished_at is null and touched_at < $1 and not cancelled
                 and (prefix < chunks or not header_stored) and number > $2
             order by number limit $3",
            before,
            after,
            limit
        )?)
    }
}
