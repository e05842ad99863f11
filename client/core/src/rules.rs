//! Which files are left out, and by which rule: one answer, however a file was met.
//!
//! Rules come from four places, the first that says anything of a path decides: patterns that the user gave with the command;
//! `.filemillignore` files and then `.gitignore` files, each from the path's own folder up to the one that is watched; and what
//! programs and desktops are known to leave. Each is read as git reads it: the last pattern of a file that matches decides, and
//! nothing below a folder that is left out can be brought back unless the folder is. What version control keeps for itself goes
//! before `.gitignore` files: git applies none of them to its own folder, so that a `!` in one does not speak of it.

mod built_in;
mod file;
mod left_out;
mod list;
mod pattern;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use filemill_text::shown_path;

use crate::error::Error;
use crate::stat::{FileStat, what_else};
use crate::tree::{Tree, is_absent, link_met};
use crate::wall_clock::now_ns;
use file::{NotRead, read_rule_file};
pub use left_out::LeftOut;
use list::{LISTS_MAX_BYTES, List, TooSlow, last_match};
use pattern::Pattern;

/// Files of a folder that hold rules, the earlier ones over the later.
const RULE_FILES: [&str; 2] = [".filemillignore", ".gitignore"];
/// The one that is ours: in it braces list alternatives, which git does not know, and it speaks of what git keeps for itself, too.
const OURS: usize = 0;
/// Folders whose rules are kept at hand; all are forgotten when there are more, or their rules take more than those of one may.
const FOLDERS_MAX: usize = 8192;
/// Steps to find out what rule files say of one path: some milliseconds.
const STEPS_MAX: u64 = 1 << 20;
/// Folders that are remembered because their rules have changed; beyond that it is all of them.
const CHANGED_MAX: usize = 64;

/// Rules for one folder and what lies below it.
pub(crate) struct Rules {
    root: PathBuf,
    /// Patterns that the user gave with the command.
    globs: Vec<Pattern>,
    /// Whether rule files count.
    with_files: bool,
    /// Whether what programs and desktops leave is left out.
    with_built_in: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Grows when everything is to be looked at again.
    round: u64,
    folders: HashMap<PathBuf, Arc<Folder>>,
    /// What was read of their rules, in bytes of memory.
    size_bytes: usize,
    /// Folders whose rule files were found to have changed.
    changed: Vec<PathBuf>,
    /// Rule files that cannot be read, and why.
    unread: HashMap<PathBuf, String>,
    /// Rule files whose patterns took too long for a path, what came of that, and how they looked.
    too_slow: HashMap<PathBuf, (FileStat, String)>,
    /// One of them that the system cannot read now, so that nobody knows what stands in it.
    unknown: Option<PathBuf>,
}

/// What is known of a folder.
#[derive(Clone, Default)]
struct Folder {
    round: u64,
    /// Why it is left out itself, or one that it lies in.
    left_out: Option<LeftOut>,
    own: [RuleFile; RULE_FILES.len()],
    /// For each kind of rule file those that hold in it, its own first.
    lists: [Lists; RULE_FILES.len()],
}

type Lists = Option<Arc<Vec<Arc<List>>>>;

/// A rule file as it was read.
#[derive(Clone, Default)]
struct RuleFile {
    /// How it looked, and when; `None` if there was none.
    stat: Option<(FileStat, i64)>,
    list: Option<Arc<List>>,
    /// What the patterns of the rule files above it took in memory then, in bytes.
    above_bytes: usize,
    /// Why its rules cannot be followed as long as it and that are so.
    refused: Option<String>,
    /// The last attempt to look at it failed, for a reason that may pass.
    failed: bool,
    /// Nobody knows its rules.
    is_unknown: bool,
}

impl Rules {
    /// Leaves nothing out.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::of(Path::new("/"), Vec::new(), false)
    }

    /// The rules of rule files in `folder` and below, and over them the user's `globs`. A line of a rule file that is no pattern
    /// is passed over, as git does; a rule file that cannot be read is [told](Self::unread).
    ///
    /// # Errors
    ///
    /// [`Error::Glob`] for one of `globs` that is no pattern.
    pub(crate) fn new(folder: &Path, globs: &[String]) -> Result<Self, Error> {
        Ok(Self::of(folder, parse_all(globs)?, true))
    }

    /// Only the user's `globs`: what was named by hand is not left out because of a rule file.
    ///
    /// # Errors
    ///
    /// [`Error::Glob`] for one of them that is no pattern.
    pub(crate) fn globs_only(folder: &Path, globs: &[String]) -> Result<Self, Error> {
        Ok(Self::of(folder, parse_all(globs)?, false))
    }

    /// The same, and what programs and desktops leave is left out unless a pattern brings it back.
    pub(crate) fn without_temporary(self) -> Self {
        Self { with_built_in: true, ..self }
    }

    fn of(root: &Path, globs: Vec<Pattern>, with_files: bool) -> Self {
        Self { root: root.to_owned(), globs, with_files, with_built_in: false, state: Mutex::default() }
    }

    /// Why the absolute `path` is left out: itself, or a folder that it lies in. The folder that the rules are for is not, and
    /// nothing outside of it.
    pub(crate) fn left_out(&self, path: &Path, is_folder: bool) -> Option<LeftOut> {
        let folder = path.parent().filter(|_| path != self.root && path.starts_with(&self.root))?;
        let folder = self.folder(folder);
        folder.left_out.clone().or_else(|| self.decide(&folder.lists, path, is_folder))
    }

    /// Everything that is asked from now on is answered by rule files as they are then.
    pub(crate) fn read_again(&self) {
        self.state().round += 1;
    }

    /// A rule file that the system could not read since this was asked last, and whose folder waits until it can.
    pub(crate) fn unknown(&self) -> Option<PathBuf> {
        self.state().unknown.take()
    }

    /// Looks at the rules of `folder`.
    pub(crate) fn look_at(&self, folder: &Path) {
        if folder.starts_with(&self.root) {
            self.folder(folder);
        }
    }

    /// Folders whose rule files were found to have changed since this was asked last: what they left out may not be any more.
    pub(crate) fn changed(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.state().changed)
    }

    /// Rule files whose rules cannot be read or followed, and what comes of that: whoever put them there has to know.
    pub(crate) fn unread(&self) -> Vec<(PathBuf, String)> {
        let state = self.state();
        let too_slow = state.too_slow.iter().map(|(path, (_, said))| (path, said));
        let unread = state.unread.iter().chain(too_slow.filter(|(path, _)| !state.unread.contains_key(*path)));
        let mut unread: Vec<_> = unread.map(|(path, said)| (path.clone(), said.clone())).collect();
        unread.sort();
        unread
    }

    /// What is known of `folder`, which lies below the root or is it; brought up to date if need be. Nobody else waits while that
    /// is: a file system that does not answer keeps only those who ask of what lies in it.
    fn folder(&self, folder: &Path) -> Arc<Folder> {
        // What is known of a folder is as new as what is known of those above it: it may be another round when they were looked at.
        let round = {
            let mut state = self.state();
            if let Some(known) = state.known_since(state.round, folder) {
                return known;
            }
            if state.folders.len() >= FOLDERS_MAX || state.size_bytes > LISTS_MAX_BYTES {
                state.folders.clear();
                state.size_bytes = 0;
            }
            state.round
        };
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut at = self.root.clone();
        let mut known = self.known(round, &at, None);
        for part in below.iter() {
            at.push(part);
            known = self.known(round, &at, Some(&known));
        }
        known
    }

    /// What is known of the folder `at`, which lies in `above`, since that round.
    fn known(&self, round: u64, at: &Path, above: Option<&Folder>) -> Arc<Folder> {
        let known = self.state().known_since(round, at);
        known.unwrap_or_else(|| self.renewed(round, at, above))
    }

    /// What is to be known of the folder `at`, which lies in `above`, after a look at its rule files.
    fn renewed(&self, round: u64, at: &Path, above: Option<&Folder>) -> Arc<Folder> {
        let former = self.state().folders.get(at).cloned();
        let was_known = former.is_some();
        let mut known = former.map(Arc::unwrap_or_clone).unwrap_or_default();
        known.round = round;
        known.left_out = above.and_then(|above| above.left_out.clone().or_else(|| self.decide(&above.lists, at, true)));
        let (mut changed, mut added_bytes) = (false, 0);
        // As in git, rules in a folder that is left out do not count.
        if !self.with_files || known.left_out.is_some() {
            known.own = <[RuleFile; RULE_FILES.len()]>::default();
            known.lists = <[Lists; RULE_FILES.len()]>::default();
        } else {
            for kind in 0..RULE_FILES.len() {
                changed |= self.renew(at, above, kind, &mut known, was_known);
                let inherited = above.and_then(|above| above.lists[kind].clone());
                known.lists[kind] = match (&known.own[kind].list, inherited) {
                    (None, inherited) => inherited,
                    (Some(own), inherited) => {
                        let own_bytes = own.size_bytes;
                        let others = inherited.iter().flat_map(|lists| lists.iter().cloned());
                        let lists: Vec<Arc<List>> = std::iter::once(Arc::clone(own)).chain(others).collect();
                        if changed || !was_known {
                            added_bytes += size_of_val(lists.as_slice()) + own_bytes;
                        }
                        Some(Arc::new(lists))
                    }
                };
            }
        }
        let known = Arc::new(known);
        let mut state = self.state();
        state.size_bytes += added_bytes;
        if changed && was_known && !state.changed.iter().any(|folder| folder == at) {
            if state.changed.len() < CHANGED_MAX {
                state.changed.push(at.to_owned());
            } else {
                state.changed = vec![self.root.clone()];
            }
        }
        // Somebody may have looked later, and been done before.
        if state.folders.get(at).is_none_or(|other| other.round <= round) {
            state.folders.insert(at.to_owned(), Arc::clone(&known));
        }
        known
    }

    /// Brings what is known of a rule file of the folder `at` up to date, and says whether it has changed.
    fn renew(&self, at: &Path, above: Option<&Folder>, kind: usize, known: &mut Folder, was_known: bool) -> bool {
        let file = at.join(RULE_FILES[kind]);
        let own = &mut known.own[kind];
        let looked = self.look_at_file(at, above, kind, own);
        let stat = own.stat.map(|(stat, _)| stat);
        let mut state = self.state();
        if state.too_slow.get(&file).is_some_and(|(former, _)| Some(*former) != stat) {
            state.too_slow.remove(&file);
        }
        let not_read = match looked {
            Ok(is_another) => {
                state.unread.remove(&file);
                return is_another | std::mem::take(&mut own.is_unknown);
            }
            Err(not_read) => not_read,
        };
        // What is known holds on where the reason may pass. Else nothing is taken that it may leave out.
        let may_pass = matches!(not_read, NotRead::Now(_));
        own.is_unknown |= !may_pass || !was_known;
        own.failed = !matches!(not_read, NotRead::Refused(_));
        let (NotRead::Refused(reason) | NotRead::Denied(reason) | NotRead::Now(reason)) = not_read;
        let said = if own.is_unknown {
            if may_pass {
                state.unknown = Some(file.clone());
            }
            known.left_out = Some(LeftOut::Unknown { file: file.clone(), reason: reason.clone() });
            format!("what lies beside and below it waits, because its rules cannot be followed: {reason}")
        } else {
            format!("its rules hold as they were: {reason}")
        };
        if state.unread.len() < FOLDERS_MAX {
            state.unread.insert(file, said);
        }
        false
    }

    /// Reads a rule file of the folder `at`, which lies in `above`, again if it has changed, and says whether it has.
    ///
    /// # Errors
    ///
    /// It is there and cannot be read, or fails to be looked at. What was known of it is as it was.
    fn look_at_file(
        &self,
        at: &Path,
        above: Option<&Folder>,
        kind: usize,
        own: &mut RuleFile,
    ) -> Result<bool, NotRead> {
        let below = at.strip_prefix(&self.root).unwrap_or(Path::new("")).join(RULE_FILES[kind]);
        let path = at.join(RULE_FILES[kind]);
        let seen_ns = now_ns();
        #[cfg(test)]
        tests::hang(at);
        let seen = match Tree::at(&self.root).and_then(|tree| tree.look(&below)) {
            Ok(seen) => Some(seen),
            // Behind a link nothing is read at all.
            Err(error) if is_absent(&error) || link_met(&error).is_some() => None,
            Err(error) => return Err(NotRead::of(error)),
        };
        let (stat, kind_of_file) = (seen.map(|seen| seen.stat), seen.and_then(|seen| what_else(seen.kind)));
        let same = match (&own.stat, &stat) {
            (None, None) => true,
            (Some((former, seen_ns)), Some(now)) => former == now && former.is_settled_at(*seen_ns),
            _ => false,
        };
        let lists = above.iter().flat_map(|above| above.lists.iter().flatten()).flat_map(|lists| lists.iter());
        let above_bytes: usize = lists.map(|list| list.size_bytes).sum();
        if same && !own.failed && own.above_bytes == above_bytes {
            return own.refused.clone().map_or(Ok(false), |reason| Err(NotRead::Refused(reason)));
        }
        let read = || Tree::at(&self.root).map_err(NotRead::of).and_then(|tree| read_rule_file(&tree, &below));
        let read = match (stat, kind_of_file) {
            (None, _) => Ok(Vec::new()),
            (_, Some(refused)) => Err(NotRead::Refused(refused.to_owned())),
            (Some(_), None) => read(),
        };
        let list =
            read.and_then(|text| match List::parse(at, path, kind == OURS, stat, &text).map_err(NotRead::Refused)? {
                Some(list) if list.size_bytes + above_bytes > LISTS_MAX_BYTES => {
                    Err(NotRead::Refused("its patterns and those above it take too much memory".to_owned()))
                }
                other => Ok(other),
            });
        let is_same = own.stat.map(|(former, _)| former) == stat;
        if !matches!(list, Err(NotRead::Denied(_) | NotRead::Now(_))) {
            (own.stat, own.above_bytes, own.failed) = (stat.map(|stat| (stat, seen_ns)), above_bytes, false);
        }
        own.refused = None;
        let list = match list {
            Ok(list) => list.map(Arc::new),
            Err(not_read) => {
                if let NotRead::Refused(reason) = &not_read {
                    own.refused = Some(reason.clone());
                }
                return Err(not_read);
            }
        };
        let former = std::mem::replace(&mut own.list, list);
        let texts = |list: &Option<Arc<List>>| {
            let patterns = list.iter().flat_map(|list| &list.patterns);
            patterns.map(|pattern| pattern.text().to_vec()).collect::<Vec<_>>()
        };
        // One that was written just now is read each time; mostly it is as it was.
        Ok(!is_same || texts(&former) != texts(&own.list))
    }

    /// Why `path` is left out, in a folder in which these lists hold.
    fn decide(&self, lists: &[Lists; RULE_FILES.len()], path: &Path, is_folder: bool) -> Option<LeftOut> {
        let below = |base: &Path| slashed(path.strip_prefix(base).unwrap_or(path));
        // The user's own take as long as they take.
        if let Ok(Some(pattern)) = last_match(&self.globs, &below(&self.root), is_folder, &mut u64::MAX.clone()) {
            return why(pattern, None);
        }
        let built_in = if self.with_built_in { built_in::left_out(&below(&self.root), is_folder) } else { None };
        let mut steps = STEPS_MAX;
        for (kind, lists) in lists.iter().enumerate() {
            if kind != OURS && built_in == Some(LeftOut::VersionControl) {
                break;
            }
            for list in lists.iter().flat_map(|lists| lists.iter()) {
                match last_match(&list.patterns, &below(&list.folder), is_folder, &mut steps) {
                    Ok(None) => {}
                    Ok(Some(pattern)) => return why(pattern, Some(&list.file)),
                    Err(TooSlow) => {
                        self.note_too_slow(list, path);
                        let reason = "its patterns take too long".to_owned();
                        return Some(LeftOut::Unknown { file: list.file.clone(), reason });
                    }
                }
            }
        }
        built_in
    }

    /// The patterns of `list` took too long for `path`, and so they may for any that is as long.
    fn note_too_slow(&self, list: &List, path: &Path) {
        let mut state = self.state();
        if let Some(stat) = list.stat
            && state.too_slow.len() < FOLDERS_MAX
        {
            let said =
                || format!("`{}` waits, and whatever has as long a name: its patterns take too long", shown_path(path));
            state.too_slow.entry(list.file.clone()).or_insert_with(|| (stat, said()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known of `folder`, if it was looked at in that round or later.
    fn known_since(&self, round: u64, folder: &Path) -> Option<Arc<Folder>> {
        self.folders.get(folder).filter(|known| known.round >= round).cloned()
    }
}

/// Whether a file of this name holds rules.
pub(crate) fn is_rule_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| RULE_FILES.iter().any(|file| name == *file))
}

fn parse_all(globs: &[String]) -> Result<Vec<Pattern>, Error> {
    let parse = |glob: &String| {
        Pattern::with_braces(glob.as_bytes()).map_err(|detail| Error::Glob { glob: glob.clone(), detail })
    };
    Ok(globs.iter().map(parse).collect::<Result<Vec<_>, _>>()?.concat())
}

fn why(pattern: &Pattern, file: Option<&Path>) -> Option<LeftOut> {
    if pattern.is_negated() {
        return None;
    }
    Some(LeftOut::Pattern { pattern: pattern.text().to_vec(), file: file.map(Path::to_owned) })
}

/// A path as git has it.
fn slashed(path: &Path) -> Cow<'_, [u8]> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if cfg!(windows) {
        Cow::Owned(bytes.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect())
    } else {
        Cow::Borrowed(bytes)
    }
}

#[cfg(test)]
mod tests;
