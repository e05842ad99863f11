//! `release`: engine releases.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use filemill_server::{Admin, MAX_COMPONENT_BYTES, Place};

use super::place::{PlaceArguments, lifetime};

#[derive(Debug, Subcommand)]
pub(super) enum Release {
    /// Store a component and add it as a release; a server may be running. Prints engine, version, digest and contract
    /// as JSON.
    Publish(Publish),
    /// List the releases, one JSON object a line, newest first within an engine.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    place: PlaceArguments,
    /// Name of the engine.
    #[arg(long, value_name = "NAME")]
    engine: String,
    /// The release's version, SemVer.
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// The component.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: PlaceArguments,
}

impl Release {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Publish(publish) => {
                let component = read(&publish.file).with_context(|| format!("`{}`", publish.file.display()))?;
                let place = publish.place.place(None, lifetime())?;
                let database = match &place {
                    Place::Embedded(embedded) => embedded.database()?,
                    Place::Services { database, .. } => database.clone(),
                };
                let admin = Admin::open(&database).await?;
                let published = admin.publish(&place, &publish.engine, &publish.version, component).await;
                admin.close().await;
                let published = published.with_context(|| format!("`{}`", publish.file.display()))?;
                super::print_json(&serde_json::to_string(&published)?)
            }
            Self::List(list) => {
                let admin = Admin::open(&list.place.database()?).await?;
                let releases = admin.releases().await;
                admin.close().await;
                let lines = releases?.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
                super::print(&lines.join("\n"))
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(file)?.len();
    ensure!(length <= MAX_COMPONENT_BYTES, "it is {length} bytes long; a component has at most {MAX_COMPONENT_BYTES}");
    Ok(std::fs::read(file)?)
}
