//! `pool`: whose statements the server passes on.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use filemill_server::Admin;
use filemill_server::rules::PoolRoot;

use super::place::PlaceArguments;

/// Longest enrolment file that is read.
const MAX_ENROLMENT_BYTES: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Pool {
    /// Say which key signs a pool's statements; the server takes no others from then on, and removes those that it has.
    Root(Root),
    /// List the pools: name, fingerprint of the root, newest serial.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Root {
    #[command(flatten)]
    place: PlaceArguments,
    /// The pool's name.
    name: String,
    /// Its enrolment file, as `filemill-processor pool init` printed it.
    enrolment: PathBuf,
    /// The pool was made anew: this takes the place of another root.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: PlaceArguments,
}

impl Pool {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Root(asked) => {
                let root = read_enrolment(&asked.enrolment, &asked.name)?;
                let admin = Admin::open(&asked.place.database()?).await?;
                let named = admin.name_root(&root, asked.replace).await;
                admin.close().await;
                named?;
                super::print(&format!("{}\t{}", root.pool(), root.fingerprint()))
            }
            Self::List(list) => {
                let admin = Admin::open(&list.place.database()?).await?;
                let pools = admin.pools().await;
                admin.close().await;
                let mut lines = String::new();
                for pool in pools? {
                    let root = pool.root.map_or_else(|| "no root".to_owned(), |root| root.fingerprint());
                    let serial = pool.serial.map_or_else(|| "-".to_owned(), |serial| serial.to_string());
                    writeln!(lines, "{}\t{root}\t{serial}", pool.pool)?;
                }
                super::print(&lines)
            }
        }
    }
}

/// The root in a pool's enrolment file.
pub(super) fn read_enrolment(path: &Path, pool: &str) -> anyhow::Result<PoolRoot> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    file.take(MAX_ENROLMENT_BYTES)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read `{}`", path.display()))?;
    let root = PoolRoot::from_enrolment(&text).map_err(filemill_server::AdminError::from)?;
    if root.pool() != pool {
        bail!("`{}` is the enrolment of pool `{}`, not of `{}`", path.display(), root.pool(), pool.escape_debug());
    }
    Ok(root)
}
