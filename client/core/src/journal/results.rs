//! Results in the journal: each enters together with the cursor that it was read at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

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
    /// The job's number.
    pub(crate) job: u32,
    pub(crate) cursor: i64,
    /// What the sealed result says, else what the server says.
    pub(crate) outcome: &'static str,
    /// Why it is not shown.
    pub(crate) refusal: Option<String>,
    /// The age file: a single result; or what came, if it is not to be believed.
    pub(crate) sealed: Option<Vec<u8>>,
    /// The batch that it came in, which the others of it share.
    pub(crate) batch: Option<SealedBatch>,
}

/// A batch of results as it came.
#[derive(Clone, Debug)]
pub(crate) struct SealedBatch {
    pub(crate) sealed: Arc<[u8]>,
    /// How many results it has.
    pub(crate) members: u32,
}

/// Chunks that must be sent again.
pub(crate) struct Missing {
    pub(crate) upload: UploadId,
    pub(crate) sequences: Vec<u32>,
}

/// A job, and the age file of its result alone.
pub(crate) type Single = ((UploadId, u32), Vec<u8>);

/// A result as it was kept.
pub(crate) struct KeptResult {
    pub(crate) upload: UploadId,
    /// The job's number.
    pub(crate) job: u32,
    pub(crate) outcome: String,
    pub(crate) refusal: Option<String>,
    /// The age file of this result alone, if there is one.
    pub(crate) sealed: Option<Vec<u8>>,
    /// Else the batch that it is in, which the others of it share.
    pub(crate) batch: Option<Arc<[u8]>>,
}

/// What is read into memory for a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptBytes {
    /// Of its own age file, or else of the whole batch.
    pub(crate) bytes: u64,
    /// The id of that batch, which is read once for all of it.
    pub(crate) batch: Option<i64>,
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

    /// The results that came for these jobs.
    pub(crate) async fn results(&self, asked: &[(UploadId, u32)]) -> Result<Vec<KeptResult>, Error> {
        let mut kept = Vec::with_capacity(asked.len());
        let mut batches = HashMap::new();
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            let mut query = asked_places(asked);
            query.push(
                "select results.* from asked cross join results on results.upload = asked.upload and results.idx = asked.idx",
            );
            let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
            for row in rows {
                let read = || Ok((read_kept(&row)?, row.try_get::<Option<i64>, _>("batch")?));
                let (result, batch) = read().map_err(|error: sqlx::Error| self.failed(&error))?;
                let Some(batch) = batch.filter(|_| result.sealed.is_none()) else {
                    kept.push(result);
                    continue;
                };
                // Where the journal has lost the batch, it has lost the result.
                let batch = self.batch(batch, &mut batches).await.map_err(|error| self.failed(&error))?;
                kept.extend(batch.map(|batch| KeptResult { batch: Some(batch), ..result }));
            }
        }
        Ok(kept)
    }

    /// The sealed batch of this id, which is among those that were read before or is read now; `None` if the journal has lost it.
    async fn batch(&self, id: i64, read: &mut HashMap<i64, Arc<[u8]>>) -> Result<Option<Arc<[u8]>>, sqlx::Error> {
        if let Some(batch) = read.get(&id) {
            return Ok(Some(Arc::clone(batch)));
        }
        let sealed: Option<Vec<u8>> = sqlx::query_scalar("select sealed from batches where id = $1")
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        let sealed: Option<Arc<[u8]>> = sealed.map(Into::into);
        if let Some(sealed) = &sealed {
            read.insert(id, Arc::clone(sealed));
        }
        Ok(sealed)
    }

    /// Keeps results by themselves that came in a batch, and says what is kept: what was before, if something was.
    pub(crate) async fn keep_singles(&self, singles: Vec<Single>) -> Result<Vec<Single>, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let mut kept = Vec::with_capacity(singles.len());
                    for ((upload, job), sealed) in singles {
                        let id = upload.as_bytes().to_vec();
                        sqlx::query("update results set sealed = $1 where upload = $2 and idx = $3 and sealed is null")
                            .bind(sealed)
                            .bind(id.clone())
                            .bind(i64::from(job))
                            .execute(&mut *connection)
                            .await?;
                        let sealed: Option<Option<Vec<u8>>> =
                            sqlx::query_scalar("select sealed from results where upload = $1 and idx = $2")
                                .bind(id)
                                .bind(i64::from(job))
                                .fetch_optional(&mut *connection)
                                .await?;
                        kept.extend(sealed.flatten().map(|sealed| ((upload, job), sealed)));
                    }
                    Ok(kept)
                })
            })
            .await
    }

    /// Takes in results that were still to be fetched.
    pub(crate) async fn take_in_fetched(&self, results: Vec<Arrived>) -> Result<(), Error> {
        self.writer.write(move |connection| Box::pin(async move { keep_results(connection, &results).await })).await
    }

    /// How many bytes are read for the results that came for these jobs.
    pub(crate) async fn result_sizes(
        &self,
        asked: &[(UploadId, u32)],
    ) -> Result<Vec<((UploadId, u32), KeptBytes)>, Error> {
        let mut sizes = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            let mut query = asked_places(asked);
            query.push(
                "select results.upload, results.idx, \
                 case when results.sealed is null then results.batch end as batch, coalesce(length(results.sealed), \
                 (select length(batches.sealed) from batches where batches.id = results.batch), 0) as bytes \
                 from asked cross join results on results.upload = asked.upload and results.idx = asked.idx",
            );
            let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
            for row in rows {
                let read = || {
                    let place = (upload_id(row.try_get("upload")?)?, index(row.try_get("idx")?)?);
                    Ok((place, KeptBytes { bytes: unsigned(row.try_get("bytes")?), batch: row.try_get("batch")? }))
                };
                sizes.push(read().map_err(|error: sqlx::Error| self.failed(&error))?);
            }
        }
        Ok(sizes)
    }

    /// Those of the jobs for which results came.
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
        job: index(row.try_get("idx")?)?,
        outcome: row.try_get("outcome")?,
        refusal: row.try_get("refusal")?,
        sealed: row.try_get("sealed")?,
        batch: None,
    })
}

/// Writes results down, and ends the files whose they are: with the result of the first task, whose jobs have the numbers of their files.
pub(super) async fn keep_results(connection: &mut SqliteConnection, results: &[Arrived]) -> Result<(), sqlx::Error> {
    let batches = insert_batches(connection, results).await?;
    for rows in results.chunks(ROWS_PER_STATEMENT) {
        insert_results(connection, rows, &batches).await?;
        end_files(connection, rows).await?;
        let places: Vec<_> = rows.iter().map(|result| (result.upload, result.job)).collect();
        supersede(connection, &places).await?;
    }
    let uploads: BTreeSet<UploadId> = results.iter().map(|result| result.upload).collect();
    for upload in uploads {
        forget_header(connection, upload).await?;
    }
    forget_useless_batches(connection, results, &batches).await?;
    let places: Vec<_> = results.iter().map(|result| (result.upload, result.job)).collect();
    forget_unfetched(connection, &places).await
}

/// Ids of batches, by where each lies in memory.
type Batches = HashMap<usize, i64>;

/// Writes the batches down that these results came in, each once.
async fn insert_batches(connection: &mut SqliteConnection, results: &[Arrived]) -> Result<Batches, sqlx::Error> {
    let mut batches = Batches::new();
    for result in results {
        let Some(SealedBatch { sealed, members }) = &result.batch else { continue };
        if batches.contains_key(&sealed.as_ptr().addr()) {
            continue;
        }
        let inserted = sqlx::query("insert into batches (upload, members, sealed) values ($1, $2, $3)")
            .bind(result.upload.as_bytes().to_vec())
            .bind(i64::from(*members))
            .bind(sealed.to_vec())
            .execute(&mut *connection)
            .await?;
        batches.insert(sealed.as_ptr().addr(), inserted.last_insert_rowid());
    }
    Ok(batches)
}

fn batch_of(result: &Arrived, batches: &Batches) -> Option<i64> {
    result.batch.as_ref().and_then(|batch| batches.get(&batch.sealed.as_ptr().addr())).copied()
}

/// Takes batches away again whose results all came before: events are read again after a reset, and by several programs.
async fn forget_useless_batches(
    connection: &mut SqliteConnection,
    results: &[Arrived],
    batches: &Batches,
) -> Result<(), sqlx::Error> {
    let mut useless: BTreeSet<i64> = batches.values().copied().collect();
    for result in results.iter().filter(|result| result.batch.is_some()) {
        let Some(batch) = batch_of(result, batches).filter(|batch| useless.contains(batch)) else { continue };
        let is_of_use: Option<i64> =
            sqlx::query_scalar("select 1 from results where upload = $1 and idx = $2 and batch = $3")
                .bind(result.upload.as_bytes().to_vec())
                .bind(i64::from(result.job))
                .bind(batch)
                .fetch_optional(&mut *connection)
                .await?;
        if is_of_use.is_some() {
            useless.remove(&batch);
        }
    }
    for batch in useless {
        sqlx::query("delete from batches where id = $1").bind(batch).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_results(
    connection: &mut SqliteConnection,
    rows: &[Arrived],
    batches: &Batches,
) -> Result<(), sqlx::Error> {
    let mut query =
        QueryBuilder::<Sqlite>::new("insert into results (upload, idx, cursor, outcome, refusal, sealed, batch) ");
    query.push_values(rows, |mut row, result| {
        row.push_bind(result.upload.as_bytes().to_vec())
            .push_bind(i64::from(result.job))
            .push_bind(result.cursor)
            .push_bind(result.outcome)
            .push_bind(result.refusal.clone())
            .push_bind(result.sealed.clone())
            .push_bind(batch_of(result, batches));
    });
    // Whoever keeps files has sealed it by itself, where the other only has the batch.
    query.push(
        " on conflict (upload, idx) do update set sealed = excluded.sealed \
         where results.sealed is null and results.batch is not null and excluded.sealed is not null and excluded.refusal is null",
    );
    query.build().execute(connection).await?;
    Ok(())
}

/// A file that is to be sent again stays open: the result of its former place is not its own.
async fn end_files(connection: &mut SqliteConnection, rows: &[Arrived]) -> Result<(), sqlx::Error> {
    let places: Vec<_> = rows.iter().map(|result| (result.upload, result.job)).collect();
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

/// Forgets the sealed header of an upload whose jobs all have their results: until then storage may turn out to lack it.
async fn forget_header(connection: &mut SqliteConnection, upload: UploadId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update uploads set header = null where id = $1 and state = 'stored' and header is not null \
         and not exists (select 1 from files where files.upload = uploads.id and files.state = 'open') \
         and (tasks is null or json_array_length(tasks) * \
         (select count(*) from files where files.upload = uploads.id and files.reused = 0) \
         <= (select count(*) from results where results.upload = uploads.id))",
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
