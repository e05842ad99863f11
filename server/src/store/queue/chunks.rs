//! Which chunks are stored, and as what.

use crate::store::dialect::{execute, read, rows};
use crate::store::{Store, StoreError, Tx, json};

/// A chunk that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRow {
    pub(crate) upload: i64,
    pub(crate) sequence: i64,
    pub(crate) length: i64,
    pub(crate) sha256: String,
}

crate::store::from_row!(ChunkRow { upload, sequence, length, sha256 });

/// A chunk that was stored: upload, sequence, length, SHA-256.
pub(crate) type StoredChunk<'a> = (i64, i64, i64, &'a str);

/// One row of what a lease may read: id of the upload, and a chunk if there is one.
pub(crate) type LeaseChunk = (String, i64, Option<i64>, Option<i64>, Option<String>);

impl Tx {
    /// Those of the chunks (upload, sequence) that are stored.
    pub(crate) async fn chunks(&mut self, places: &[(i64, i64)]) -> Result<Vec<ChunkRow>, StoreError> {
        Ok(rows!(
            self,
            ChunkRow,
            "select c.upload, c.sequence, c.length, c.sha256
             from {rows $1} join chunks c
                 on c.upload = cast(e.value ->> 0 as bigint) and c.sequence = cast(e.value ->> 1 as bigint)",
            json(places)?
        )?)
    }

    /// The stored chunks within ranges (upload, first, last), in order.
    pub(crate) async fn chunks_within(&mut self, ranges: &[(i64, i64, i64)]) -> Result<Vec<ChunkRow>, StoreError> {
        Ok(rows!(
            self,
            ChunkRow,
            "select distinct c.upload, c.sequence, c.length, c.sha256
             from {rows $1} join chunks c
                 on c.upload = cast(e.value ->> 0 as bigint)
                 and c.sequence between cast(e.value ->> 1 as bigint) and cast(e.value ->> 2 as bigint)
             order by c.upload, c.sequence",
            json(ranges)?
        )?)
    }

    /// Records chunks; one that was recorded with another content is replaced.
    pub(crate) async fn put_chunks(&mut self, chunks: &[StoredChunk<'_>]) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into chunks (upload, sequence, length, sha256)
             select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint),
                 e.value ->> 3
             from {rows $1} where true
             on conflict (upload, sequence) do update set length = excluded.length, sha256 = excluded.sha256",
            json(chunks)?
        )?;
        Ok(())
    }

    /// Dooms the objects of chunks that were replaced (upload, sequence, SHA-256), when readers are done with them.
    pub(crate) async fn doom_replaced(&mut self, chunks: &[(i64, i64, &str)], after_ms: i64) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into replaced (upload, sequence, sha256, due)
             select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint), e.value ->> 2, {now} + $2
             from {rows $1} where true
             on conflict (upload, sequence, sha256) do nothing",
            json(chunks)?,
            after_ms
        )?;
        Ok(())
    }

    /// Forgets chunks (sequence, SHA-256) of an upload that are still recorded with that content, and answers which.
    pub(crate) async fn withdraw_chunks(
        &mut self,
        upload: i64,
        chunks: &[(i64, &str)],
    ) -> Result<Vec<(i64,)>, StoreError> {
        Ok(rows!(
            self,
            (i64,),
            "delete from chunks
             where upload = $2
                 and (sequence, sha256) in (select cast(e.value ->> 0 as bigint), e.value ->> 1 from {rows $1})
             returning sequence",
            json(chunks)?,
            upload
        )?)
    }
}

impl Store {
    /// The sequences of an upload's stored chunks from `from` on, in order.
    pub(crate) async fn sequences_from(&self, upload: i64, from: i64, limit: i64) -> Result<Vec<(i64,)>, StoreError> {
        Ok(read!(
            self,
            (i64,),
            "select sequence from chunks where upload = $1 and sequence >= $2 order by sequence limit $3",
            upload,
            from,
            limit
        )?)
    }

    /// What a lease may read of the chunks `from` to before `to`; no row: the lease is not held.
    pub(crate) async fn lease_chunks(
        &self,
        pool: &str,
        run: i64,
        fence: i64,
        from: i64,
        to: i64,
    ) -> Result<Vec<LeaseChunk>, StoreError> {
        Ok(read!(
            self,
            LeaseChunk,
            "select u.id, r.last_chunk, c.sequence, c.length, c.sha256
             from runs r join uploads u on u.number = r.upload
             left join chunks c
                 on c.upload = r.upload and c.sequence >= $3 and c.sequence < $4 and c.sequence <= r.last_chunk
             where r.id = $1 and r.fence = $2 and r.state + 0 = 3 and r.pool = $5
             order by c.sequence",
            run,
            fence,
            from,
            to,
            pool
        )?)
    }
}
