//! `cargo xtask engine watch`: tests an engine, or runs it over a file, again whenever something of it is saved.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use filemill_text::Lines;
use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecursiveMode, Watcher};

use super::host::{Host, Parameters};
use super::source::{self, Language, Source};
use super::test;
use crate::tree::Tree;

/// What to watch.
#[derive(Debug, Args)]
pub struct WatchOptions {
    /// An engine by name or by path
    name: String,
    /// Run the engine over this file (default: run its tests)
    file: Option<PathBuf>,
    #[command(flatten)]
    parameters: Parameters,
}

/// Saving one file is several events, and a person saves several files: nothing is done before this long after the last.
const QUIET: Duration = Duration::from_millis(200);

/// Runs the command, which ends when it is interrupted.
///
/// # Errors
///
/// When there is no such engine, or its folder cannot be watched. An engine that does not build or fails its test is told,
/// and ends nothing.
pub(super) fn run(tree: &Tree, options: &WatchOptions) -> Result<ExitCode> {
    let source = one(tree, options)?;
    let host = Host::find_or_build(tree)?;
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender).context("cannot watch for changes")?;
    let mut watch =
        |path: &Path, mode| watcher.watch(path, mode).with_context(|| format!("cannot watch `{}`", path.display()));
    watch(&source.folder, RecursiveMode::Recursive)?;
    if let Language::Rust { workspace } = &source.language {
        // An engine's own crates: the SDK, and others beside it.
        if *workspace != source.folder {
            watch(workspace, RecursiveMode::NonRecursive)?;
        }
        let sdk = tree.root().join("engines/sdk");
        if sdk.is_dir() {
            watch(&sdk, RecursiveMode::Recursive)?;
        }
    }
    let file = options
        .file
        .as_deref()
        .map(|file| file.canonicalize().with_context(|| format!("cannot find `{}`", file.display())));
    let file = file.transpose()?;
    if let Some(folder) = file.as_deref().and_then(Path::parent) {
        watch(folder, RecursiveMode::NonRecursive)?; // an editor puts another file in its place
    }

    loop {
        let begun = Instant::now();
        if let Err(error) = again(tree, &host, options, file.as_deref()) {
            filemill_text::tell_lines(format_args!("error: {error:#}"));
        }
        filemill_text::tell!(
            "engine watch: {:.1} s; waiting for a change (Ctrl-C ends)",
            begun.elapsed().as_secs_f32()
        );
        wait(&events, &source.folder, file.as_deref())?;
    }
}

fn one(tree: &Tree, options: &WatchOptions) -> Result<Source> {
    source::choose(tree, std::slice::from_ref(&options.name))?.pop().context("one name is one engine")
}

fn again(tree: &Tree, host: &Host, options: &WatchOptions, file: Option<&Path>) -> Result<()> {
    let source = one(tree, options)?; // its manifest may have changed
    let Some(file) = file else {
        return test::test(tree, host, &[source], false, &mut Lines::on_stdout()).map(|_| ());
    };
    let engine = super::components::build_sources(tree, &[source])?.remove(0);
    let mut command = host.run_command(&engine.file, file);
    command.args(options.parameters.arguments()).status().context("cannot start the host").map(|_| ())
}

/// Waits for a change that matters, and then until nothing has changed for a while.
fn wait(events: &Receiver<notify::Result<Event>>, folder: &Path, file: Option<&Path>) -> Result<()> {
    let matters = |event: notify::Result<Event>| -> Result<bool> {
        let event = event.context("cannot watch for changes any more")?;
        Ok(changes(event.kind) && event.paths.iter().any(|path| is_input(path, folder, file)))
    };
    loop {
        match events.recv() {
            Ok(event) => {
                if matters(event)? {
                    break;
                }
            }
            Err(_) => bail!("cannot watch for changes any more"),
        }
    }
    loop {
        match events.recv_timeout(QUIET) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => bail!("cannot watch for changes any more"),
        }
    }
}

/// Whether something was changed, rather than looked at.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Whether `path` is something that a person saves, rather than what an editor or a build leaves beside it.
fn is_input(path: &Path, folder: &Path, file: Option<&Path>) -> bool {
    if file.is_some_and(|file| file == path) {
        return true;
    }
    // What lies above the folder is where the checkout happens to be.
    let below = path.strip_prefix(folder).ok().or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
    let left = |part: &str| {
        part.starts_with('.') || part.ends_with(['~', '#']) || ["target", "__pycache__", "Cargo.lock"].contains(&part)
    };
    let beside_file = file.and_then(Path::parent).is_some_and(|parent| path.parent() == Some(parent));
    !below.iter().any(|part| left(&part.to_string_lossy())) && (path.starts_with(folder) || !beside_file)
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, MetadataKind};

    use super::*;

    #[test]
    fn only_what_a_person_saves_counts() {
        let folder = Path::new("/e/mine");
        for saved in ["/e/mine/src/lib.rs", "/e/mine/engine.toml", "/e/mine/fixtures/a.txt", "/sdk/src/lib.rs"] {
            assert!(is_input(Path::new(saved), folder, None), "{saved}");
        }
        for left in ["/e/mine/Cargo.lock", "/e/mine/src/.lib.rs.swp", "/e/mine/src/lib.rs~", "/e/mine/target/x"] {
            assert!(!is_input(Path::new(left), folder, None), "{left}");
        }
        assert!(is_input(Path::new("/home/.work/target/sdk/src/lib.rs"), folder, None), "wherever the checkout is");
        let file = Some(Path::new("/data/a.txt"));
        assert!(is_input(Path::new("/data/a.txt"), folder, file));
        assert!(!is_input(Path::new("/data/b.txt"), folder, file), "another file beside it");
    }

    #[test]
    fn to_read_a_file_is_no_change() {
        assert!(!changes(EventKind::Access(AccessKind::Any)));
        assert!(!changes(EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime))));
        assert!(changes(EventKind::Create(CreateKind::File)));
    }

    #[test]
    fn several_events_at_once_are_one_change() {
        let (sender, events) = mpsc::channel();
        let event = |kind: EventKind, path: &str| Ok(Event::new(kind).add_path(path.into()));
        sender.send(event(EventKind::Access(AccessKind::Any), "/e/a")).expect("open");
        for path in ["/e/a", "/e/b", "/e/c"] {
            sender.send(event(EventKind::Create(CreateKind::File), path)).expect("open");
        }
        wait(&events, Path::new("/e"), None).expect("a change");
        assert!(events.try_recv().is_err(), "all were taken");
        drop(sender);
        wait(&events, Path::new("/e"), None).expect_err("nothing can change any more");
    }
}
