//! Where results were kept: they are not sent from there, also by a program that keeps none there.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Journal;
use crate::error::Error;
use crate::source::{path_bytes, path_from_bytes};

/// How long to look for folders that are gone: there may be many, and some on a disk that does not answer.
const LOOK_FOR: Duration = Duration::from_secs(1);

impl Journal {
    /// All of them, after `out`, if there is one, was written down. What is gone by then is forgotten.
    pub(crate) async fn export_folders(&self, out: Option<&Path>) -> Result<Arc<HashSet<PathBuf>>, Error> {
        let folders: Vec<Vec<u8>> = sqlx::query_scalar("select path from out_folders")
            .fetch_all(&self.reader)
            .await
            .map_err(|error| self.failed(&error))?;
        let mut folders: HashSet<PathBuf> = folders.into_iter().map(path_from_bytes).collect();
        if let Some(out) = out.filter(|out| !folders.contains(*out)) {
            // Only now, when it would be one more: a program that names another folder each time leaves few behind.
            let gone = gone(folders.iter().cloned().collect()).await;
            folders.retain(|folder| !gone.contains(folder));
            folders.insert(out.to_owned());
            let (out, gone) = (path_bytes(out), gone.iter().map(|folder| path_bytes(folder)).collect::<Vec<_>>());
            self.writer
                .write(move |connection| {
                    Box::pin(async move {
                        for folder in gone {
                            sqlx::query("delete from out_folders where path = $1")
                                .bind(folder)
                                .execute(&mut *connection)
                                .await?;
                        }
                        sqlx::query("insert into out_folders (path) values ($1) on conflict (path) do nothing")
                            .bind(out)
                            .execute(connection)
                            .await?;
                        Ok(())
                    })
                })
                .await?;
        }
        Ok(Arc::new(folders))
    }
}

/// Those of `folders` that are not there any more, as far as that can be found out in a while.
async fn gone(folders: Vec<PathBuf>) -> HashSet<PathBuf> {
    let until = Instant::now() + LOOK_FOR;
    let looking = tokio::task::spawn_blocking(move || {
        let asked = folders.into_iter().take_while(|_| Instant::now() < until);
        let is_gone = |folder: &PathBuf| {
            let seen = std::fs::symlink_metadata(folder);
            seen.is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
        };
        asked.filter(is_gone).collect()
    });
    match tokio::time::timeout(LOOK_FOR * 2, looking).await {
        Ok(Ok(gone)) => gone,
        _ => HashSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    #[tokio::test]
    async fn what_is_gone_is_forgotten_when_another_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Home::at(folder.path().join("home")).unwrap()).await.unwrap();
        let out = |name: &str| folder.path().join(name);
        for name in ["1", "2", "3"] {
            std::fs::create_dir(out(name)).unwrap();
            journal.export_folders(Some(&out(name))).await.unwrap();
        }
        std::fs::remove_dir(out("2")).unwrap();
        std::fs::create_dir(out("4")).unwrap();
        journal.export_folders(Some(&out("4"))).await.unwrap();
        let expected: HashSet<PathBuf> = ["1", "3", "4"].map(out).into();
        assert_eq!(*journal.export_folders(None).await.unwrap(), expected);
        journal.close().await;
    }
}
