//! Where results were kept: such a folder is left out of what is sent, also by a program that keeps none there.

use std::path::{Path, PathBuf};

use super::Journal;
use crate::error::Error;
use crate::source::{path_bytes, path_from_bytes};

impl Journal {
    /// All of them, after `out`, if there is one, was written down.
    pub(crate) async fn out_folders(&self, out: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
        let mut folders: Vec<Vec<u8>> = sqlx::query_scalar("select path from out_folders")
            .fetch_all(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        if let Some(out) = out.map(path_bytes).filter(|out| !folders.contains(out)) {
            folders.push(out.clone());
            self.writer
                .write(move |connection| {
                    Box::pin(async move {
                        sqlx::query("insert into out_folders (path) values ($1) on conflict (path) do nothing")
                            .bind(out)
                            .execute(connection)
                            .await?;
                        Ok(())
                    })
                })
                .await?;
        }
        Ok(folders.into_iter().map(path_from_bytes).collect())
    }
}
