//! The engines that lie beside a server's program: published when it starts, so that a new server has some.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_server::{Admin, MAX_COMPONENT_BYTES, Place};
use tokio_util::sync::CancellationToken;

use super::describe::{self, Described};
use super::release::NoProcessor;

/// Where an installed program's engines lie, from the folder of programs.
const INSTALLED: &str = "../share/filemill/engines";
/// Where `cargo xtask engine build` puts them, from the folder of a profile's programs.
const BUILT: &str = "../engines";

/// The folder of the engines that were installed or built together with this program, if there is one.
pub(super) fn beside_the_program() -> Option<PathBuf> {
    beside(&env::current_exe().ok()?)
}

fn beside(program: &Path) -> Option<PathBuf> {
    let programs = program.parent()?;
    let is_target = programs.parent().and_then(Path::file_name).is_some_and(|name| name == "target");
    let built = is_target.then(|| programs.join(BUILT));
    [Some(programs.join(INSTALLED)), built].into_iter().flatten().find(|folder| folder.is_dir())
}

/// Says so where no engine is published at all: no file can be analysed then.
pub(super) async fn say_that_there_are_none(admin: &Admin) {
    if admin.listing().releases().await.is_ok_and(|releases| releases.is_empty()) {
        tracing::warn!(
            "no engine is published, so that no file can be analysed (hint: name a folder of engines with `--engines DIR`, or publish one by \
             `filemill-server release publish`)"
        );
    }
}

/// Publishes each component in the folder that is not published yet, the smallest first, under the name and version that it gives itself.
/// What cannot be published is logged, and keeps none of the others.
pub(super) async fn publish(admin: &Admin, place: &Place, folder: &Path, stop: &CancellationToken) {
    if let Err(error) = publish_new(admin, place, folder, stop).await
        && !stop.is_cancelled()
    {
        let hint = "`filemill-server release publish` publishes one by hand";
        tracing::warn!("the engines in `{}` are not published: {error:#} (hint: {hint})", folder.display());
    }
}

async fn publish_new(admin: &Admin, place: &Place, folder: &Path, stop: &CancellationToken) -> anyhow::Result<()> {
    let known: HashSet<String> = admin.listing().releases().await?.into_iter().map(|release| release.digest).collect();
    let mut processor = None;
    for file in components(folder)? {
        let component = tokio::fs::read(&file).await.with_context(|| format!("`{}`", file.display()))?;
        if known.contains(&HEXLOWER.encode(digest(&SHA256, &component).as_ref())) {
            continue;
        }
        let program = match &processor {
            Some(program) => program,
            None => processor.insert(describe::find_processor(None).context(NoProcessor)?),
        };
        if let Err(error) = publish_one(admin, place, program, component, stop).await {
            if stop.is_cancelled() {
                return Ok(());
            }
            tracing::warn!("`{}` is not published: {error:#}", file.display());
        }
    }
    Ok(())
}

/// The components in the folder, the smallest first: those are ready soonest.
fn components(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let metadata = std::fs::metadata(&path).with_context(|| format!("`{}`", path.display()))?;
        if metadata.is_file() {
            found.push((metadata.len(), path));
        }
    }
    found.sort();
    Ok(found.into_iter().filter(|(length, _)| *length <= MAX_COMPONENT_BYTES).map(|(_, path)| path).collect())
}

async fn publish_one(
    admin: &Admin,
    place: &Place,
    processor: &Path,
    component: Vec<u8>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    ensure!(!stop.is_cancelled(), "the server is stopping");
    let (processor, stop) = (processor.to_owned(), stop.clone());
    let described = tokio::task::spawn_blocking(move || {
        describe::describe(&processor, &component, &stop).map(|described| (component, described))
    });
    let (component, Described { document, name, version }) = described.await??;
    let published = admin.publish_described(place, &name, &version, component, Some(&document), Vec::new()).await?;
    tracing::info!(engine = published.engine, version = published.version, "published");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_looked_for_beside_an_installed_program_and_in_a_checkout_and_nowhere_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(&path).expect("made");
            path.canonicalize().expect("there")
        };
        let of = |program: &str| {
            let found = beside(&folder.path().join(program).join("filemill-server"));
            found.map(|folder| folder.canonicalize().expect("there"))
        };
        for programs in ["usr/bin", "tree/target/release"] {
            make(programs);
            assert_eq!(of(programs), None);
        }
        make("usr/engines");
        assert_eq!(of("usr/bin"), None, "anybody's");
        let installed = make("usr/share/filemill/engines");
        assert_eq!(of("usr/bin"), Some(installed));
        let built = make("tree/target/engines");
        assert_eq!(of("tree/target/release"), Some(built));
    }

    #[test]
    fn the_smallest_component_comes_first_and_other_files_do_not_come() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, length) in [("a.wasm", 3), ("b.wasm", 1), ("c.wasm", 2), ("d.json", 1)] {
            std::fs::write(folder.path().join(name), vec![0; length]).expect("written");
        }
        std::fs::create_dir(folder.path().join("e.wasm")).expect("made");
        let found = components(folder.path()).expect("read");
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["b.wasm", "c.wasm", "a.wasm"]);
    }
}
