//! `release`: engine releases.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use filemill_server::{Admin, AdminError, MAX_COMPONENT_BYTES, Place, contract_of};

use super::describe::{self, Described};
use super::place::{PlaceArguments, lifetime};

#[derive(Debug, Subcommand)]
pub(super) enum Release {
    /// Store a component and add it as a release, with what it says of itself; a server may be running. Prints engine, version,
    /// digest and contract as JSON.
    Publish(Publish),
    /// List the releases, one JSON object a line, newest first within an engine.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    place: PlaceArguments,
    /// Name of the engine; what the component calls itself if absent.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
    /// The release's version, SemVer; what the component says if absent.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What the component says of itself, as `filemill-processor inspect` prints it; otherwise that program is run.
    #[arg(long, value_name = "FILE", conflicts_with = "processor")]
    description: Option<PathBuf>,
    /// The program `filemill-processor`; the one beside this program, or on the path, if absent.
    #[arg(long, value_name = "PATH")]
    processor: Option<PathBuf>,
    /// The component.
    file: PathBuf,
}

/// A release is called so, and says this of itself.
struct Called {
    engine: String,
    version: String,
    document: Option<String>,
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
                contract_of(&component)
                    .map_err(AdminError::from)
                    .with_context(|| format!("`{}`", publish.file.display()))?;
                let called = publish.called(&component)?;
                let place = publish.place.place(None, lifetime())?;
                let database = match &place {
                    Place::Embedded(embedded) => embedded.database()?,
                    Place::Services { database, .. } => database.clone(),
                };
                let admin = Admin::open(&database).await?;
                let Called { engine, version, document } = called;
                let published =
                    admin.publish_described(&place, &engine, &version, component, document.as_deref()).await;
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

impl Publish {
    /// What to call it: as the component does, unless the operator says otherwise.
    fn called(&self, component: &[u8]) -> anyhow::Result<Called> {
        let described = match self.described(component) {
            Ok(described) => described,
            Err(error) => {
                let asked_for = self.description.is_some() || self.processor.is_some();
                let (Some(engine), Some(version), false) = (&self.engine, &self.version, asked_for) else {
                    return Err(error);
                };
                super::tell(&format!("warning: published without a description: {error:#}"));
                super::tell("hint: until a processor has described it, `--engine auto` waits for that");
                return Ok(Called { engine: engine.clone(), version: version.clone(), document: None });
            }
        };
        let Described { document, name, version } = described;
        let called = Called {
            engine: self.engine.clone().unwrap_or_else(|| name.clone()),
            version: self.version.clone().unwrap_or_else(|| version.clone()),
            document: Some(document),
        };
        if (&called.engine, &called.version) != (&name, &version) {
            let itself = format!("{name} {version}").escape_debug().take(200).collect::<String>();
            super::tell(&format!(
                "notice: it is published as `{} {}`, and calls itself `{itself}`",
                called.engine, called.version
            ));
        }
        Ok(called)
    }

    fn described(&self, component: &[u8]) -> anyhow::Result<Described> {
        if let Some(file) = &self.description {
            return Described::from_file(file).with_context(|| format!("`{}`", file.display()));
        }
        let processor = describe::find_processor(self.processor.clone());
        let processor = processor.context(NoProcessor)?;
        describe::describe(&processor, component)
    }
}

/// Nothing reads descriptions here.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "there is no `filemill-processor` beside this program or on the path, which reads what the component says of itself"
)]
pub(super) struct NoProcessor;

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(file)?.len();
    ensure!(length <= MAX_COMPONENT_BYTES, "it is {length} bytes long; a component has at most {MAX_COMPONENT_BYTES}");
    Ok(std::fs::read(file)?)
}
