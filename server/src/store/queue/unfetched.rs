//! Results whose reader has read on, and could not fetch them yet.
//!
//! No statement reads `asked_at`: it tells people who look at a database since when a result has been waited for.
//!
//! `member + 0`: each row is found by upload and index. SQLite, which has no statistics, else goes through all that a member has.

use crate::store::dialect::{execute, read};
use crate::store::{Store, StoreError, Tx, json};

/// Where the result of a job may be: in the row of its own, or in that of a batch which begins with an earlier job.
#[derive(Clone, Debug)]
pub(crate) struct ResultAt {
    /// Id of the upload, and the job.
    pub(crate) upload: String,
    pub(crate) job: i64,
    pub(crate) number: i64,
    /// The row's first job, and those of its batch.
    pub(crate) idx: i64,
    pub(crate) jobs: Option<String>,
}

crate::store::from_row!(ResultAt { upload, job, number, idx, jobs });

/// A recorded result.
#[derive(Clone, Debug)]
pub(crate) struct ResultRow {
    /// Id of the upload.
    pub(crate) upload: String,
    pub(crate) number: i64,
    pub(crate) idx: i64,
    pub(crate) jobs: Option<String>,
    pub(crate) kind: String,
    pub(crate) fence: i64,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) object_length: Option<i64>,
    pub(crate) object_sha256: Option<String>,
    /// It is kept until it is fetched.
    pub(crate) kept: bool,
}

crate::store::from_row!(ResultRow { upload, number, idx, jobs, kind, fence, body, object_length, object_sha256, kept });

impl Tx {
    /// Keeps these results (number of the upload, first job) of a member, as far as they are there and it has no more than `most` of them.
    pub(crate) async fn keep_unfetched(
        &mut self,
        member: i64,
        results: &[(i64, i64)],
        most: i64,
    ) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into unfetched (upload, idx, member, asked_at)
             select v.upload, v.idx, v.member, {now}
             from {rows $2}
             join events v on v.upload = cast(e.value ->> 0 as bigint) and v.idx = cast(e.value ->> 1 as bigint)
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

    /// These results (number of the upload, first job) of a member need not be kept any more.
    pub(crate) async fn forget_unfetched(&mut self, member: i64, results: &[(i64, i64)]) -> Result<(), StoreError> {
        execute!(
            self,
            "delete from unfetched where member + 0 = $1 and (upload, idx) in
                 (select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint) from {rows $2})",
            member,
            json(results)?
        )?;
        Ok(())
    }
}

impl Store {
    /// Where the results of these jobs (id of the upload, job) of a member may be; of `most` jobs in a row.
    pub(crate) async fn results_at(
        &self,
        member: i64,
        jobs: &[(&str, u32)],
        most: u32,
    ) -> Result<Vec<ResultAt>, StoreError> {
        Ok(read!(
            self,
            ResultAt,
            "select u.id as upload, cast(e.value ->> 1 as bigint) as job, u.number, v.idx, v.jobs
             from {rows $2} join uploads u on u.id = e.value ->> 0
             join events v on v.upload = u.number and v.idx <= cast(e.value ->> 1 as bigint)
                 and v.idx > cast(e.value ->> 1 as bigint) - $3
                 and (v.jobs is not null or v.idx = cast(e.value ->> 1 as bigint))
             where v.member + 0 = $1",
            member,
            json(jobs)?,
            i64::from(most)
        )?)
    }

    /// Those of these results (number of the upload, first job) that are there and a member's.
    pub(crate) async fn results(&self, member: i64, results: &[(i64, i64)]) -> Result<Vec<ResultRow>, StoreError> {
        Ok(read!(
            self,
            ResultRow,
            "select u.id as upload, u.number, v.idx, v.jobs, v.kind, v.fence, v.body, v.object_length, v.object_sha256,
                 exists (select 1 from unfetched f where f.upload = v.upload and f.idx = v.idx) as kept
             from {rows $2} join uploads u on u.number = cast(e.value ->> 0 as bigint)
             join events v on v.upload = u.number and v.idx = cast(e.value ->> 1 as bigint)
             where v.member + 0 = $1",
            member,
            json(results)?
        )?)
    }
}
