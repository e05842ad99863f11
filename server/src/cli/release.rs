//! `release`: engine releases.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use filemill_server::{Admin, AdminError, Listing, MAX_COMPONENT_BYTES, Place, Published, contract_of};
use tokio_util::sync::CancellationToken;

use super::describe::{self, Described};
use super::output;
use super::place::{PlaceArguments, lifetime};

#[derive(Debug, Subcommand)]
pub(super) enum Release {
    /// Store a component and add it as a release, with what it says of itself; a server may be running. Prints engine, version,
    /// digest and contract as JSON.
    Publish(Publish),
    /// List the releases, one JSON object a line, newest first within an engine; `current` are those that organisations use which
    /// were not given another one.
    List(List),
    /// Say which release of an engine is used from now on, an older one for example; a running server does so at once. Prints its
    /// digest.
    Use(Use),
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    #[command(flatten)]
    place: PlaceArguments,
    /// Name of the engine; what the component calls itself if absent. Another name needs --rename.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
    /// Publish it under another name than the component calls itself.
    #[arg(long, requires = "engine")]
    rename: bool,
    /// The release's version, SemVer; what the component says if absent.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// A name that a processor has to have (`filemill-processor run --ability NAME`) to be given the release, such as gpu; may be given
    /// several times.
    #[arg(long = "needs", value_name = "NAME")]
    needs: Vec<String>,
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
    /// What it calls itself, where that is something else.
    itself: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, Args)]
pub(super) struct Use {
    #[command(flatten)]
    place: PlaceArguments,
    /// Name of the engine.
    engine: String,
    /// The release's version.
    version: String,
    /// The organisation that uses it, whatever is published later. Without it: all that were not given one, until a version is
    /// published that is not lower.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
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
                let Called { engine, version, document, itself } = called;
                let published = admin
                    .publish_described(&place, &engine, &version, component, document.as_deref(), publish.needs)
                    .await;
                let releases = admin.listing().releases().await;
                admin.close().await;
                let published = published.with_context(|| format!("`{}`", publish.file.display()))?;
                if let Some(itself) = itself {
                    output::tell(&format!(
                        "notice: it is published as `{engine} {version}`, and calls itself `{itself}`"
                    ));
                }
                tell_current(&published, &releases?);
                output::print_json(&serde_json::to_string(&published)?)
            }
            Self::Use(wish) => {
                let admin = Admin::open(&wish.place.database()?).await?;
                let used = admin.use_release(&wish.engine, &wish.version, wish.organisation.as_deref()).await;
                admin.close().await;
                output::print(&used?)
            }
            Self::List(list) => {
                let listing = Listing::open(&list.place.database()?).await?;
                let releases = listing.releases().await;
                listing.close().await;
                let lines = releases?.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
                output::print(&lines.join("\n"))
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
                output::tell(&format!("warning: published without a description: {error:#}"));
                output::tell("hint: until a processor has described it, `--engine auto` waits for that");
                return Ok(Called { engine: engine.clone(), version: version.clone(), document: None, itself: None });
            }
        };
        let Described { document, name, version } = described;
        let engine = self.engine.clone().unwrap_or_else(|| name.clone());
        let as_published = self.version.clone().unwrap_or_else(|| version.clone());
        if engine != name && !self.rename {
            let itself = name.escape_debug().take(200).collect::<String>();
            return Err(Renamed { engine, itself }.into());
        }
        let is_other = (&engine, &as_published) != (&name, &version);
        let itself = is_other.then(|| format!("{name} {version}").escape_debug().take(200).collect::<String>());
        Ok(Called { engine, version: as_published, document: Some(document), itself })
    }

    fn described(&self, component: &[u8]) -> anyhow::Result<Described> {
        if let Some(file) = &self.description {
            return Described::from_file(file).with_context(|| format!("`{}`", file.display()));
        }
        let processor = describe::find_processor(self.processor.clone());
        let processor = processor.context(NoProcessor)?;
        describe::describe(&processor, component, &CancellationToken::new())
    }
}

/// Says that what was published is not what is used from now on, if so.
fn tell_current(published: &Published, releases: &[filemill_api::Release]) {
    let Published { engine, version, digest, is_new, .. } = published;
    let current = releases.iter().find(|release| release.engine == *engine && release.current);
    let Some(current) = current.filter(|current| current.digest != *digest) else { return };
    let current = &current.version;
    if *is_new {
        output::tell(&format!("notice: {engine} {current} stays current, since {version} is a lower version"));
    } else {
        output::tell(&format!("notice: already published; current is {engine} {current}"));
    }
    output::tell(&format!("hint: `filemill-server release use {engine} {version}` makes this one current"));
}

/// A component under another name than its own: whoever uses that engine would get this one.
#[derive(Debug, thiserror::Error)]
#[error("the component calls itself `{itself}`, not `{engine}`")]
pub(super) struct Renamed {
    engine: String,
    itself: String,
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
