#!/bin/sh
# notify 8.2.2 (Rust, Linux): a recursive watch of a tree with ONE folder that may not be read answers with an error, and goes on
# watching a part of the tree all the same.
#
# Guess before it was run: either `watch()` fails as a whole and nothing is watched, or the folder without permission is left out,
# as `find` and most walkers leave it out, and the other twenty are watched.
#
# Seen: `watch()` returns `Err` with the path of the one folder, which reads like "nothing is watched now". But the folders that
# the walk met before it stay registered and go on sending events; those after it are not watched, now or later. Which are which
# is the order in which the file system lists them, so the same program behaves differently on a copy of the same tree.
# A folder that is made LATER, below a folder that is watched, and may not be read, gives no error at all: no event with `Err`
# comes, only the lack of events from below it, for good, also when its permissions are mended by its owner afterwards.
#
# Why it matters: who drops the watcher's error misses an unknown part of the tree; who takes it for "not watched" and watches
# again, or falls back to polling, gets the events of the first part as well. A program that must notice each file has to walk
# and watch folder by folder (`NonRecursive`), keep the error of each one, and look again at those that it could not watch.
#
# Needs: cargo, a C linker, Linux; root is given up by `setpriv` (util-linux), as root may read everything.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
mkdir -p "$dir/probe/src"
cat > "$dir/probe/Cargo.toml" <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
notify = "=8.2.2"
[workspace]
TOML
cat > "$dir/probe/src/main.rs" <<'RUST'
use notify::{Event, RecursiveMode, Watcher};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path, sync::mpsc, time::Duration};

/// Waits until nothing has come for a second; the folders from which the creation of a file was told, and how many errors.
fn told(events: &mpsc::Receiver<notify::Result<Event>>) -> (BTreeSet<String>, usize) {
    let (mut folders, mut errors) = (BTreeSet::new(), 0);
    while let Ok(event) = events.recv_timeout(Duration::from_secs(1)) {
        match event {
            Ok(event) if event.kind.is_create() => {
                for path in event.paths.iter().filter(|path| path.is_file()) {
                    let folder = path.parent().and_then(Path::file_name).unwrap();
                    folders.insert(folder.to_string_lossy().into_owned());
                }
            }
            Ok(_) => {}
            Err(_) => errors += 1,
        }
    }
    (folders, errors)
}

fn main() {
    let root = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let tree = root.join("tree");
    let folders: Vec<_> = (0..21).map(|n| tree.join(format!("folder-{n:02}"))).collect();
    for folder in &folders {
        fs::create_dir_all(folder).unwrap();
    }
    // The middle one of those that the file system lists: some come before it, and some after it.
    let listed: Vec<_> = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path()).collect();
    let closed = &listed[listed.len() / 2];
    fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();

    let (send, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(send).unwrap();
    let answer = watcher.watch(&tree, RecursiveMode::Recursive);
    let error = answer.expect_err("the recursive watch succeeded");
    println!("watch(): {error}");
    assert_eq!(error.paths, [closed.clone()]);
    for folder in folders.iter().filter(|folder| *folder != closed) {
        fs::write(folder.join("new"), "x").unwrap();
    }
    let (heard, errors) = told(&events);
    println!("after the error, new files were told from {} of 20 readable folders, with {errors} errors", heard.len());
    assert!((1..20).contains(&heard.len()), "all or nothing was watched");

    // A folder made later, below one that is watched.
    let later = root.join("later");
    fs::create_dir(&later).unwrap();
    let (send, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(send).unwrap();
    watcher.watch(&later, RecursiveMode::Recursive).unwrap();
    let aside = root.join("aside");
    fs::create_dir(&aside).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o300)).unwrap(); // may be entered and written, not read
    // Moving a folder needs the right to write it (its `..` changes), not to read it.
    fs::rename(&aside, later.join("moved")).unwrap();
    fs::create_dir(later.join("control")).unwrap();
    let (_, errors_at_first) = told(&events);
    fs::write(later.join("moved/new"), "x").unwrap();
    fs::write(later.join("control/new"), "x").unwrap();
    let (heard, errors) = told(&events);
    println!("a folder that came later and may not be read: told from {heard:?}, errors {}", errors_at_first + errors);
    assert_eq!(heard, BTreeSet::from(["control".to_owned()]));
    assert_eq!(errors_at_first + errors, 0);
    fs::set_permissions(later.join("moved"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(later.join("moved/newer"), "x").unwrap();
    let (heard, _) = told(&events);
    println!("after its permissions were mended: told from {heard:?}");
    assert!(heard.is_empty());
    fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
}
RUST
(cd "$dir/probe" && cargo build --quiet)
mkdir "$dir/run"
chmod 0755 "$dir"
if [ "$(id -u)" = 0 ]; then
    chown 65534:65534 "$dir/run"
    chmod 0755 "$dir/probe" "$dir/probe/target" "$dir/probe/target/debug" "$dir/probe/target/debug/probe"
    setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/probe/target/debug/probe" "$dir/run"
else
    "$dir/probe/target/debug/probe" "$dir/run"
fi
