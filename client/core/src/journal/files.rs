//! Files in the journal: given up, attached to an earlier one, listed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use filemill_seal::{Digest, Format, UploadId, Verdict};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::grown::{REUSED, supersede};
use super::upload_keys::header_format;
use super::uploads::{former_place, found};
use super::{Journal, ROWS_PER_STATEMENT, corrupt, digest, index, signed, unsigned, upload_id, verdict_from};
use crate::error::Error;
use crate::source::{Found, path_bytes, path_from_bytes};

/// What a file is waiting for, if for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    /// Its result, or to be sent again.
    Open,
    /// Nothing: the result is there.
    Done,
    /// Nothing: it was sent again in another upload.
    Replaced,
    /// Nothing: it was given up.
    Failed,
}

/// A file with the place it was sent in.
#[derive(Clone, Debug)]
pub(crate) struct FilePlace {
    pub(crate) row: i64,
    pub(crate) upload: UploadId,
    pub(crate) index: u32,
    pub(crate) reused: bool,
    pub(crate) path: PathBuf,
    pub(crate) name: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) state: FileState,
    pub(crate) message: Option<String>,
    pub(crate) engine: String,
    /// What was set of the engine's parameters.
    pub(crate) parameters: Vec<String>,
    pub(crate) abandoned: bool,
    /// The place of the same file before it grew.
    pub(crate) former: Option<(UploadId, u32)>,
}

/// An earlier file with the same path or content.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) row: i64,
    pub(crate) file: Found,
    pub(crate) upload: UploadId,
    pub(crate) index: u32,
    /// It was not sent itself: it has the content of the one that was.
    pub(crate) reused: bool,
    pub(crate) sha256: Option<Digest>,
    pub(crate) state: FileState,
    /// Read in full and found to have changed.
    pub(crate) void: bool,
    pub(crate) abandoned: bool,
    /// All of its upload is stored.
    pub(crate) stored: bool,
    pub(crate) not_after: u64,
    pub(crate) outcome: Option<String>,
    pub(crate) refused: bool,
}

/// A file that has no result yet.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) place: FilePlace,
    pub(crate) session: String,
    pub(crate) uploading: bool,
    /// Of the upload's header.
    pub(crate) format: Format,
}

/// A file that must be sent again, and where it was.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) found: Found,
    pub(crate) upload: UploadId,
    pub(crate) index: u32,
}

const PLACE_COLUMNS: &str = "files.id, files.upload, files.idx, files.reused, files.path, files.name, files.size, \
                             files.former_upload, files.former_idx, files.verdict, files.sha256, files.state, files.message, uploads.engine, uploads.session, \
                             uploads.state as upload_state, uploads.format, \
                             (select names from parameters where sha256 = uploads.parameters) as parameter_names";
const PLACES: &str = "from files join uploads on uploads.id = files.upload";

impl Journal {
    /// Gives a file up, for a reason that a person can read.
    pub(crate) async fn fail_file(&self, upload: UploadId, idx: u32, message: String) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "update files set state = 'failed', message = $1 \
                         where upload = $2 and idx = $3 and reused = 0 and state = 'open'",
                    )
                    .bind(message)
                    .bind(upload.as_bytes().to_vec())
                    .bind(i64::from(idx))
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Lists files no more that were given up, of one upload or of all; says how many.
    pub(crate) async fn forget_failed(&self, account: String, upload: Option<UploadId>) -> Result<u64, Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let forgotten = sqlx::query(
                        "update files set state = 'replaced' where state = 'failed' \
                         and upload in (select id from uploads where account = $1 and ($2 is null or id = $2))",
                    )
                    .bind(account)
                    .bind(upload.map(|upload| upload.as_bytes().to_vec()))
                    .execute(connection)
                    .await?;
                    Ok(forgotten.rows_affected())
                })
            })
            .await
    }

    /// Ends a file without a result, and without a failure: nobody asks for it any more.
    pub(crate) async fn leave_out(&self, upload: UploadId, idx: u32) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "update files set state = 'replaced' \
                         where upload = $1 and idx = $2 and reused = 0 and state = 'open'",
                    )
                    .bind(upload.as_bytes().to_vec())
                    .bind(i64::from(idx))
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Writes down that somebody named files by hand that a watcher took in before: its rules hold for them no more.
    pub(crate) async fn named_by_hand(&self, rows: Vec<i64>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for row in rows {
                        sqlx::query("update files set watched = 0 where id = $1")
                            .bind(row)
                            .execute(&mut *connection)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Writes down how files look that were found to hold what they held.
    pub(crate) async fn same_again(&self, files: Vec<(i64, Found)>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for (row, file) in files {
                        sqlx::query(
                            "update files set modified_ns = $1, changed_ns = $2, inode = $3, device = $4, seen_ns = $5 \
                             where id = $6 and size = $7",
                        )
                        .bind(file.stat.modified_ns)
                        .bind(file.stat.changed_ns)
                        .bind(signed(file.stat.inode))
                        .bind(signed(file.stat.device))
                        .bind(file.seen_ns)
                        .bind(row)
                        .bind(signed(file.stat.size))
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Writes down that files have the content of others that were sent before.
    pub(crate) async fn reuse(&self, files: Vec<(Found, Known)>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for rows in files.chunks(ROWS_PER_STATEMENT) {
                        let mut query = QueryBuilder::<Sqlite>::new(
                            "insert into files (upload, idx, reused, path, name, size, modified_ns, changed_ns, inode, \
                             device, seen_ns, sha256, verdict, attempt, watched, state, former_upload, former_idx) ",
                        );
                        query.push_values(rows, |mut row, (file, known)| {
                            row.push_bind(known.upload.as_bytes().to_vec())
                                .push_bind(i64::from(known.index))
                                .push_bind(1_i64)
                                .push_bind(path_bytes(&file.path))
                                .push_bind(file.name.clone())
                                .push_bind(signed(file.stat.size))
                                .push_bind(file.stat.modified_ns)
                                .push_bind(file.stat.changed_ns)
                                .push_bind(signed(file.stat.inode))
                                .push_bind(signed(file.stat.device))
                                .push_bind(file.seen_ns)
                                .push_bind(known.sha256.map(|sha256| sha256.as_bytes().to_vec()))
                                .push_bind(0_i64)
                                .push_bind(0_i64)
                                .push_bind(i64::from(file.watched))
                                .push_bind(if known.state == FileState::Done { "done" } else { "open" })
                                .push_bind(file.former.map(|(upload, _)| upload.as_bytes().to_vec()))
                                .push_bind(file.former.map(|(_, idx)| i64::from(idx)));
                        });
                        query.build().execute(&mut *connection).await?;
                    }
                    let done = files.iter().filter(|(_, known)| known.state == FileState::Done);
                    let mut done: Vec<_> = done.map(|(_, known)| (known.upload, known.index)).collect();
                    let open = files.iter().filter(|(_, known)| known.state == FileState::Open);
                    let places: BTreeSet<(UploadId, u32)> =
                        open.map(|(_, known)| (known.upload, known.index)).collect();
                    // The result may have come since the other was looked up.
                    for (upload, idx) in places {
                        let ended = sqlx::query(
                            "update files set state = 'done' where upload = $1 and idx = $2 and reused = 1 and state = 'open' \
                             and exists (select 1 from files sent where sent.upload = $1 and sent.idx = $2 \
                             and sent.reused = 0 and sent.state = 'done')",
                        )
                        .bind(upload.as_bytes().to_vec())
                        .bind(i64::from(idx))
                        .execute(&mut *connection)
                        .await?;
                        done.extend((ended.rows_affected() > 0).then_some((upload, idx)));
                    }
                    for places in done.chunks(ROWS_PER_STATEMENT) {
                        supersede(connection, places).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The files that were sent in these places, and those with the same content.
    pub(crate) async fn places(&self, asked: &[(UploadId, u32)]) -> Result<Vec<FilePlace>, Error> {
        let mut places = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ROWS_PER_STATEMENT) {
            for reused in REUSED {
                let mut query = places_query(asked, reused);
                let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
                for row in &rows {
                    places.push(place(row).map_err(|error| self.failed(&error))?);
                }
            }
        }
        Ok(places)
    }

    /// Files that have a result or were given up, oldest first, from behind `after` on.
    pub(crate) async fn ended_files(&self, account: &str, after: i64, limit: u32) -> Result<Vec<FilePlace>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("select ");
        query
            .push(PLACE_COLUMNS)
            .push(" ")
            .push(PLACES)
            .push(" where files.state in ('done', 'failed') and files.id > ")
            .push_bind(after);
        query.push(" and uploads.account = ").push_bind(account.to_owned());
        query.push(" order by files.id limit ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
        rows.iter().map(place).collect::<Result<_, _>>().map_err(|error| self.failed(&error))
    }

    /// The latest word on the file at this absolute path.
    pub(crate) async fn ended_at(&self, account: &str, path: &Path) -> Result<Option<FilePlace>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("select ");
        query.push(PLACE_COLUMNS).push(" ").push(PLACES).push(" where files.path = ").push_bind(path_bytes(path));
        query.push(" and files.state in ('done', 'failed') and uploads.account = ").push_bind(account.to_owned());
        query.push(" order by files.id desc limit 1");
        let row = query.build().fetch_optional(&self.reader).await.map_err(|error| self.failed(&error))?;
        row.as_ref().map(place).transpose().map_err(|error| self.failed(&error))
    }

    /// Files that were given up and were not taken in again, oldest first, from behind `after` on.
    pub(crate) async fn failed_files(&self, account: &str, after: i64, limit: u32) -> Result<Vec<FilePlace>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("select ");
        query
            .push(PLACE_COLUMNS)
            .push(" ")
            .push(PLACES)
            .push(" where files.state = 'failed' and files.id > ")
            .push_bind(after);
        query.push(" and uploads.account = ").push_bind(account.to_owned());
        query.push(" and not exists (select 1 from files later where later.path = files.path and later.id > files.id)");
        query.push(" order by files.id limit ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
        rows.iter().map(place).collect::<Result<_, _>>().map_err(|error| self.failed(&error))
    }

    /// Files that have no result yet, oldest first, from behind `after` on.
    pub(crate) async fn waiting_files(&self, account: &str, after: i64, limit: u32) -> Result<Vec<Waiting>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("select ");
        query
            .push(PLACE_COLUMNS)
            .push(" ")
            .push(PLACES)
            .push(" where files.state = 'open' and files.id > ")
            .push_bind(after);
        query.push(" and uploads.account = ").push_bind(account.to_owned());
        query.push(" order by files.id limit ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| {
                let uploading = row.try_get::<&str, _>("upload_state")? == "uploading";
                let format = header_format(row.try_get("format")?)?;
                Ok(Waiting { place: place(row)?, session: row.try_get("session")?, uploading, format })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.failed(&error))
    }

    /// Files of this session that must be sent again because they changed or their upload was given up; up to `limit`.
    pub(crate) async fn files_to_send_again(
        &self,
        session: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Open)>, Error> {
        let rows = sqlx::query(
            "select files.* from files join uploads on uploads.id = files.upload \
             where files.state = 'open' and files.reused = 0 and uploads.session = $1 and files.id > $2 \
             and (files.verdict > 0 or uploads.state = 'abandoned') order by files.id limit $3",
        )
        .bind(session.to_owned())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| {
                let open = Open {
                    found: found(row)?,
                    upload: upload_id(row.try_get("upload")?)?,
                    index: index(row.try_get("idx")?)?,
                };
                Ok((row.try_get("id")?, open))
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| self.failed(&error))
    }

    /// A file as it was found.
    pub(crate) async fn found(&self, row: i64) -> Result<Found, Error> {
        let row = sqlx::query("select * from files where id = $1").bind(row).fetch_one(&self.reader).await;
        row.and_then(|row| found(&row)).map_err(|error| self.failed(&error))
    }

    /// Lets go of the files that waited for the result of `idx` of `upload` because they have the same content.
    pub(crate) async fn detach(&self, upload: UploadId, idx: u32) -> Result<Vec<Found>, Error> {
        let upload = upload.as_bytes().to_vec();
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    let rows = sqlx::query(
                        "delete from files where upload = $1 and idx = $2 and reused = 1 and state = 'open' returning *",
                    )
                    .bind(upload)
                    .bind(i64::from(idx))
                    .fetch_all(connection)
                    .await?;
                    rows.iter().map(found).collect()
                })
            })
            .await
    }

    /// The files of an upload that have no result and were not found to be void: index and size of each.
    pub(crate) async fn open_files(&self, upload: UploadId) -> Result<Vec<(u32, u64)>, Error> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "select idx, size from files where upload = $1 and reused = 0 and state = 'open' and coalesce(verdict, 0) = 0 \
             order by idx",
        )
        .bind(upload.as_bytes().to_vec())
        .fetch_all(&self.reader)
        .await
        .map_err(|error| self.failed(&error))?;
        let read = |(of, size): (i64, i64)| Ok((index(of)?, unsigned(size)));
        rows.into_iter().map(read).collect::<Result<_, _>>().map_err(|error| self.failed(&error))
    }
}

fn places_query(asked: &[(UploadId, u32)], reused: &str) -> QueryBuilder<Sqlite> {
    let mut query = asked_places(asked);
    query.push("select ").push(PLACE_COLUMNS);
    // A cross join keeps its order: SQLite, which has no statistics, else reads every file for each place.
    query.push(
        " from asked cross join files on files.upload = asked.upload and files.idx = asked.idx and files.reused = ",
    );
    query.push(reused).push(" join uploads on uploads.id = files.upload");
    query
}

/// The beginning of a statement that joins `asked`.
pub(super) fn asked_places(asked: &[(UploadId, u32)]) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("with asked(upload, idx) as (");
    query.push_values(asked, |mut row, (upload, idx)| {
        row.push_bind(upload.as_bytes().to_vec()).push_bind(i64::from(*idx));
    });
    query.push(") ");
    query
}

fn place(row: &SqliteRow) -> Result<FilePlace, sqlx::Error> {
    let sha256 = row.try_get::<Option<&[u8]>, _>("sha256")?.map(digest).transpose()?;
    let verdict = row.try_get::<Option<i64>, _>("verdict")?;
    Ok(FilePlace {
        row: row.try_get("id")?,
        upload: upload_id(row.try_get("upload")?)?,
        index: index(row.try_get("idx")?)?,
        reused: row.try_get::<i64, _>("reused")? != 0,
        path: path_from_bytes(row.try_get("path")?),
        name: row.try_get("name")?,
        size: unsigned(row.try_get("size")?),
        verdict: verdict.map(|code| verdict_from(code, sha256)).transpose()?,
        state: file_state(row.try_get("state")?)?,
        message: row.try_get("message")?,
        engine: row.try_get("engine")?,
        parameters: row
            .try_get::<Option<&str>, _>("parameter_names")?
            .and_then(|names| serde_json::from_str(names).ok())
            .unwrap_or_default(),
        abandoned: row.try_get::<&str, _>("upload_state")? == "abandoned",
        former: former_place(row)?,
    })
}

pub(super) fn file_state(text: &str) -> Result<FileState, sqlx::Error> {
    match text {
        "open" => Ok(FileState::Open),
        "done" => Ok(FileState::Done),
        "replaced" => Ok(FileState::Replaced),
        "failed" => Ok(FileState::Failed),
        _ => Err(corrupt("state")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::end_query;
    use super::super::{Arrived, NewFile, NewUpload};
    use super::*;
    use crate::home::Home;
    use crate::stat::FileStat;

    #[tokio::test]
    async fn a_file_that_grew_to_what_has_its_result_by_now_has_one_result() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Home::at(folder.path()).unwrap()).await.unwrap();
        let (former, other) = (UploadId::random(), UploadId::random());
        let stat = FileStat { size: 1, modified_ns: 0, changed_ns: 0, inode: 1, device: 1 };
        let found = |path: &str| Found::seen(path.into(), path.into(), stat, 0);
        for (upload, path) in [(former, "/grows"), (other, "/other")] {
            let file = NewFile { found: found(path), verdict: Some(Verdict::Intact(Digest::of(b"content"))) };
            journal.begin_upload(NewUpload::sample(upload), vec![file], Vec::new()).await.unwrap();
            let (outcome, refusal, sealed, batch) = ("succeeded", None, None, None);
            let result = Arrived { upload, job: 0, cursor: 1, outcome, refusal, sealed, batch };
            journal.take_in_fetched(vec![result]).await.unwrap();
        }
        let known = Known {
            row: 0,
            file: found("/other"),
            upload: other,
            index: 0,
            reused: false,
            sha256: Some(Digest::of(b"content")),
            // As it was when it was looked up.
            state: FileState::Open,
            void: false,
            abandoned: false,
            stored: true,
            not_after: 0,
            outcome: None,
            refused: false,
        };
        let grown = Found { former: Some((former, 0)), ..found("/grows") };
        journal.reuse(vec![(grown, known)]).await.unwrap();
        let ended = journal.ended_files("account", 0, 9).await.unwrap();
        let shown: Vec<_> = ended.iter().map(|place| (place.path.to_str().unwrap(), place.upload)).collect();
        assert_eq!(shown, [("/other", other), ("/grows", other)], "the former result is shown, too");
        journal.close().await;
    }

    #[tokio::test]
    async fn files_are_found_by_their_place_without_reading_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Home::at(folder.path()).unwrap()).await.unwrap();
        let asked: Vec<_> = (0..256).map(|index| (UploadId::random(), index)).collect();
        for reused in REUSED {
            for query in [places_query(&asked, reused), end_query(&asked, reused)] {
                let explain = format!("explain query plan {}", query.sql().as_str());
                let rows = sqlx::query(sqlx::AssertSqlSafe(explain)).fetch_all(&journal.reader).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
                let scans = plan.iter().any(|step| step.starts_with("SCAN files") || step.contains("AUTOMATIC"));
                assert!(!scans, "{plan:#?}");
            }
        }
        journal.close().await;
    }
}
