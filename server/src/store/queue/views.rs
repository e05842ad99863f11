//! What people read about their uploads.

use super::UploadRow;
use crate::store::dialect::read;
use crate::store::{Store, StoreError};

/// A run, as far as its reader cares.
#[derive(Clone, Debug)]
pub(crate) struct RunView {
    pub(crate) id: i64,
    pub(crate) needs: i64,
    pub(crate) hi: i64,
    pub(crate) gone: i64,
    pub(crate) state: i64,
    pub(crate) last_chunk: i64,
    /// Whatever is stored, it rests for a while.
    pub(crate) paused: bool,
    pub(crate) attempt: i64,
    pub(crate) per_mille: i64,
}

crate::store::from_row!(RunView { id, needs, hi, gone, state, last_chunk, paused, attempt, per_mille });

/// Where a recorded result is: upload's id, index, fence, SHA-256.
pub(crate) type ResultPlace = (String, i64, i64, String);

impl Store {
    /// A member's uploads that are not finished, oldest first, behind the one of that number.
    pub(crate) async fn unfinished(&self, member: i64, after: i64, limit: i64) -> Result<Vec<UploadRow>, StoreError> {
        Ok(read!(
            self,
            UploadRow,
            "select number, id, organisation, member, release, pool, header_length, header_sha256, header_stored,
                 files, tasks, listed, chunks, ranges_sha256, stored, prefix, missing_below, done, cancelled, finished_at
             from uploads where member = $1 and number > $2 and finished_at is null order by number limit $3",
            member,
            after,
            limit
        )?)
    }

    /// A member's upload.
    pub(crate) async fn upload(&self, member: i64, id: &str) -> Result<Option<UploadRow>, StoreError> {
        let found = read!(
            self,
            UploadRow,
            "select number, id, organisation, member, release, pool, header_length, header_sha256, header_stored,
                 files, tasks, listed, chunks, ranges_sha256, stored, prefix, missing_below, done, cancelled, finished_at
             from uploads where id = $1 and member = $2",
            id,
            member
        )?;
        Ok(found.into_iter().next())
    }

    /// The runs of an upload, unsorted.
    pub(crate) async fn runs_of(&self, upload: i64) -> Result<Vec<RunView>, StoreError> {
        Ok(read!(
            self,
            RunView,
            "select id, needs, hi, gone, state, last_chunk, due_at is not null as paused, attempt, per_mille
             from runs where id >= $1 and id < $2",
            super::runs::run_id(upload, 0),
            super::runs::run_id(upload + 1, 0)
        )?)
    }
}
