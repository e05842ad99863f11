//! `pool`: whose statements the server passes on, and whom pools serve.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use filemill_server::catalog::{PoolRoot, Serves};
use filemill_server::{Admin, Listing};

use super::output;
use super::place::PlaceArguments;

/// Longest enrolment file that is read.
const MAX_ENROLMENT_BYTES: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Pool {
    /// Say which key signs a pool's statements; the server takes no others from then on, and removes those that it has.
    Root(Root),
    /// Say which organisations a pool serves, these and no others; a running server does so within two seconds. To all others it is
    /// as if there were no such pool. What was sent to it before is still done.
    Serve(Serve),
    /// List the pools: name, fingerprint of the root, newest serial, and the organisations that it serves, by comma, or `*`: all.
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
#[group(id = "whom", required = true, args = ["organisation", "all"])]
pub(super) struct Serve {
    #[command(flatten)]
    place: PlaceArguments,
    /// Name of the pool.
    pool: String,
    /// An organisation that it serves; give it again for each one more.
    #[arg(long, value_name = "NAME")]
    organisation: Vec<String>,
    /// It serves every organisation, those too that are made later.
    #[arg(long)]
    all: bool,
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
                output::print(&format!("{}\t{}", root.pool(), root.fingerprint()))
            }
            Self::Serve(serve) => {
                let admin = Admin::open(&serve.place.database()?).await?;
                let serves = if serve.all { Serves::Everyone } else { Serves::Organisations(serve.organisation) };
                let served = admin.serve_pool(&serve.pool, &serves).await;
                admin.close().await;
                Ok(served?)
            }
            Self::List(list) => {
                let listing = Listing::open(&list.place.database()?).await?;
                let (pools, services) = (listing.pools().await, listing.pool_services().await);
                listing.close().await;
                let mut rows = BTreeMap::<String, [String; 3]>::new();
                for pool in pools? {
                    let root = pool.root.map_or_else(|| "no root".to_owned(), |root| root.fingerprint());
                    let serial = pool.serial.map_or_else(|| "-".to_owned(), |serial| serial.to_string());
                    rows.insert(pool.pool, [root, serial, "-".to_owned()]);
                }
                for service in services? {
                    let serves = match service.serves {
                        Serves::Everyone => "*".to_owned(),
                        Serves::Organisations(names) if names.is_empty() => "-".to_owned(),
                        Serves::Organisations(names) => names.join(","),
                    };
                    let row = rows.entry(service.pool).or_insert_with(|| ["no root", "-", "-"].map(ToOwned::to_owned));
                    row[2] = serves;
                }
                let mut lines = String::new();
                for (pool, [root, serial, serves]) in rows {
                    writeln!(lines, "{pool}\t{root}\t{serial}\t{serves}")?;
                }
                output::print(&lines)
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
