//! Files that grew after they were sent: each is one file, of which the newest result counts.

use std::path::Path;

use filemill_seal::UploadId;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::{Journal, index, upload_id};
use crate::error::Error;
use crate::source::path_bytes;

/// What the column `reused` holds, written out: each of its values has an index of its own.
pub(super) const REUSED: [&str; 2] = ["0", "1"];

/// Former versions of one file that are looked for.
const FORMERS_MAX: i64 = 64;

impl Journal {
    /// The places of the file at `path` before it grew to what was sent at this place, the latest first.
    pub(crate) async fn formers(
        &self,
        (upload, idx): (UploadId, u32),
        path: &Path,
    ) -> Result<Vec<(UploadId, u32)>, Error> {
        let mut query = QueryBuilder::<Sqlite>::new("with recursive chain(upload, idx, path, depth) as (select ");
        query.push_bind(upload.as_bytes().to_vec()).push(", ").push_bind(i64::from(idx)).push(", ");
        query.push_bind(path_bytes(path)).push(
            ", 0 union select files.former_upload, files.former_idx, files.path, chain.depth + 1 from chain \
             cross join files on files.path = chain.path and files.upload = chain.upload and files.idx = chain.idx \
             where files.former_upload is not null and chain.depth < ",
        );
        query.push_bind(FORMERS_MAX).push(") select upload, idx from chain where depth > 0 order by depth");
        let rows = query.build().fetch_all(&self.reader).await.map_err(|error| self.failed(&error))?;
        let place =
            |row: &sqlx::sqlite::SqliteRow| Ok((upload_id(row.try_get("upload")?)?, index(row.try_get("idx")?)?));
        rows.iter().map(place).collect::<Result<_, sqlx::Error>>().map_err(|error| self.failed(&error))
    }
}

/// Ends what was known of files before they grew to what has its result at these places now.
pub(super) async fn supersede(
    connection: &mut SqliteConnection,
    places: &[(UploadId, u32)],
) -> Result<(), sqlx::Error> {
    if places.is_empty() || !is_any_grown(connection).await? {
        return Ok(());
    }
    for reused in REUSED {
        supersede_query(places, reused).build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Few homes have any file that grew.
const ANY_GROWN: &str = "select 1 from files indexed by files_grown where former_upload is not null limit 1";

async fn is_any_grown(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let any: Option<i64> = sqlx::query_scalar(ANY_GROWN).fetch_optional(connection).await?;
    Ok(any.is_some())
}

fn supersede_query(places: &[(UploadId, u32)], reused: &str) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::<Sqlite>::new("with recursive asked(upload, idx) as (");
    query.push_values(places, |mut row, (upload, idx)| {
        row.push_bind(upload.as_bytes().to_vec()).push_bind(i64::from(*idx));
    });
    // Most files never grew: those that did have an index of their own.
    query.push(
        "), chain(upload, idx, path) as (\
         select newer.former_upload, newer.former_idx, newer.path from asked cross join files as newer \
         on newer.upload = asked.upload and newer.idx = asked.idx \
         where newer.former_upload is not null and newer.state = 'done' \
         union select older.former_upload, older.former_idx, older.path from chain cross join files as older \
         on older.upload = chain.upload and older.idx = chain.idx and older.path = chain.path \
         where older.former_upload is not null) \
         update files set state = 'replaced' where state in ('open', 'done') and id in (\
         select former.id from chain cross join files as former \
         on former.upload = chain.upload and former.idx = chain.idx and former.path = chain.path and former.reused = ",
    );
    query.push(reused).push(")");
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    #[tokio::test]
    async fn a_file_that_grew_is_found_without_reading_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Home::at(folder.path()).unwrap()).await.unwrap();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("explain query plan {ANY_GROWN}")))
            .fetch_all(&journal.reader)
            .await
            .unwrap();
        assert!(rows[0].get::<&str, _>("detail").contains("INDEX files_grown"));
        let asked: Vec<_> = (0..256).map(|index| (UploadId::random(), index)).collect();
        for reused in REUSED {
            let query = supersede_query(&asked, reused);
            let explain = format!("explain query plan {}", query.sql().as_str());
            let rows = sqlx::query(sqlx::AssertSqlSafe(explain)).fetch_all(&journal.reader).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let is_scan = |step: &String| {
                ["files", "newer", "older", "former"].iter().any(|name| step.starts_with(&format!("SCAN {name}")))
            };
            assert!(!plan.iter().any(|step| is_scan(step) || step.contains("AUTOMATIC")), "{plan:#?}");
        }
        journal.close().await;
    }
}
