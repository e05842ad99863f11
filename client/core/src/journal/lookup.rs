//! Finding what was sent before: by path, and by content.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use filemill_seal::Digest;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::files::file_state;
use super::uploads::{found, parameters_key};
use super::{Journal, Known, ROWS_PER_STATEMENT, digest, index, signed, unsigned, upload_id};
use crate::error::Error;
use crate::parameters::Parameters;
use crate::source::{Found, path_bytes};

const KNOWN: &str = "select files.*, uploads.state as upload_state, uploads.not_after, results.outcome, results.refusal \
                     from files join uploads on uploads.id = files.upload \
                     left join results on results.upload = files.upload and results.idx = files.idx \
                     where files.state in ('open', 'done') and uploads.account = ";

/// What a file is asked about: what was said of it by another release, or with other parameters, is no answer.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) release: &'a Digest,
    pub(crate) parameters: &'a Parameters,
}

impl Journal {
    /// Whether anything was ever sent to `account` for `release`: if not, there is nothing to look for.
    pub(crate) async fn knows_release(&self, account: &str, release: &Digest) -> Result<bool, Error> {
        let row: Option<i64> = sqlx::query_scalar("select 1 from uploads where release = $1 and account = $2 limit 1")
            .bind(release.as_bytes().to_vec())
            .bind(account.to_owned())
            .fetch_optional(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(row.is_some())
    }

    /// The latest that is known of each path.
    pub(crate) async fn known_by_path(
        &self,
        account: &str,
        asked: Asked<'_>,
        files: &[Found],
    ) -> Result<HashMap<PathBuf, Known>, Error> {
        let mut latest = HashMap::new();
        for files in files.chunks(ROWS_PER_STATEMENT) {
            let mut query = start(account, asked);
            query.push(" and files.path in (");
            let mut list = query.separated(", ");
            for file in files {
                list.push_bind(path_bytes(&file.path));
            }
            query.push(") order by files.id");
            for row in query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))? {
                let known = known(&row).map_err(|error| self.failed(&error))?;
                latest.insert(known.file.path.clone(), known);
            }
        }
        Ok(latest)
    }

    /// Those of `files` that were taken in as they are now, whatever became of them.
    pub(crate) async fn taken(&self, files: &[Found]) -> Result<HashSet<PathBuf>, Error> {
        let mut taken = HashSet::new();
        for files in files.chunks(ROWS_PER_STATEMENT) {
            let mut query = QueryBuilder::<Sqlite>::new("select * from files where path in (");
            let mut list = query.separated(", ");
            for file in files {
                list.push_bind(path_bytes(&file.path));
            }
            query.push(")");
            for row in query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))? {
                let known = found(&row).map_err(|error| self.failed(&error))?;
                if files.iter().any(|file| file.path == known.path && file.stat == known.stat) {
                    taken.insert(known.path);
                }
            }
        }
        Ok(taken)
    }

    /// Which of the sizes a file had whose content is known. Only files of such a size need to be compared.
    pub(crate) async fn known_sizes(&self, sizes: &HashSet<u64>) -> Result<HashSet<u64>, Error> {
        let sizes: Vec<u64> = sizes.iter().copied().collect();
        let mut known = HashSet::new();
        for sizes in sizes.chunks(ROWS_PER_STATEMENT) {
            // Stops at the first file of each size: there may be very many.
            let mut query = QueryBuilder::<Sqlite>::new("with asked(size) as (");
            query.push_values(sizes, |mut row, size| {
                row.push_bind(signed(*size));
            });
            query.push(
                ") select size from asked \
                 where exists (select 1 from files where files.size = asked.size and files.verdict = 0)",
            );
            let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
            for row in rows {
                known.insert(unsigned(row.try_get(0).map_err(|error| self.failed(&error))?));
            }
        }
        Ok(known)
    }

    /// What is known of each of these contents, latest first.
    pub(crate) async fn known_by_content(
        &self,
        account: &str,
        asked: Asked<'_>,
        contents: &HashSet<Digest>,
    ) -> Result<HashMap<Digest, Vec<Known>>, Error> {
        let contents: Vec<&Digest> = contents.iter().collect();
        let mut found: HashMap<Digest, Vec<Known>> = HashMap::new();
        for contents in contents.chunks(ROWS_PER_STATEMENT) {
            let mut query = start(account, asked);
            // The same content may have been sent very often; and copies that refer to the same place add nothing.
            query.push(
                " and files.id in (select id from (select files.id, row_number() over \
                 (partition by files.sha256, files.state order by files.id desc) as position \
                 from files join uploads on uploads.id = files.upload \
                 where files.state in ('open', 'done') and files.verdict = 0 and files.reused = 0 and uploads.account = ",
            );
            query.push_bind(account.to_owned());
            query.push(" and uploads.release = ").push_bind(asked.release.as_bytes().to_vec());
            query.push(" and uploads.parameters is ").push_bind(parameters_key(asked.parameters));
            query.push(" and files.sha256 in (");
            let mut list = query.separated(", ");
            for content in contents {
                list.push_bind(content.as_bytes().to_vec());
            }
            query.push(")) where position <= 4) order by files.id desc");
            for row in query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))? {
                let known = known(&row).map_err(|error| self.failed(&error))?;
                if let Some(sha256) = known.sha256 {
                    found.entry(sha256).or_default().push(known);
                }
            }
        }
        Ok(found)
    }
}

fn start(account: &str, asked: Asked<'_>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(KNOWN);
    query.push_bind(account.to_owned());
    query.push(" and uploads.release = ").push_bind(asked.release.as_bytes().to_vec());
    query.push(" and uploads.parameters is ").push_bind(parameters_key(asked.parameters));
    query
}

fn known(row: &SqliteRow) -> Result<Known, sqlx::Error> {
    Ok(Known {
        row: row.try_get("id")?,
        file: found(row)?,
        upload: upload_id(row.try_get("upload")?)?,
        index: index(row.try_get("idx")?)?,
        reused: row.try_get::<i64, _>("reused")? != 0,
        sha256: row.try_get::<Option<&[u8]>, _>("sha256")?.map(digest).transpose()?,
        state: file_state(row.try_get("state")?)?,
        void: row.try_get::<Option<i64>, _>("verdict")?.is_some_and(|code| code != 0),
        abandoned: row.try_get::<&str, _>("upload_state")? == "abandoned",
        stored: !matches!(row.try_get("upload_state")?, "uploading" | "abandoned"),
        not_after: unsigned(row.try_get("not_after")?),
        outcome: row.try_get("outcome")?,
        refused: row.try_get::<Option<&str>, _>("refusal")?.is_some(),
    })
}
