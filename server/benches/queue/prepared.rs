//! What is made once for many measurements, and copied for each: a thousand organisations take longer to make than to measure.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

use crate::Options;
use crate::served::{Known, Place};

/// Copies what is prepared in `folder` into the empty `place`, and makes it before if there is none.
pub(crate) async fn copy(folder: &Path, place: &Place<'_>, options: &Options) -> Result<Known> {
    let (kept, known) = (folder.join("place"), folder.join("known.json"));
    if !known.exists() {
        fs::create_dir_all(&kept)?;
        let made = make(&Place { dir: &kept, ..*place }, options).await.context("cannot prepare measurements")?;
        if let Some(url) = place.database_url {
            let (name, prepared, mut server) = databases(url, folder).await?;
            execute(&mut server, &format!("create database {prepared} template {name}")).await?;
        }
        fs::write(&known, serde_json::to_vec(&made)?)?;
    }
    copy_folder(&kept, place.dir)?;
    if let Some(url) = place.database_url {
        let (name, prepared, mut server) = databases(url, folder).await?;
        execute(&mut server, &format!("drop database {name} with (force)")).await?;
        execute(&mut server, &format!("create database {name} template {prepared}")).await?;
    }
    Ok(serde_json::from_slice(&fs::read(&known)?)?)
}

/// Makes it with a server that is stopped in order then: nothing is half written.
async fn make(place: &Place<'_>, options: &Options) -> Result<Known> {
    let (_, mut child) = place.serve().await?;
    let known = place.make(options).await?;
    let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).context("the server has ended")?;
    kill_process(id, Signal::TERM)?;
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await??;
    ensure!(ended.success(), "the server did not end well ({ended})");
    Ok(known)
}

/// The name of the database, that of the one which is prepared in `folder`, and a connection to their server.
async fn databases(url: &str, folder: &Path) -> Result<(String, String, PgConnection)> {
    let mut url = Url::parse(url)?;
    let name = plain(url.path().trim_start_matches('/'))?;
    let folder = folder.file_name().and_then(|name| name.to_str()).context("the folder has no name")?;
    let prepared = format!("prepared_{}", plain(folder)?);
    url.set_path("postgres");
    Ok((name, prepared, PgConnection::connect(url.as_str()).await?))
}

/// A name that SQL takes as it is.
fn plain(name: &str) -> Result<String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    ensure!(!name.is_empty() && is_plain, "`{name}` is not of lower-case letters, digits and `_`");
    Ok(name.to_owned())
}

async fn execute(server: &mut PgConnection, statement: &str) -> Result<()> {
    server.execute(AssertSqlSafe(statement)).await.with_context(|| format!("`{statement}`"))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&to)?;
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
