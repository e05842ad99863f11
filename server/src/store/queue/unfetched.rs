//! Results whose reader has read on, and could not fetch them yet.
//!
//! No statement reads `asked_at`: it tells people who look at a database since when a result has been waited for.
//!
//! `member + 0`: each row is found by upload and index. SQLite, which has no statistics, else goes through all that a member has.

use crate::store::dialect::{execute, read};
use crate::store::{Store, StoreError, Tx, json};

/// A recorded result.
#[derive(Clone, Debug)]
pub(crate) struct ResultRow {
    /// Id of the upload.
    pub(crate) upload: String,
    pub(crate) idx: i64,
    pub(crate) kind: String,
    pub(crate) fence: i64,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) object_length: Option<i64>,
    pub(crate) object_sha256: Option<String>,
    /// It is kept until it is fetched.
    pub(crate) kept: bool,
}

crate::store::from_row!(ResultRow { upload, idx, kind, fence, body, object_length, object_sha256, kept });

impl Tx {
    /// Keeps these results (id of the upload, index) of a member, as far as they are there and it has no more than `most` of them.
    pub(crate) async fn keep_unfetched(
        &mut self,
        member: i64,
        results: &[(&str, u32)],
        most: i64,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into unfetched (upload, idx, member, asked_at)
             select v.upload, v.idx, v.member, {now}
             from {rows $2} join uploads u on u.id = e.value ->> 0
             join events v on v.upload = u.number and v.idx = cast(e.value ->> 1 as bigint)
             where v.member + 0 = $1
                 and not exists (select 1 from unfetched f where f.upload = v.upload and f.idx = v.idx)
             limit {greatest}(0, $3 - (select count(*) from unfetched f where f.member = $1))
             on conflict do nothing",
            member,
            json(results)?,
            most
        )?;
        Ok(())
    }

    /// These results (id of the upload, index) of a member need not be kept any more.
    pub(crate) async fn forget_unfetched(&mut self, member: i64, results: &[(&str, u32)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from unfetched where member + 0 = $1 and (upload, idx) in
                 (select u.number, cast(e.value ->> 1 as bigint) from {rows $2} join uploads u on u.id = e.value ->> 0)",
            member,
            json(results)?
        )?;
        Ok(())
    }
}

impl Store {
    /// Those of these results (id of the upload, index) that are there and a member's.
    pub(crate) async fn results(&self, member: i64, results: &[(&str, u32)]) -> Result<Vec<ResultRow>, StoreError> {
        Ok(read!(
            self,
            ResultRow,
            "select u.id as upload, v.idx, v.kind, v.fence, v.body, v.object_length, v.object_sha256,
                 exists (select 1 from unfetched f where f.upload = v.upload and f.idx = v.idx) as kept
             from {rows $2} join uploads u on u.id = e.value ->> 0
             join events v on v.upload = u.number and v.idx = cast(e.value ->> 1 as bigint)
             where v.member + 0 = $1",
            member,
            json(results)?
        )?)
    }
}
