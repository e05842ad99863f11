//! Uploads in the journal: begun, advanced, ended, and read again for a resume.

use std::collections::HashMap;

use filemill_seal::{DataKey, Digest, Format, UploadId, Verdict};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::upload_keys::{data_key, header_format};
use super::{
    Journal, ROWS_PER_STATEMENT, corrupt, digest, index, signed, unsigned, upload_id, verdict_code, verdict_from,
};
use crate::engines::EngineRelease;
use crate::error::Error;
use crate::parameters::Parameters;
use crate::source::{Found, path_bytes, path_from_bytes};
use crate::stat::FileStat;

/// An upload that is about to be opened.
#[derive(Clone)]
pub(crate) struct NewUpload {
    pub(crate) id: UploadId,
    pub(crate) account: String,
    pub(crate) session: String,
    pub(crate) key: DataKey,
    /// Of the header. It stays what it is.
    pub(crate) format: Format,
    pub(crate) header: Vec<u8>,
    pub(crate) header_digest: Digest,
    pub(crate) engine: String,
    pub(crate) version: String,
    pub(crate) release: Digest,
    pub(crate) pool: String,
    pub(crate) chunk_size: u32,
    pub(crate) chunk_count: u32,
    pub(crate) created_at: u64,
    pub(crate) not_after: u64,
    /// `None`: of an upload whose parameters the journal has lost.
    pub(crate) parameters: Option<Parameters>,
}

#[cfg(test)]
impl NewUpload {
    /// Any upload.
    pub(super) fn sample(id: UploadId) -> Self {
        Self {
            id,
            account: "account".to_owned(),
            session: "session".to_owned(),
            key: DataKey::random(),
            format: Format::One,
            header: Vec::new(),
            header_digest: Digest::of(b"header"),
            engine: "size".to_owned(),
            version: "1.0.0".to_owned(),
            release: Digest::of(b"release"),
            pool: "main".to_owned(),
            chunk_size: 1 << 16,
            chunk_count: 1,
            created_at: 0,
            not_after: 0,
            parameters: Some(Parameters::default()),
        }
    }
}

/// One of its files, with its verdict if it was read already.
pub(crate) struct NewFile {
    pub(crate) found: Found,
    pub(crate) verdict: Option<Verdict>,
}

/// A chunk that was read and sealed.
#[derive(Clone)]
pub(crate) struct ChunkRecord {
    pub(crate) sequence: u32,
    pub(crate) plain: Digest,
    /// Of the files that end in it.
    pub(crate) ended: Vec<Ended>,
}

/// A file that was read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) index: u32,
    pub(crate) verdict: Verdict,
}

/// A chunk that storage has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredChunk {
    pub(crate) sequence: u32,
    pub(crate) bytes: u64,
    pub(crate) sha256: Digest,
}

/// An upload as it must be known to go on with it.
pub(crate) struct StoredUpload {
    pub(crate) upload: NewUpload,
    /// Absent once everything was stored.
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) header_bytes: u64,
    pub(crate) state: String,
    pub(crate) files: Vec<Found>,
    /// Of the files that were read in full.
    pub(crate) verdicts: HashMap<u32, Verdict>,
    /// Plaintext digests of the chunks that were sealed.
    pub(crate) plain: HashMap<u32, Digest>,
    pub(crate) stored: Vec<StoredChunk>,
}

impl Journal {
    /// Writes a new upload down, and in the same transaction that its files take the place of those they replace.
    pub(crate) async fn begin_upload(
        &self,
        upload: NewUpload,
        files: Vec<NewFile>,
        chunks: Vec<ChunkRecord>,
    ) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    insert_upload(connection, &upload).await?;
                    insert_files(connection, &upload.id, &files).await?;
                    insert_chunks(connection, &upload.id, &chunks).await?;
                    for file in &files {
                        let Some((former, idx)) = file.found.replaces else {
                            continue;
                        };
                        sqlx::query(
                            "update files set state = 'replaced' \
                             where upload = $1 and idx = $2 and path = $3 and state = 'open'",
                        )
                        .bind(former.as_bytes().to_vec())
                        .bind(i64::from(idx))
                        .bind(path_bytes(&file.found.path))
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Writes down what was read into chunks, before they are sent.
    pub(crate) async fn record_chunks(&self, upload: UploadId, chunks: Vec<ChunkRecord>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    insert_chunks(connection, &upload, &chunks).await?;
                    let ended: Vec<&Ended> = chunks.iter().flat_map(|chunk| &chunk.ended).collect();
                    for rows in ended.chunks(ROWS_PER_STATEMENT) {
                        update_verdicts(connection, &upload, rows).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Writes down that storage has confirmed chunks.
    pub(crate) async fn record_stored(&self, upload: UploadId, chunks: Vec<StoredChunk>) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    for chunk in chunks {
                        sqlx::query(
                            "update chunks set stored_bytes = $1, stored_sha256 = $2 where upload = $3 and sequence = $4",
                        )
                        .bind(signed(chunk.bytes))
                        .bind(chunk.sha256.as_bytes().to_vec())
                        .bind(upload.as_bytes().to_vec())
                        .bind(i64::from(chunk.sequence))
                        .execute(&mut *connection)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Writes down that the server has everything.
    pub(crate) async fn finish_upload(&self, upload: UploadId) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update uploads set state = 'stored' where id = $1 and state = 'uploading'")
                        .bind(upload.as_bytes().to_vec())
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Gives an upload up: what is open in it must be sent again in another.
    pub(crate) async fn abandon_upload(&self, upload: UploadId) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("update uploads set state = 'abandoned', header = null where id = $1")
                        .bind(upload.as_bytes().to_vec())
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    /// Ends files of `session` that changed and were taken in again since, without a look at their former place.
    pub(crate) async fn replace_by_newer(&self, session: String) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "update files set state = 'replaced' where state = 'open' and reused = 0 and verdict > 0 \
                         and upload in (select id from uploads where session = $1) \
                         and exists (select 1 from files newer join uploads of_newer on of_newer.id = newer.upload \
                         join uploads of_this on of_this.id = files.upload \
                         where newer.path = files.path and newer.id > files.id \
                         and of_newer.account = of_this.account and of_newer.release = of_this.release \
                         and of_newer.parameters is of_this.parameters)",
                    )
                    .bind(session)
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    /// What `upload` was made for; `None` if it is not known here.
    pub(crate) async fn made_for(&self, upload: UploadId) -> Result<Option<EngineRelease>, Error> {
        let row = sqlx::query("select engine, version, release from uploads where id = $1")
            .bind(upload.as_bytes().to_vec())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        row.map(|row| {
            Ok(EngineRelease {
                engine: row.try_get("engine")?,
                version: row.try_get("version")?,
                release: digest(row.try_get("release")?)?,
            })
        })
        .transpose()
        .map_err(|error: sqlx::Error| self.failed(&error))
    }

    /// The engine parameters of `upload`; none are set if it is not known here. `None` if the journal has lost them, as a damaged one
    /// may, and they are not those that were `given` now.
    pub(crate) async fn parameters_of(
        &self,
        upload: UploadId,
        given: &Parameters,
    ) -> Result<Option<Parameters>, Error> {
        let key: Option<Option<Vec<u8>>> = sqlx::query_scalar("select parameters from uploads where id = $1")
            .bind(upload.as_bytes().to_vec())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        let key = key.flatten();
        if key == parameters_key(given) {
            return Ok(Some(given.clone()));
        }
        self.read_parameters(key).await.map_err(|error| self.failed(&error))
    }

    async fn read_parameters(&self, key: Option<Vec<u8>>) -> Result<Option<Parameters>, sqlx::Error> {
        let Some(key) = key else {
            return Ok(Some(Parameters::default()));
        };
        let json: Option<String> = sqlx::query_scalar("select json from parameters where sha256 = $1")
            .bind(key)
            .fetch_optional(&self.reader)
            .await?;
        Ok(json.map(|json| Parameters::from_journal(&json)))
    }

    /// The program that works on `upload`; `None` if it is not known here.
    pub(crate) async fn owner(&self, upload: UploadId) -> Result<Option<String>, Error> {
        sqlx::query_scalar("select session from uploads where id = $1")
            .bind(upload.as_bytes().to_vec())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))
    }

    /// All that is known of `upload`; `None` if it is not known here.
    pub(crate) async fn load_upload(&self, upload: UploadId) -> Result<Option<StoredUpload>, Error> {
        self.read_upload(upload).await.map_err(|error| self.failed(&error))
    }

    async fn read_upload(&self, upload: UploadId) -> Result<Option<StoredUpload>, sqlx::Error> {
        let id = upload.as_bytes().to_vec();
        let Some(row) =
            sqlx::query("select * from uploads where id = $1").bind(id.clone()).fetch_optional(&self.reader).await?
        else {
            return Ok(None);
        };
        let parameters = self.read_parameters(row.try_get("parameters")?).await?;
        let files = sqlx::query("select * from files where upload = $1 and reused = 0 order by idx")
            .bind(id.clone())
            .fetch_all(&self.reader)
            .await?;
        let mut verdicts = HashMap::new();
        for (position, row) in files.iter().enumerate() {
            let idx = index(row.try_get("idx")?)?;
            if idx as usize != position {
                return Err(corrupt("idx"));
            }
            if let Some(code) = row.try_get::<Option<i64>, _>("verdict")? {
                let sha256 = row.try_get::<Option<&[u8]>, _>("sha256")?.map(digest).transpose()?;
                verdicts.insert(idx, verdict_from(code, sha256)?);
            }
        }
        let files = files.iter().map(found).collect::<Result<Vec<_>, _>>()?;
        let mut plain = HashMap::new();
        let mut stored = Vec::new();
        for row in sqlx::query("select * from chunks where upload = $1 order by sequence")
            .bind(id)
            .fetch_all(&self.reader)
            .await?
        {
            let sequence = index(row.try_get("sequence")?)?;
            plain.insert(sequence, digest(row.try_get("plain_sha256")?)?);
            if let Some(sha256) = row.try_get::<Option<&[u8]>, _>("stored_sha256")? {
                let bytes = unsigned(row.try_get("stored_bytes")?);
                stored.push(StoredChunk { sequence, bytes, sha256: digest(sha256)? });
            }
        }
        Ok(Some(StoredUpload {
            upload: NewUpload {
                id: upload,
                account: row.try_get("account")?,
                session: row.try_get("session")?,
                key: data_key(row.try_get("data_key")?)?,
                format: header_format(row.try_get("format")?)?,
                header: Vec::new(),
                header_digest: digest(row.try_get("header_digest")?)?,
                engine: row.try_get("engine")?,
                version: row.try_get("version")?,
                release: digest(row.try_get("release")?)?,
                pool: row.try_get("pool")?,
                chunk_size: index(row.try_get("chunk_size")?)?,
                chunk_count: index(row.try_get("chunk_count")?)?,
                created_at: unsigned(row.try_get("created_at")?),
                not_after: unsigned(row.try_get("not_after")?),
                parameters,
            },
            header: row.try_get("header")?,
            header_bytes: unsigned(row.try_get("header_bytes")?),
            state: row.try_get("state")?,
            files,
            verdicts,
            plain,
            stored,
        }))
    }
}

/// A row of `files` as the file it was when it was found.
pub(super) fn found(row: &sqlx::sqlite::SqliteRow) -> Result<Found, sqlx::Error> {
    Ok(Found {
        path: path_from_bytes(row.try_get("path")?),
        name: row.try_get("name")?,
        stat: FileStat {
            size: unsigned(row.try_get("size")?),
            modified_ns: row.try_get("modified_ns")?,
            changed_ns: row.try_get("changed_ns")?,
            inode: unsigned(row.try_get("inode")?),
            device: unsigned(row.try_get("device")?),
        },
        seen_ns: row.try_get("seen_ns")?,
        attempt: index(row.try_get("attempt")?)?,
        replaces: None,
        watched: row.try_get::<i64, _>("watched")? != 0,
        former: former_place(row)?,
        content: None,
    })
}

/// The place of the same file before it grew.
pub(super) fn former_place(row: &sqlx::sqlite::SqliteRow) -> Result<Option<(UploadId, u32)>, sqlx::Error> {
    let upload = row.try_get::<Option<&[u8]>, _>("former_upload")?.map(upload_id).transpose()?;
    let idx = row.try_get::<Option<i64>, _>("former_idx")?.map(index).transpose()?;
    Ok(upload.zip(idx))
}

async fn insert_upload(connection: &mut SqliteConnection, upload: &NewUpload) -> Result<(), sqlx::Error> {
    let parameters = upload.parameters.clone().unwrap_or_default();
    insert_parameters(connection, &parameters).await?;
    sqlx::query(
        "insert into uploads (id, account, session, data_key, header, header_digest, header_bytes, engine, version, \
         release, pool, chunk_size, chunk_count, created_at, not_after, parameters, format, state) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'uploading')",
    )
    .bind(upload.id.as_bytes().to_vec())
    .bind(upload.account.clone())
    .bind(upload.session.clone())
    .bind(upload.key.expose_bytes().to_vec())
    .bind(upload.header.clone())
    .bind(upload.header_digest.as_bytes().to_vec())
    .bind(signed(upload.header.len() as u64))
    .bind(upload.engine.clone())
    .bind(upload.version.clone())
    .bind(upload.release.as_bytes().to_vec())
    .bind(upload.pool.clone())
    .bind(i64::from(upload.chunk_size))
    .bind(i64::from(upload.chunk_count))
    .bind(signed(upload.created_at))
    .bind(signed(upload.not_after))
    .bind(parameters_key(&parameters))
    .bind(signed(upload.format.number()))
    .execute(connection)
    .await?;
    Ok(())
}

/// What names them in the journal; nothing for none.
pub(super) fn parameters_key(parameters: &Parameters) -> Option<Vec<u8>> {
    (!parameters.is_empty()).then(|| parameters.digest().as_bytes().to_vec())
}

/// Writes parameters down, if they are not there.
pub(super) async fn insert_parameters(
    connection: &mut SqliteConnection,
    parameters: &Parameters,
) -> Result<(), sqlx::Error> {
    let Some(key) = parameters_key(parameters) else {
        return Ok(());
    };
    let known: Option<i64> = sqlx::query_scalar("select 1 from parameters where sha256 = $1")
        .bind(key.clone())
        .fetch_optional(&mut *connection)
        .await?;
    if known.is_none() {
        sqlx::query("insert into parameters (sha256, json, names) values ($1, $2, $3)")
            .bind(key)
            .bind(parameters.as_json().to_owned())
            .bind(serde_json::Value::from(parameters.names()).to_string())
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn insert_files(
    connection: &mut SqliteConnection,
    upload: &UploadId,
    files: &[NewFile],
) -> Result<(), sqlx::Error> {
    let mut first = 0_i64;
    for rows in files.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "insert into files (upload, idx, path, name, size, modified_ns, changed_ns, inode, device, seen_ns, \
             sha256, verdict, attempt, watched, former_upload, former_idx) ",
        );
        query.push_values((first..).zip(rows), |mut row, (idx, file)| {
            let sha256 = match &file.verdict {
                Some(Verdict::Intact(sha256)) => Some(sha256.as_bytes().to_vec()),
                _ => None,
            };
            row.push_bind(upload.as_bytes().to_vec())
                .push_bind(idx)
                .push_bind(path_bytes(&file.found.path))
                .push_bind(file.found.name.clone())
                .push_bind(signed(file.found.stat.size))
                .push_bind(file.found.stat.modified_ns)
                .push_bind(file.found.stat.changed_ns)
                .push_bind(signed(file.found.stat.inode))
                .push_bind(signed(file.found.stat.device))
                .push_bind(file.found.seen_ns)
                .push_bind(sha256)
                .push_bind(file.verdict.as_ref().map(verdict_code))
                .push_bind(i64::from(file.found.attempt))
                .push_bind(i64::from(file.found.watched))
                .push_bind(file.found.former.map(|(upload, _)| upload.as_bytes().to_vec()))
                .push_bind(file.found.former.map(|(_, idx)| i64::from(idx)));
        });
        query.build().execute(&mut *connection).await?;
        first += rows.len() as i64;
    }
    Ok(())
}

async fn insert_chunks(
    connection: &mut SqliteConnection,
    upload: &UploadId,
    chunks: &[ChunkRecord],
) -> Result<(), sqlx::Error> {
    for chunk in chunks {
        // A resume compares what it reads with what is there, and goes on only if they are equal.
        sqlx::query(
            "insert into chunks (upload, sequence, plain_sha256) values ($1, $2, $3) \
             on conflict (upload, sequence) do nothing",
        )
        .bind(upload.as_bytes().to_vec())
        .bind(i64::from(chunk.sequence))
        .bind(chunk.plain.as_bytes().to_vec())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn update_verdicts(
    connection: &mut SqliteConnection,
    upload: &UploadId,
    rows: &[&Ended],
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("with ended(idx, verdict, sha256) as (");
    query.push_values(rows, |mut row, ended| {
        let sha256 = match &ended.verdict {
            Verdict::Intact(sha256) => Some(sha256.as_bytes().to_vec()),
            Verdict::Void(_) => None,
        };
        row.push_bind(i64::from(ended.index)).push_bind(verdict_code(&ended.verdict)).push_bind(sha256);
    });
    query.push(
        ") update files set verdict = ended.verdict, sha256 = ended.sha256 from ended \
         where files.reused = 0 and files.idx = ended.idx and files.upload = ",
    );
    query.push_bind(upload.as_bytes().to_vec());
    query.build().execute(connection).await?;
    Ok(())
}
