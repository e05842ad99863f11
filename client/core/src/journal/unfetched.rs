//! Results that are still to be fetched, and starting over where the server has another database than it had.

use filemill_seal::UploadId;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::files::asked_places;
use super::{Journal, ROWS_PER_STATEMENT, index, upload_id};
use crate::error::Error;

/// A result that could not be fetched or checked.
#[derive(Clone, Debug)]
pub(crate) struct Unfetched {
    pub(crate) upload: UploadId,
    /// The job's number.
    pub(crate) job: u32,
    /// Of its event. The jobs of a batch have one and the same.
    pub(crate) cursor: i64,
    /// What the server says of the job.
    pub(crate) outcome: String,
    /// Why not, for people.
    pub(crate) reason: String,
}

impl Journal {
    /// The results of `account` that are still to be fetched, those that failed least often first; up to `limit`.
    pub(crate) async fn unfetched(&self, account: &str, limit: u32) -> Result<Vec<Unfetched>, Error> {
        let rows = sqlx::query("select * from unfetched where account = $1 order by attempts, cursor limit $2")
            .bind(account.to_owned())
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| self.failed(&error))
    }

    /// Those of the jobs whose results are still to be fetched.
    pub(crate) async fn unfetched_of(&self, asked: &[(UploadId, u32)]) -> Result<Vec<Unfetched>, Error> {
        let mut found = Vec::new();
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            let mut query = asked_places(asked);
            query.push(
                "select unfetched.* from asked \
                 cross join unfetched on unfetched.upload = asked.upload and unfetched.idx = asked.idx",
            );
            for row in query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))? {
                found.push(read(&row).map_err(|error| self.failed(&error))?);
            }
        }
        Ok(found)
    }

    /// Writes down of each of these why it could not be fetched once more.
    pub(crate) async fn not_fetched(&self, left: Vec<((UploadId, u32), String)>) -> Result<(), Error> {
        if left.is_empty() {
            return Ok(());
        }
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for ((upload, job), reason) in left {
                        sqlx::query(
                            "update unfetched set reason = $1, attempts = attempts + 1 where upload = $2 and idx = $3",
                        )
                        .bind(reason)
                        .bind(upload.as_bytes().to_vec())
                        .bind(i64::from(job))
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Reads the events of `account` from the beginning again. What is known stays; what is still to be fetched is found again if the
    /// server has it.
    pub(crate) async fn start_over(&self, account: String) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for statement in
                        ["delete from cursors where account = $1", "delete from unfetched where account = $1"]
                    {
                        sqlx::query(statement).bind(account.clone()).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Those of the uploads that the server had in full, as far as is known here, and that have files without a result.
    pub(crate) async fn waited_for(&self, uploads: &[UploadId]) -> Result<Vec<UploadId>, Error> {
        let mut found = Vec::new();
        for uploads in uploads.chunks(ROWS_PER_STATEMENT) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "select id from uploads where state = 'stored' \
                 and exists (select 1 from files where files.upload = uploads.id and files.state = 'open' \
                 and files.reused = 0 and coalesce(files.verdict, 0) = 0) and id in (",
            );
            let mut list = query.separated(", ");
            for upload in uploads {
                list.push_bind(upload.as_bytes().to_vec());
            }
            query.push(")");
            for row in query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))? {
                let id = row.try_get("id").and_then(upload_id).map_err(|error| self.failed(&error))?;
                found.push(id);
            }
        }
        Ok(found)
    }

    /// The server does not have all of the upload any more: it is to be gone on with.
    pub(crate) async fn doubt(&self, upload: UploadId) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update uploads set state = 'uploading' where id = $1 and state = 'stored'")
                        .bind(upload.as_bytes().to_vec())
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}

/// Remembers that results are still to be fetched, unless they came.
pub(super) async fn insert_unfetched(
    connection: &mut SqliteConnection,
    account: &str,
    unfetched: &[Unfetched],
) -> Result<(), sqlx::Error> {
    for one in unfetched {
        sqlx::query(
            "insert into unfetched (upload, idx, account, cursor, outcome, reason) select $1, $2, $3, $4, $5, $6 \
             where not exists (select 1 from results where upload = $1 and idx = $2) \
             on conflict (upload, idx) do update set cursor = excluded.cursor",
        )
        .bind(one.upload.as_bytes().to_vec())
        .bind(i64::from(one.job))
        .bind(account.to_owned())
        .bind(one.cursor)
        .bind(one.outcome.clone())
        .bind(one.reason.clone())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// They came.
pub(super) async fn forget_unfetched(
    connection: &mut SqliteConnection,
    places: &[(UploadId, u32)],
) -> Result<(), sqlx::Error> {
    // There are few, if any: most results come with their event.
    let any: Option<i64> =
        sqlx::query_scalar("select 1 from unfetched limit 1").fetch_optional(&mut *connection).await?;
    if any.is_none() {
        return Ok(());
    }
    for (upload, idx) in places {
        sqlx::query("delete from unfetched where upload = $1 and idx = $2")
            .bind(upload.as_bytes().to_vec())
            .bind(i64::from(*idx))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Unfetched, sqlx::Error> {
    Ok(Unfetched {
        upload: upload_id(row.try_get("upload")?)?,
        job: index(row.try_get("idx")?)?,
        cursor: row.try_get("cursor")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
    })
}
