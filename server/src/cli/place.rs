//! The arguments that say where a server keeps things.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use filemill_server::storage::StorageConfig;
use filemill_server::store::StoreOptions;
use filemill_server::{Embedded, Place};
use url::Url;

/// PostgreSQL connections of a server.
const CONNECTIONS: u32 = 16;

/// Where database and objects are.
#[derive(Debug, Args)]
pub(super) struct PlaceArguments {
    /// Keep database, objects and credentials under this folder, with a storage endpoint of its own.
    #[arg(long, value_name = "DIR")]
    embedded: Option<PathBuf>,
    /// The database: `postgres://…` or `sqlite:PATH`. With --embedded: instead of SQLite in the folder.
    #[arg(long, value_name = "URL", env = "FILEMILL_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The S3 bucket. Credentials come from the AWS default chain.
    #[arg(long, value_name = "NAME", conflicts_with = "embedded")]
    s3_bucket: Option<String>,
    /// An S3 endpoint other than AWS's own, addressed by path.
    #[arg(long, value_name = "URL", conflicts_with = "embedded")]
    s3_endpoint: Option<Url>,
    /// The S3 region; otherwise from the AWS configuration.
    #[arg(long, value_name = "NAME", conflicts_with = "embedded")]
    s3_region: Option<String>,
    /// Make the bucket if there is none.
    #[arg(long, conflicts_with = "embedded")]
    s3_create_bucket: bool,
}

impl PlaceArguments {
    /// Database and storage, for a server or a release.
    pub(super) fn place(self, storage_listen: Option<SocketAddr>, lifetime: Duration) -> anyhow::Result<Place> {
        let database = self.named_database()?;
        if let Some(dir) = self.embedded {
            return Ok(Place::Embedded(Embedded { dir, database, storage_listen, lifetime }));
        }
        if storage_listen.is_some() {
            bail!("--s3-listen is for the storage endpoint of --embedded");
        }
        let (Some(database), Some(bucket)) = (database, self.s3_bucket) else {
            bail!(
                "say where: `--embedded DIR`, a folder for all of it, or `--database-url URL` and `--s3-bucket NAME`"
            );
        };
        let storage = StorageConfig {
            bucket,
            endpoint: self.s3_endpoint,
            region: self.s3_region,
            credentials: None,
            create_bucket: self.s3_create_bucket,
            lifetime,
        };
        Ok(Place::Services { database, storage })
    }

    /// Whether all is in one folder: a server for whoever uses the machine.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// The database alone.
    pub(super) fn database(&self) -> anyhow::Result<StoreOptions> {
        match (self.named_database()?, &self.embedded) {
            (database, Some(dir)) => {
                let lifetime = Duration::ZERO;
                Ok(Embedded { dir: dir.clone(), database, storage_listen: None, lifetime }.database()?)
            }
            (Some(database), None) => Ok(database),
            (None, None) => bail!(
                "say whose: `--embedded DIR`, the folder that `filemill-server serve` was given, or `--database-url URL`"
            ),
        }
    }

    fn named_database(&self) -> anyhow::Result<Option<StoreOptions>> {
        let parse = |url: &String| StoreOptions::from_url(url, CONNECTIONS).context("--database-url");
        self.database_url.as_ref().map(parse).transpose()
    }
}

/// How long presigned URLs are good.
pub(super) fn lifetime() -> Duration {
    Duration::from_secs(filemill_api::limits::PRESIGNED_SECONDS.into())
}
