//! What is to be done with each file, of uploads that say more than one release.

use crate::store::dialect::{execute, rows};
use crate::store::{StoreError, Tx, json};

/// A release that may run for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskRelease {
    pub(crate) upload: i64,
    pub(crate) task: i64,
    pub(crate) place: i64,
    pub(crate) release: String,
    pub(crate) needs: i64,
}

crate::store::from_row!(TaskRelease { upload, task, place, release, needs });

/// One to write: upload, task, place, release, needs.
pub(crate) type NewTaskRelease<'a> = (i64, i64, i64, &'a str, i64);

impl Tx {
    pub(crate) async fn insert_tasks(&mut self, tasks: &[NewTaskRelease<'_>]) -> Result<(), StoreError> {
        execute!(
            self,
            "insert into upload_tasks (upload, task, place, release, needs)
             select cast(e.value ->> 0 as bigint), cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint),
                 e.value ->> 3, cast(e.value ->> 4 as bigint)
             from {rows $1}",
            json(tasks)?
        )?;
        Ok(())
    }

    /// The tasks of these uploads, unsorted.
    pub(crate) async fn tasks_of(&mut self, uploads: &[(i64,)]) -> Result<Vec<TaskRelease>, StoreError> {
        Ok(rows!(
            self,
            TaskRelease,
            "select t.upload, t.task, t.place, t.release, t.needs
             from {rows $1} join upload_tasks t on t.upload = cast(e.value ->> 0 as bigint)",
            json(uploads)?
        )?)
    }
}
