//! Results in the journal: each enters together with the cursor that it was read at.

use std::collections::BTreeSet;

use filemill_seal::UploadId;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::files::asked_places;
use super::grown::{REUSED, supersede};
use super::unfetched::{forget_unfetched, insert_unfetched};
use super::{Journal, ROWS_PER_STATEMENT, Unfetched, index, unsigned, upload_id};
use crate::api::Position;
use crate::error::Error;

/// A result that came.
pub(crate) struct Arrived {
    pub(crate) upload: UploadId,
    pub(crate) index: u32,
    pub(crate) cursor: i64,
    /// What the sealed result says, else what the server says.
    pub(crate) outcome: &'static str,
    /// Why it is not shown.
    pub(crate) refusal: Option<String>,
    /// The age file.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// Chunks that must be sent again.
pub(crate) struct Missing {
    pub(crate) upload: UploadId,
    pub(crate) sequences: Vec<u32>,
}

/// A result as it was kept.
pub(crate) struct KeptResult {
    pub(crate) upload: UploadId,
    pub(crate) index: u32,
    pub(crate) outcome: String,
    pub(crate) refusal: Option<String>,
    pub(crate) sealed: Option<Vec<u8>>,
}

impl Journal {
    /// Where to read on in the events of `account`; 0 at the beginning.
    pub(crate) async fn position(&self, account: &str) -> Result<Position, Error> {
        let row = sqlx::query("select cursor, mark from cursors where account = $1")
            .bind(account.to_owned())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        let Some(row) = row else { return Ok(Position::default()) };
        let read = || Ok(Position { cursor: row.try_get("cursor")?, mark: row.try_get("mark")? });
        read().map_err(|error: sqlx::Error| self.failed(&error))
    }

    /// Takes in what came up to `position`, in one transaction. What is known already stays as it is: the same events may
    /// come to several programs of one home.
    pub(crate) async fn take_in(
        &self,
        account: String,
        position: Position,
        results: Vec<Arrived>,
        missing: Vec<Missing>,
        unfetched: Vec<Unfetched>,
    ) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    keep_results(connection, &results).await?;
                    insert_unfetched(connection, &account, &unfetched).await?;
                    for missing in missing {
                        mark_missing(connection, &missing).await?;
                    }
                    sqlx::query(
                        "insert into cursors (account, cursor, mark) values ($1, $2, $3) \
                         on conflict (account) do update set cursor = excluded.cursor, mark = excluded.mark \
                         where excluded.cursor > cursors.cursor",
                    )
                    .bind(account)
                    .bind(position.cursor)
                    .bind(position.mark)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// The results that came for these places.
    pub(crate) async fn results(&self, asked: &[(UploadId, u32)]) -> Result<Vec<KeptResult>, Error> {
        let mut kept = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            let mut query = asked_places(asked);
            query.push(
                "select results.* from asked cross join results on results.upload = asked.upload and results.idx = asked.idx",
            );
            let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
            for row in rows {
                kept.push(read_kept(&row).map_err(|error| self.failed(&error))?);
            }
        }
        Ok(kept)
    }

    /// Takes in results that were still to be fetched.
    pub(crate) async fn take_in_fetched(&self, results: Vec<Arrived>) -> Result<(), Error> {
        self.writer.write(move |connection| Box::pin(async move { keep_results(connection, &results).await })).await
    }

    /// How many bytes the results have that came for these places.
    pub(crate) async fn result_sizes(&self, asked: &[(UploadId, u32)]) -> Result<Vec<((UploadId, u32), u64)>, Error> {
        let mut sizes = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            let mut query = asked_places(asked);
            query.push(
                "select results.upload, results.idx, coalesce(length(results.sealed), 0) as bytes from asked \
                 cross join results on results.upload = asked.upload and results.idx = asked.idx",
            );
            let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
            for row in rows {
                let read = || {
                    let place = (upload_id(row.try_get("upload")?)?, index(row.try_get("idx")?)?);
                    Ok((place, unsigned(row.try_get("bytes")?)))
                };
                sizes.push(read().map_err(|error: sqlx::Error| self.failed(&error))?);
            }
        }
        Ok(sizes)
    }

    /// Those of the places for which results came.
    pub(crate) async fn with_result(&self, asked: &[(UploadId, u32)]) -> Result<Vec<(UploadId, u32)>, Error> {
        let mut places = Vec::new();
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            let mut query = asked_places(asked);
            query.push(
                "select results.upload, results.idx from asked \
                 cross join results on results.upload = asked.upload and results.idx = asked.idx",
            );
            let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
            for row in rows {
                let read = || Ok((upload_id(row.try_get("upload")?)?, index(row.try_get("idx")?)?));
                places.push(read().map_err(|error: sqlx::Error| self.failed(&error))?);
            }
        }
        Ok(places)
    }
}

fn read_kept(row: &SqliteRow) -> Result<KeptResult, sqlx::Error> {
    Ok(KeptResult {
        upload: upload_id(row.try_get("upload")?)?,
        index: index(row.try_get("idx")?)?,
        outcome: row.try_get("outcome")?,
        refusal: row.try_get("refusal")?,
        sealed: row.try_get("sealed")?,
    })
}

/// Writes results down, and ends the files whose they are.
pub(super) async fn keep_results(connection: &mut SqliteConnection, results: &[Arrived]) -> Result<(), sqlx::Error> {
    for rows in results.chunks(ROWS_PER_STATEMENT) {
        insert_results(connection, rows).await?;
        end_files(connection, rows).await?;
        let places: Vec<_> = rows.iter().map(|result| (result.upload, result.index)).collect();
        supersede(connection, &places).await?;
    }
    let uploads: BTreeSet<UploadId> = results.iter().map(|result| result.upload).collect();
    for upload in uploads {
        forget_header(connection, upload).await?;
    }
    let places: Vec<_> = results.iter().map(|result| (result.upload, result.index)).collect();
    forget_unfetched(connection, &places).await
}

async fn insert_results(connection: &mut SqliteConnection, rows: &[Arrived]) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("insert into results (upload, idx, cursor, outcome, refusal, sealed) ");
    query.push_values(rows, |mut row, result| {
        row.push_bind(result.upload.as_bytes().to_vec())
            .push_bind(i64::from(result.index))
            .push_bind(result.cursor)
            .push_bind(result.outcome)
            .push_bind(result.refusal.clone())
            .push_bind(result.sealed.clone());
    });
    query.push(" on conflict (upload, idx) do nothing");
    query.build().execute(connection).await?;
    Ok(())
}

/// A file that is to be sent again stays open: the result of its former place is not its own.
async fn end_files(connection: &mut SqliteConnection, rows: &[Arrived]) -> Result<(), sqlx::Error> {
    let places: Vec<_> = rows.iter().map(|result| (result.upload, result.index)).collect();
    for reused in REUSED {
        end_query(&places, reused).build().execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) fn end_query(places: &[(UploadId, u32)], reused: &str) -> QueryBuilder<Sqlite> {
    let mut query = asked_places(places);
    // As in `places_query`: not by the order that SQLite would choose.
    query.push(
        "update files set state = 'done' where id in (select came.id from asked cross join files as came \
         on came.upload = asked.upload and came.idx = asked.idx and came.state = 'open' \
         and coalesce(came.verdict, 0) = 0 \
         and not exists (select 1 from uploads where uploads.id = came.upload and uploads.state = 'abandoned') \
         and came.reused = ",
    );
    query.push(reused).push(")");
    query
}

/// Forgets the sealed header of an upload whose files all have their results: until then storage may turn out to lack it.
async fn forget_header(connection: &mut SqliteConnection, upload: UploadId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update uploads set header = null where id = $1 and state = 'stored' and header is not null \
         and not exists (select 1 from files where files.upload = uploads.id and files.state = 'open')",
    )
    .bind(upload.as_bytes().to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

async fn mark_missing(connection: &mut SqliteConnection, missing: &Missing) -> Result<(), sqlx::Error> {
    let upload = missing.upload.as_bytes().to_vec();
    for sequence in &missing.sequences {
        sqlx::query("update chunks set stored_bytes = null, stored_sha256 = null where upload = $1 and sequence = $2")
            .bind(upload.clone())
            .bind(i64::from(*sequence))
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("update uploads set state = 'uploading' where id = $1 and state = 'stored'")
        .bind(upload)
        .execute(connection)
        .await?;
    Ok(())
}
