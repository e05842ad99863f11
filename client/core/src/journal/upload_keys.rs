//! What results of an upload are checked against.

use filemill_seal::{DataKey, Digest, Format, UploadId};
use sqlx::Row;

use super::{Journal, corrupt, digest, index};
use crate::error::Error;

/// What results of an upload are checked against.
#[derive(Clone)]
pub(crate) struct UploadKeys {
    pub(crate) key: DataKey,
    pub(crate) header_digest: Digest,
    pub(crate) format: Format,
    /// The releases of each task, of which any may run. There is at least one task, with a release.
    pub(crate) tasks: Vec<Vec<Digest>>,
    /// How many files it has, as far as the journal knows.
    pub(crate) files: u32,
}

impl UploadKeys {
    /// The task and the file that make up a job; `None` if there is no such task.
    pub(crate) fn task_and_file(&self, job: u32) -> Option<(u32, u32)> {
        if self.tasks.len() == 1 {
            return Some((0, job));
        }
        let (task, index) = (job.checked_div(self.files)?, job.checked_rem(self.files)?);
        ((task as usize) < self.tasks.len()).then_some((task, index))
    }

    /// The releases that may run for a task.
    pub(crate) fn releases(&self, task: u32) -> &[Digest] {
        self.tasks.get(task as usize).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Journal {
    /// What results of `upload` are checked against; `None` if it is not known here.
    pub(crate) async fn upload_keys(&self, upload: UploadId) -> Result<Option<UploadKeys>, Error> {
        let row = sqlx::query(
            "select data_key, header_digest, format, release, tasks, \
             (select coalesce(max(idx), -1) + 1 from files where files.upload = uploads.id and reused = 0) as files \
             from uploads where id = $1",
        )
        .bind(upload.as_bytes().to_vec())
        .fetch_optional(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        row.map(|row| {
            let tasks = match row.try_get::<Option<&str>, _>("tasks")? {
                None => vec![vec![digest(row.try_get("release")?)?]],
                Some(tasks) => read_tasks(tasks)?,
            };
            Ok(UploadKeys {
                key: data_key(row.try_get("data_key")?)?,
                header_digest: digest(row.try_get("header_digest")?)?,
                format: header_format(row.try_get("format")?)?,
                tasks,
                files: index(row.try_get("files")?)?,
            })
        })
        .transpose()
        .map_err(|error: sqlx::Error| self.failed(&error))
    }

    /// The sealed header of `upload`, as long as some file waits for its result.
    pub(crate) async fn sealed_header(&self, upload: UploadId) -> Result<Option<Vec<u8>>, Error> {
        let header: Option<Option<Vec<u8>>> = sqlx::query_scalar("select header from uploads where id = $1")
            .bind(upload.as_bytes().to_vec())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(header.flatten())
    }
}

/// The format of that number.
pub(super) fn header_format(number: i64) -> Result<Format, sqlx::Error> {
    u64::try_from(number).ok().and_then(Format::from_number).ok_or_else(|| corrupt("format"))
}

/// The releases of each task, as they stand in the journal.
fn read_tasks(json: &str) -> Result<Vec<Vec<Digest>>, sqlx::Error> {
    let tasks: Vec<Vec<Digest>> = serde_json::from_str(json).map_err(|_| corrupt("tasks"))?;
    if tasks.is_empty() || tasks.iter().any(Vec::is_empty) { Err(corrupt("tasks")) } else { Ok(tasks) }
}

pub(super) fn data_key(bytes: &[u8]) -> Result<DataKey, sqlx::Error> {
    bytes.try_into().map(DataKey::from_bytes).map_err(|_| corrupt("data_key"))
}
