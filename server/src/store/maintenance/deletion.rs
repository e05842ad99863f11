//! What nobody needs any more: objects first, then the rows that name them.

use crate::store::dialect::{execute, read};
use crate::store::queue::ResultPlace;
use crate::store::{Store, StoreError, Tx, json};

/// An upload that is finished and whose objects are still to be deleted.
#[derive(Clone, Debug)]
pub(crate) struct DoomedUpload {
    pub(crate) number: i64,
    pub(crate) id: String,
    pub(crate) header_sha256: String,
}

crate::store::from_row!(DoomedUpload { number, id, header_sha256 });

/// A chunk to delete: upload, its id, sequence, SHA-256.
pub(crate) type DoomedChunk = (i64, String, i64, String);

/// A replaced chunk: upload, its id, sequence, SHA-256, and whether the content counts again: it was stored once more.
pub(crate) type DoomedReplaced = (i64, String, i64, String, bool);

/// A stored result past its retention: upload, its id, index, fence, SHA-256.
pub(crate) type DoomedResult = (i64, String, i64, i64, String);

impl Store {
    /// Finished uploads whose objects are not deleted yet.
    pub(crate) async fn doomed_uploads(&self, limit: i64) -> Result<Vec<DoomedUpload>, StoreError> {
        Ok(read!(
            self,
            DoomedUpload,
            "select number, id, header_sha256 from uploads
             where finished_at is not null and not emptied order by number limit $1",
            limit
        )?)
    }

    /// The chunks of these uploads, in order.
    pub(crate) async fn doomed_chunks(&self, uploads: &[(i64,)], limit: i64) -> Result<Vec<DoomedChunk>, StoreError> {
        Ok(read!(
            self,
            DoomedChunk,
            "select c.upload, u.id, c.sequence, c.sha256
             from {rows $1} join chunks c on c.upload = cast(e.value ->> 0 as bigint)
             join uploads u on u.number = c.upload
             order by c.upload, c.sequence limit $2",
            json(uploads)?,
            limit
        )?)
    }

    /// Replaced chunks that were due by `now`.
    pub(crate) async fn doomed_replaced(&self, now: i64, limit: i64) -> Result<Vec<DoomedReplaced>, StoreError> {
        Ok(read!(
            self,
            DoomedReplaced,
            "select p.upload, u.id, p.sequence, p.sha256,
                 exists (select 1 from chunks c
                     where c.upload = p.upload and c.sequence = p.sequence and c.sha256 = p.sha256)
             from replaced p join uploads u on u.number = p.upload
             where p.due <= $1 order by p.due limit $2",
            now,
            limit
        )?)
    }

    /// Uploads whose results were kept long enough: those that were finished before `taken` where their uploader has taken them
    /// all in and has none still to fetch, else before `untaken`. With the number of their files.
    pub(crate) async fn past_retention(
        &self,
        taken: i64,
        untaken: i64,
        devices_since: i64,
        limit: i64,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(read!(
            self,
            (i64, i64),
            "select number, files from uploads
             where finished_at is not null and finished_at < $1 and emptied
                 and (finished_at < $2 or not exists (
                     select 1 from events v join members m on m.id = v.member
                     where v.upload = uploads.number and v.cursor > coalesce(
                         (select min(case when d.device = '' then m.taken else d.taken end) from devices d
                          where d.member = m.id and d.seen_at >= $4),
                         (select min(case when d.device = '' then m.taken else d.taken end) from devices d
                          where d.member = m.id),
                         m.taken))
                     and not exists (select 1 from unfetched f where f.upload = uploads.number))
             order by finished_at limit $3",
            taken,
            untaken,
            limit,
            devices_since
        )?)
    }

    /// Results of these uploads that are objects of their own.
    pub(crate) async fn doomed_results(&self, uploads: &[(i64,)], limit: i64) -> Result<Vec<DoomedResult>, StoreError> {
        Ok(read!(
            self,
            DoomedResult,
            "select v.upload, u.id, v.idx, v.fence, v.object_sha256
             from {rows $1} join events v on v.upload = cast(e.value ->> 0 as bigint)
             join uploads u on u.number = v.upload
             where v.object_sha256 is not null and v.idx is not null
             order by v.upload, v.idx limit $2",
            json(uploads)?,
            limit
        )?)
    }

    /// Which of these uploads (id) still need their objects.
    pub(crate) async fn unfinished_ids(&self, ids: &[(&str,)]) -> Result<Vec<(String,)>, StoreError> {
        Ok(read!(
            self,
            (String,),
            "select id from uploads where finished_at is null and id in (select e.value ->> 0 from {rows $1})",
            json(ids)?
        )?)
    }

    /// Which of these results (id of the upload, index) are objects, and which objects.
    pub(crate) async fn result_places(&self, jobs: &[(&str, u32)]) -> Result<Vec<ResultPlace>, StoreError> {
        Ok(read!(
            self,
            ResultPlace,
            "select u.id, v.idx, v.fence, v.object_sha256
             from {rows $1} join uploads u on u.id = e.value ->> 0
             join events v on v.upload = u.number and v.idx = cast(e.value ->> 1 as bigint)
             where v.object_sha256 is not null",
            json(jobs)?
        )?)
    }
}

impl Tx {
    /// Forgets chunks (upload, sequence) whose objects are gone.
    pub(crate) async fn forget_chunks(&mut self, chunks: &[(i64, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from chunks where (upload, sequence) in
                 (select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint) from {rows $1})",
            json(chunks)?
        )?;
        Ok(())
    }

    pub(crate) async fn forget_replaced(&mut self, chunks: &[(i64, i64, String)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from replaced where (upload, sequence, sha256) in
                 (select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint), e.value ->> 2 from {rows $1})",
            json(chunks)?
        )?;
        Ok(())
    }

    /// These uploads have no object left.
    pub(crate) async fn mark_emptied(&mut self, uploads: &[(i64,)]) -> Result<(), StoreError> {
        execute!(
            self,
            "update uploads set emptied = true
             where number in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            json(uploads)?
        )?;
        Ok(())
    }

    /// Forgets stored results (upload, index) whose objects are gone.
    pub(crate) async fn forget_results(&mut self, results: &[(i64, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from events where (upload, idx) in
                 (select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint) from {rows $1})",
            json(results)?
        )?;
        Ok(())
    }

    /// Forgets finished uploads and all that was said about them.
    pub(crate) async fn forget_uploads(&mut self, uploads: &[(i64,)]) -> Result<(), StoreError> {
        let numbers = json(uploads)?;
        execute!(
            self,
            "delete from events where upload in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            &numbers
        )?;
        execute!(
            self,
            "delete from unfetched where upload in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            &numbers
        )?;
        execute!(
            self,
            "delete from upload_tasks where upload in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            &numbers
        )?;
        execute!(
            self,
            "delete from uploads where number in (select cast(e.value ->> 0 as bigint) from {rows $1})",
            &numbers
        )?;
        Ok(())
    }
}
