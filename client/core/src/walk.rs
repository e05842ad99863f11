//! Finding files below what the user named, without ever holding more than one folder's worth of them.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::error::{Error, io_detail};
use crate::export::{is_part, is_result};
use crate::reason::SkipReason;
use crate::rules::{LeftOut, Rules};
use crate::source::{Found, path_bytes};
use crate::stat::Seen;
use crate::tree::{Listing, Tree, link_met};

/// Walks hand on what they meet in batches of at most this many.
pub(crate) const MET_AT_ONCE: usize = 256;

/// A file or folder that the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// As the user named it.
    pub(crate) given: PathBuf,
    /// Absolute, with symbolic links resolved: the user meant what they lead to.
    pub(crate) path: PathBuf,
    /// Filemill's home, as an absolute path without links: nothing in it is sent.
    pub(crate) home: PathBuf,
    /// Folders that results were kept in, likewise: the results are not sent.
    pub(crate) exports: Arc<HashSet<PathBuf>>,
    /// What the user named besides and lies in it, likewise: it is met there, and not here.
    pub(crate) inner: Arc<HashSet<PathBuf>>,
}

/// Something that a walk met.
#[derive(Debug)]
pub(crate) enum Met {
    File(Found),
    /// No file that could be analysed.
    Skipped {
        path: PathBuf,
        reason: SkipReason,
    },
    /// Something that should have been read, and could not be.
    Unreadable {
        path: PathBuf,
        reason: String,
    },
    /// A rule leaves it out.
    Ignored {
        path: PathBuf,
        why: LeftOut,
        is_folder: bool,
    },
    /// A file of which nobody knows whether a rule leaves it out.
    Unruled {
        found: Found,
        why: LeftOut,
    },
}

impl Root {
    /// # Errors
    ///
    /// Says, for people, why there is nothing to be found.
    pub(crate) fn new(given: &Path) -> Result<Self, String> {
        match fs::canonicalize(given) {
            Ok(path) => Ok(Self { given: given.to_owned(), ..Self::resolved(path) }),
            Err(error) => Err(io_detail(&error)),
        }
    }

    /// The one at the absolute `path`, which has no links and which the user calls so.
    pub(crate) fn resolved(path: PathBuf) -> Self {
        Self { given: path.clone(), path, home: PathBuf::new(), exports: Arc::default(), inner: Arc::default() }
    }

    /// The opened folder, and the absolute `path` below it.
    ///
    /// # Errors
    ///
    /// As [`Tree::at`].
    pub(crate) fn below<'a>(&self, path: &'a Path) -> io::Result<(Arc<Tree>, &'a Path)> {
        let below = path.strip_prefix(&self.path).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        Ok((Tree::at(&self.path)?, below))
    }

    /// Leaves out the home, and results that were kept in one of `exports`.
    pub(crate) fn without(mut self, home: &Path, exports: &Arc<HashSet<PathBuf>>) -> Self {
        self.home = fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
        self.exports = Arc::clone(exports);
        self
    }

    /// Whether the absolute `path` lies in filemill's home or is it.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        // Without a home nothing is.
        !self.home.as_os_str().is_empty() && path.starts_with(&self.home)
    }

    /// Whether the absolute `path` below this root is what was kept of a result, or lies in it. What the user named is
    /// not, whatever it is called.
    pub(crate) fn is_result(&self, path: &Path, is_folder: bool) -> bool {
        if self.exports.is_empty() {
            return false;
        }
        let (mut is_folder, mut has_such_a_name) = (is_folder, false);
        for at in path.ancestors() {
            // Results may have been kept in a folder above the root, too.
            if has_such_a_name && self.exports.contains(at) {
                return true;
            }
            has_such_a_name |= at != self.path && at.starts_with(&self.path) && is_result(at, is_folder);
            is_folder = true;
        }
        false
    }

    /// Whether it is to be said of the absolute `folder` that results in it are left out: they were kept there, or, if it is the root,
    /// in one that it lies in.
    fn keeps_results(&self, folder: &Path) -> bool {
        let is_out = |folder: &Path| self.exports.contains(folder);
        is_out(folder) || folder == self.path && !self.exports.is_empty() && folder.ancestors().any(is_out)
    }

    /// A path below it, as the user would name it; `None` if it is not below it.
    pub(crate) fn as_given(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.path).ok()?;
        Some(if below.as_os_str().is_empty() { self.given.clone() } else { self.given.join(below) })
    }
}

/// What an absolute path below one of `roots` is called by the user.
pub(crate) fn as_given(roots: &[Root], path: &Path) -> PathBuf {
    roots.iter().find_map(|root| root.as_given(path)).unwrap_or_else(|| path.to_owned())
}

/// Which of `roots` an absolute path lies in; the innermost, as one may lie in another.
pub(crate) fn root_of<'a>(roots: impl Iterator<Item = &'a Root>, path: &Path) -> Option<usize> {
    let depth = |root: &Root| root.path.components().count();
    let found = roots.enumerate().filter(|(_, root)| path.starts_with(&root.path));
    found.max_by_key(|(_, root)| depth(root)).map(|(position, _)| position)
}

/// What a step of a [`Walk`] came to.
#[expect(clippy::large_enum_variant, reason = "nearly each is the large one, and used at once")]
pub(crate) enum Step {
    /// Something was met; `None` for what nothing is to be said of, such as a folder that is looked through.
    Met(Option<Met>),
    /// A folder that is walked later, and met then.
    Later,
}

/// A walk through what lies below a root, which goes on as far as it is asked to. Symbolic links are not followed, so that there are
/// no loops.
pub(crate) struct Walk {
    /// Met before anything else.
    first: Option<Met>,
    /// Folders that are yet to be walked. They are named here, not kept open: their depth is bounded by nothing but the length of a path.
    folders: Vec<PathBuf>,
    /// The folder that is walked now, and what is left of it.
    open: Option<(PathBuf, Listing)>,
    /// Folders are walked, too, of which nobody knows whether a rule leaves them out.
    is_into_unruled: bool,
}

impl Walk {
    /// Through everything below `root`, or the file that it is. Blocks.
    pub(crate) fn new(root: &Root) -> Self {
        let only = |first| Self { first: Some(first), ..Self::of_folders(Vec::new()) };
        if root.is_own(&root.path) {
            return only(Met::Skipped { path: root.path.clone(), reason: SkipReason::OwnFolder });
        }
        // Another folder may have been given its name since.
        match Tree::anew(&root.path) {
            Ok(_) => return Self::of_folder(root.path.clone()),
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => return only(Met::Unreadable { path: root.path.clone(), reason: io_detail(&error) }),
        }
        let name = root.path.file_name().map(Path::new).unwrap_or(Path::new(""));
        let seen = Tree::anew(root.path.parent().unwrap_or(&root.path)).and_then(|folder| folder.look(name));
        let found = seen
            .map_err(|error| io_detail(&error))
            .and_then(|seen| Found::at(root.path.clone(), path_bytes(name), seen).map_err(|reason| reason.to_string()));
        // The user named it: that it cannot be analysed is a failure, not a remark.
        only(match found {
            Ok(found) => Met::File(found),
            Err(reason) => Met::Unreadable { path: root.path.clone(), reason },
        })
    }

    /// Through everything in `folder`, which lies below the root or is it.
    pub(crate) fn of_folder(folder: PathBuf) -> Self {
        Self::of_folders(vec![folder])
    }

    fn of_folders(folders: Vec<PathBuf>) -> Self {
        Self { first: None, folders, open: None, is_into_unruled: false }
    }

    /// Walks folders, too, of which nobody knows whether a rule leaves them out: each file in them is [`Met::Unruled`].
    pub(crate) fn into_unruled(self) -> Self {
        Self { is_into_unruled: true, ..self }
    }

    /// The next step below `root`; `None` at the end. Blocks.
    pub(crate) fn next(&mut self, root: &Root, rules: &Rules) -> Option<Step> {
        if let Some(met) = self.first.take() {
            return Some(Step::Met(Some(met)));
        }
        if let Some((folder, entries)) = &mut self.open {
            match entries.next() {
                Some(Ok((name, seen))) => {
                    let path = folder.join(name);
                    return Some(self.meet(root, rules, path, seen));
                }
                Some(Err(error)) => {
                    let met = Met::Unreadable { path: folder.clone(), reason: unreadable_folder(&io_detail(&error)) };
                    self.open = None;
                    return Some(Step::Met(Some(met)));
                }
                None => self.open = None,
            }
        }
        let folder = self.folders.pop()?;
        // One that holds nothing takes time, too.
        Some(Step::Met(match root.below(&folder).and_then(|(tree, below)| tree.list(below)) {
            Ok(entries) => {
                let said = || Met::Skipped { path: folder.clone(), reason: SkipReason::KeptResults };
                let met = root.keeps_results(&folder).then(said);
                self.open = Some((folder, entries));
                met
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(match unreachable(root, folder, &error) {
                Met::Unreadable { path, reason } => Met::Unreadable { path, reason: unreadable_folder(&reason) },
                other => other,
            }),
        }))
    }

    /// What is at `path`, which looked like `seen`.
    fn meet(&mut self, root: &Root, rules: &Rules, path: PathBuf, seen: io::Result<Seen>) -> Step {
        if root.inner.contains(&path) {
            return Step::Met(None);
        }
        Step::Met(match seen {
            Ok(seen) if seen.is_folder() => {
                let is_walked = |why: &LeftOut| self.is_into_unruled && matches!(why, LeftOut::Unknown { .. });
                if let Some(why) = rules.left_out(&path, true).filter(|why| !is_walked(why)) {
                    Some(Met::Ignored { path, why, is_folder: true })
                } else if root.is_own(&path) {
                    Some(Met::Skipped { path, reason: SkipReason::OwnFolder })
                } else if root.is_result(&path, true) {
                    None
                } else {
                    self.folders.push(path);
                    return Step::Later;
                }
            }
            Ok(seen) => classify(root, path, seen, rules),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(Met::Unreadable { path, reason: io_detail(&error) }),
        })
    }
}

/// Walks everything below `root`, and hands each thing it meets to `meet` until that breaks off; `None` for what nothing is to
/// be said of, such as a folder that is looked through. Blocks.
#[cfg(test)]
pub(crate) fn walk(
    root: &Root,
    rules: &Rules,
    mut meet: impl FnMut(Option<Met>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut walk = Walk::new(root);
    while let Some(step) = walk.next(root, rules) {
        if let Step::Met(met) = step {
            meet(met)?;
        }
    }
    ControlFlow::Continue(())
}

/// Goes on with a walk below `root` to its end and hands on what it meets in batches, until nobody takes them any more. Blocks.
pub(crate) fn walk_into(mut walk: Walk, root: &Root, rules: &Rules, met: &mpsc::Sender<Vec<Met>>) -> ControlFlow<()> {
    let mut batch = Vec::with_capacity(MET_AT_ONCE);
    let send = |batch: &mut Vec<Met>| match met.blocking_send(std::mem::take(batch)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    while let Some(step) = walk.next(root, rules) {
        if let Step::Met(thing) = step {
            batch.extend(thing);
        }
        if batch.len() >= MET_AT_ONCE {
            send(&mut batch)?;
        }
    }
    if batch.is_empty() { ControlFlow::Continue(()) } else { send(&mut batch) }
}

fn unreadable_folder(why: &str) -> String {
    format!("it is a folder that cannot be read: {why}")
}

/// What one path below `root`, which is no folder, is; `None` for a result that was kept there, which is said of the folder.
pub(crate) fn classify(root: &Root, path: PathBuf, seen: Seen, rules: &Rules) -> Option<Met> {
    if is_part(&path) {
        return Some(Met::Ignored { path, why: LeftOut::Temporary, is_folder: false });
    }
    let unknown = match rules.left_out(&path, false) {
        Some(why @ LeftOut::Unknown { .. }) => Some(why),
        Some(why) => return Some(Met::Ignored { path, why, is_folder: false }),
        None => None,
    };
    if root.is_result(&path, false) {
        return None;
    }
    let name = path.strip_prefix(&root.path).map(path_bytes).unwrap_or_default();
    Some(match (Found::at(path.clone(), name, seen), unknown) {
        (Ok(found), None) => Met::File(found),
        (Ok(found), Some(why)) => Met::Unruled { found, why },
        (Err(_), Some(why)) => Met::Ignored { path, why, is_folder: false },
        (Err(reason), None) => Met::Skipped { path, reason },
    })
}

/// What to say of a path below `root` that could not be looked at: if a link is in its way, that is what was met.
pub(crate) fn unreachable(root: &Root, path: PathBuf, error: &io::Error) -> Met {
    let Some(link) = link_met(error) else {
        return Met::Unreadable { path, reason: io_detail(error) };
    };
    let below = path.strip_prefix(&root.path).map(|below| below.components().take(link.part).collect::<PathBuf>());
    Met::Skipped { path: below.map_or(path.clone(), |below| root.path.join(below)), reason: SkipReason::Link }
}

/// The folder that the user named to be watched.
///
/// # Errors
///
/// [`Error::NoFolder`] if it is not a folder.
pub(crate) fn folder_root(given: &Path) -> Result<Root, Error> {
    let refuse = |detail: String, is_file| Error::NoFolder { path: given.to_owned(), detail, is_file };
    let root = Root::new(given).map_err(|detail| refuse(detail, false))?;
    if root.path.is_dir() { Ok(root) } else { Err(refuse("it is no folder".to_owned(), true)) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn names(folder: &Path, globs: &[&str]) -> (Vec<String>, Vec<String>) {
        let root = Root::new(folder).expect("a folder");
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let rules = Rules::new(&root.path, &globs).expect("rules");
        let (mut files, mut others) = (Vec::new(), Vec::new());
        let _ = walk(&root, &rules, |met| {
            let Some(met) = met else { return ControlFlow::Continue(()) };
            match met {
                Met::File(found) => files.push(String::from_utf8_lossy(&found.name).into_owned()),
                Met::Skipped { path, reason } => {
                    others.push(format!("{}: {reason}", path.file_name().unwrap_or_default().to_string_lossy()));
                }
                Met::Unreadable { path, reason } => {
                    others.push(format!("{}: {reason}", path.file_name().unwrap_or_default().to_string_lossy()));
                }
                Met::Unruled { found, .. } => others.push(format!("{}: unruled", found.path.display())),
                Met::Ignored { path, .. } => {
                    others.push(format!("{}: ignored", path.file_name().expect("a name").to_string_lossy()))
                }
            }
            ControlFlow::Continue(())
        });
        files.sort();
        others.sort();
        (files, others)
    }

    #[test]
    fn a_walk_meets_every_file_once_and_says_what_it_leaves_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/deep"), "1").unwrap();
        fs::write(path.join("empty"), "").unwrap();
        fs::write(path.join("new\nline"), "2").unwrap();
        fs::write(path.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "3").unwrap();
        std::os::unix::fs::symlink("..", path.join("a/loop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let (files, others) = names(path, &[]);
        assert_eq!(files, ["a/b/deep", "caf\u{fffd}", "empty", "new\nline"]);
        assert_eq!(others, ["loop: ignored: link, which is not followed", "pipe: it is a named pipe"]);
    }

    #[test]
    fn patterns_leave_out_files_and_whole_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("target/debug")).unwrap();
        fs::write(path.join("target/debug/x"), "").unwrap();
        fs::write(path.join("keep.log"), "").unwrap();
        fs::write(path.join("drop.log"), "").unwrap();
        fs::write(path.join(".filemillignore"), "*.log\n!keep.log\n").unwrap();
        let (files, others) = names(path, &["/target"]);
        assert_eq!(files, [".filemillignore", "keep.log"]);
        assert_eq!(others, ["drop.log: ignored", "target: ignored"]);
    }

    #[test]
    fn what_the_user_named_is_a_failure_when_it_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let root = Root::new(&pipe).unwrap();
        let mut met = Vec::new();
        let _ = walk(&root, &Rules::none(), |thing| {
            met.extend(thing);
            ControlFlow::Continue(())
        });
        assert!(matches!(&met[..], [Met::Unreadable { .. }]), "{met:?}");
        assert!(Root::new(&folder.path().join("missing")).is_err());
    }

    /// What is sent of `root`, and what is said to be left out, by the names of files and the reasons.
    fn sent(root: &Root) -> (String, String) {
        let (mut files, mut skipped) = (Vec::new(), Vec::new());
        let _ = walk(root, &Rules::none(), |thing| {
            match thing {
                Some(Met::File(found)) => files.push(String::from_utf8_lossy(&found.name).into_owned()),
                Some(Met::Skipped { path, reason }) => {
                    let why = match reason {
                        SkipReason::OwnFolder => "own",
                        SkipReason::KeptResults => "results",
                        other => panic!("{other}"),
                    };
                    skipped.push(format!("{}: {why}", path.file_name().unwrap_or_default().to_string_lossy()));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        });
        files.sort();
        skipped.sort();
        (files.join(" "), skipped.join(" "))
    }

    #[test]
    fn the_home_is_left_out_and_so_are_results_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        for name in [
            "home/token",
            "results/file.age",
            "results/sub/file.2.age",
            "results/sub/file.artifacts/deep/plot",
            "results/letter",
            "results/of.age/file",
            "results/file.artifacts.txt",
            "home-made/file",
            "home-made/mine.age",
            "home-made/mine.artifacts/plot",
        ] {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::write(path.join(name), "1").unwrap();
        }
        fs::write(path.join(".filemill-0123.part"), "half").unwrap();
        let sent = |root: &str, out: &str| {
            let exports = Arc::new(HashSet::from([path.join(out), path.join("gone")]));
            let root = Root::new(&path.join(root)).unwrap().without(&path.join("home"), &exports);
            let (files, skipped) = sent(&root);
            (files, skipped.replace(&*path.file_name().unwrap().to_string_lossy(), "all"))
        };
        let said = |files: &str, skipped: &str| (files.to_owned(), skipped.to_owned());
        let mine = "home-made/file home-made/mine.age home-made/mine.artifacts/plot";
        let others = "results/file.artifacts.txt results/letter results/of.age/file";
        assert_eq!(sent("", "results"), said(&format!("{mine} {others}"), "home: own results: results"));
        assert_eq!(sent("home/token", "results"), said("", "token: own"));
        // The folder itself, and one in it.
        assert_eq!(sent("results", "results"), said("file.artifacts.txt letter of.age/file", "results: results"));
        assert_eq!(sent("results/sub", "results"), said("", "sub: results"));
        assert_eq!(sent("", ""), said(&format!("home-made/file {others}"), "all: results home: own"));
        // What was named is meant.
        assert_eq!(sent("results/file.age", "results"), said("file.age", ""));
        assert_eq!(sent("results/sub/file.artifacts", "results"), said("deep/plot", "file.artifacts: results"));
        assert_eq!(sent("home-made", "results"), said("file mine.age mine.artifacts/plot", ""));
    }

    #[test]
    fn every_folder_is_met_even_one_that_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::create_dir_all(folder.path().join(format!("{number}/empty"))).unwrap();
        }
        let mut met = 0;
        let _ = walk(&Root::new(folder.path()).unwrap(), &Rules::none(), |_| {
            met += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(met, 201, "a look in small steps would take no pause in them");
    }

    #[test]
    fn paths_are_called_what_the_user_called_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let root = Root { given: PathBuf::from("here"), ..Root::new(folder.path()).unwrap() };
        assert_eq!(as_given(std::slice::from_ref(&root), &root.path.join("a/b")), Path::new("here/a/b"));
        assert_eq!(as_given(&[root], Path::new("/elsewhere")), Path::new("/elsewhere"));
    }
}
