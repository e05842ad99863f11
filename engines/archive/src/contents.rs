//! What is in an archive, entry by entry, and what a person should know about it: the same for every format.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use filemill_engine::v2::{Finding, Output, Severity};

use crate::capture::Captured;
use crate::path::{self, Danger};
use crate::rows::{EntryReport, Place, WarningCount};

/// How many entries are listed, and how much text of them is. A host takes 1 MiB of report and findings by default.
const LISTED: usize = 1_000;
const LISTED_BYTES: usize = 256 * 1024;

/// How many findings are told of each kind, and in all. A host bounds them by 1,000.
const TOLD_OF_A_KIND: u64 = 20;
const TOLD: usize = 100;

/// How many names and links are remembered, to find what comes twice.
const REMEMBERED: usize = 500_000;

/// The longest path that is told, in bytes; of an archive around it.
const PATH_BYTES: usize = 300;
const WITHIN_BYTES: usize = 80;

/// How many archives within archives are looked into, and how much memory they may take while they wait.
const NESTED: usize = 100;
const WAITING_BYTES: usize = 32 * 1024 * 1024;

/// How deep archives within archives are looked into.
const DEPTH: u32 = 4;

/// From which size and ratio on an entry, or a file, is a bomb: more than a hundred times as large unpacked is what text
/// hardly reaches, and of less than this nobody suffers.
const BOMB_BYTES: u64 = 1024 * 1024;
const BOMB_RATIO: u64 = 100;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    SymbolicLink,
    HardLink,
    /// A device, a pipe, or what nobody knows.
    Special,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::SymbolicLink => "symbolic link",
            Self::HardLink => "hard link",
            Self::Special => "special",
        }
    }
}

/// An entry of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Length in bytes, as announced.
    pub(crate) size: u64,
    /// Length as stored, where the format compresses entries one by one.
    pub(crate) packed: Option<u64>,
    /// How it is stored.
    pub(crate) method: Option<String>,
    /// When it was changed, in RFC 3339.
    pub(crate) modified: Option<String>,
    pub(crate) encrypted: bool,
    /// What a link points to.
    pub(crate) target: Option<String>,
    /// Whether it would run with its owner's rights.
    pub(crate) sets_user: bool,
}

impl Entry {
    pub(crate) fn new(path: String, kind: Kind, size: u64) -> Self {
        Self {
            path,
            kind,
            size,
            packed: None,
            method: None,
            modified: None,
            encrypted: false,
            target: None,
            sets_user: false,
        }
    }
}

/// An archive that was found in another, and waits to be looked into.
#[derive(Debug)]
pub(crate) struct Nested {
    /// The paths that lead to it, from the outermost on.
    pub(crate) within: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

/// Everything that was found so far.
pub(crate) struct Contents<'a> {
    output: &'a Output,
    /// The archive that is looked into now: the paths that lead to it. Empty: the file itself.
    pub(crate) within: Vec<String>,
    /// Of that archive: hashes of its paths, its symbolic links.
    seen: BTreeSet<u64>,
    links: BTreeSet<String>,
    pub(crate) entries: Vec<EntryReport>,
    listed_bytes: usize,
    pub(crate) entries_total: u64,
    pub(crate) files: u64,
    pub(crate) folders: u64,
    pub(crate) encrypted: u64,
    /// Length of all files as announced, of the file's own entries and of those in nested archives.
    pub(crate) announced_bytes: u64,
    /// Length of what was unpacked to be looked at.
    pub(crate) unpacked_bytes: u64,
    /// How much may be.
    budget: u64,
    /// Entries whose contents were not unpacked to their end.
    pub(crate) unread: u64,
    pub(crate) nested_archives: u64,
    waiting: Vec<Nested>,
    counts: BTreeMap<(&'static str, Severity), u64>,
    told: usize,
}

impl<'a> Contents<'a> {
    /// Nothing yet. At most `budget` bytes will be unpacked.
    pub(crate) fn new(output: &'a Output, budget: u64) -> Self {
        Self {
            output,
            within: Vec::new(),
            seen: BTreeSet::new(),
            links: BTreeSet::new(),
            entries: Vec::new(),
            listed_bytes: 0,
            entries_total: 0,
            files: 0,
            folders: 0,
            encrypted: 0,
            announced_bytes: 0,
            unpacked_bytes: 0,
            budget,
            unread: 0,
            nested_archives: 0,
            waiting: Vec::new(),
            counts: BTreeMap::new(),
            told: 0,
        }
    }

    /// Takes an entry, and warns of what stands in its header.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        self.entries_total += 1;
        match entry.kind {
            Kind::Folder => self.folders += 1,
            _ => self.files += 1,
        }
        self.encrypted += u64::from(entry.encrypted);
        self.announced_bytes = self.announced_bytes.saturating_add(entry.size);
        if self.entries.len() < LISTED && self.listed_bytes < LISTED_BYTES {
            let listed = self.listed(entry);
            self.listed_bytes += listed.text_bytes();
            self.entries.push(listed);
        }
        let at = &entry.path;
        match path::danger(at) {
            Some(Danger::Climbs) => {
                self.warn("path-traversal", Severity::High, at, "climbs out of the folder that it is unpacked into")
            }
            Some(Danger::Absolute) => self.warn("absolute-path", Severity::High, at, "has an absolute path"),
            None => {}
        }
        if at.chars().any(path::is_deceptive) {
            self.warn("deceptive-name", Severity::Medium, at, "has characters that make its name look like another");
        }
        if entry.encrypted {
            self.warn("encrypted", Severity::Low, at, "is encrypted, so that nothing can be said about its contents");
        }
        match entry.kind {
            Kind::Special => self.warn("special-file", Severity::Medium, at, "is no file, folder or link"),
            Kind::HardLink if entry.target.as_deref().is_some_and(|target| path::danger(target).is_some()) => {
                self.warn("link-escape", Severity::High, at, "is a hard link to what lies outside of the archive");
            }
            _ => {}
        }
        if entry.sets_user {
            self.warn("set-user-id", Severity::Medium, at, "would run with its owner's rights");
        }
        if let (Kind::SymbolicLink, Some(target)) = (entry.kind, &entry.target) {
            self.link(at, target);
        }
        self.remember(entry);
        if let Some(packed) = entry.packed {
            self.ratio(at, entry.size, packed);
        }
    }

    /// Takes the target of a symbolic link, which may come later than its entry.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        if path::link_danger(path, target).is_some() {
            self.warn("link-escape", Severity::High, path, "is a link to what lies outside of the archive");
        }
        let told = cut(path, PATH_BYTES);
        if let Some(entry) = self.entries.last_mut().filter(|entry| entry.path == told) {
            entry.target = Some(cut(target, PATH_BYTES));
        }
    }

    /// Warns of an entry that is much larger unpacked.
    pub(crate) fn ratio(&mut self, path: &str, size: u64, packed: u64) {
        if is_bomb(size, packed) {
            let times = size / packed.max(1);
            self.warn(
                "high-ratio",
                Severity::Medium,
                path,
                &format!("is {times} times as large unpacked, {size} bytes"),
            );
        }
    }

    /// Warns of something, at once; of the same kind at most 20 times. All are counted.
    pub(crate) fn warn(&mut self, kind: &'static str, severity: Severity, path: &str, what: &str) {
        let count = self.counts.entry((kind, severity)).or_default();
        *count += 1;
        if *count > TOLD_OF_A_KIND || self.told == TOLD {
            return;
        }
        self.told += 1;
        let within = self.within_report();
        let path = cut(path, PATH_BYTES);
        let subject = if path.is_empty() { "the archive".to_owned() } else { format!("`{path}`") };
        let place = if within.is_empty() { String::new() } else { format!(" (in `{}`)", within.join("` in `")) };
        let finding = Finding::new(kind, severity, format!("{subject}{place} {what}"));
        // The data is an object of texts: it has a form in JSON.
        self.output.found(finding.clone().with(&Place { path, within }).unwrap_or(finding));
    }

    /// How many bytes more may be unpacked.
    pub(crate) fn left(&self) -> u64 {
        self.budget.saturating_sub(self.unpacked_bytes)
    }

    /// Lets an archive within the one that is looked into wait for its turn.
    pub(crate) fn nested(&mut self, path: &str, archive: Captured) {
        let bytes = match archive {
            Captured::None => return,
            Captured::TooLarge => None,
            Captured::Archive(bytes) => Some(bytes),
        };
        self.nested_archives += 1;
        let depth = u32::try_from(self.within.len()).unwrap_or(u32::MAX);
        if depth >= DEPTH {
            let what = format!("is an archive in {depth} others, and was not looked into");
            return self.warn("nested-too-deep", Severity::Medium, path, &what);
        }
        self.warn("nested-archive", Severity::Info, path, "is an archive itself");
        let waiting: usize = self.waiting.iter().map(|nested| nested.bytes.len()).sum();
        match bytes {
            Some(bytes) if waiting + bytes.len() <= WAITING_BYTES && self.nested_archives <= NESTED as u64 => {
                let within = self.within.iter().cloned().chain([path.to_owned()]).collect();
                self.waiting.push(Nested { within, bytes });
            }
            _ => self.unread += 1,
        }
    }

    /// The next archive that waits. What was remembered of the one before is forgotten.
    pub(crate) fn next_nested(&mut self) -> Option<Nested> {
        let mut nested = self.waiting.pop()?;
        self.seen.clear();
        self.links.clear();
        self.within = std::mem::take(&mut nested.within);
        Some(nested)
    }

    /// Warnings by kind, the gravest first.
    pub(crate) fn warning_counts(&self) -> Vec<WarningCount> {
        let mut counts: Vec<_> =
            self.counts.iter().map(|(&(kind, severity), &count)| (severity, kind, count)).collect();
        counts.sort_by_key(|&(severity, kind, _)| (std::cmp::Reverse(severity), kind));
        counts
            .into_iter()
            .map(|(severity, kind, count)| WarningCount { kind, severity: name(severity), count })
            .collect()
    }

    /// Whether less is told than was found.
    pub(crate) fn is_truncated(&self) -> bool {
        self.entries_total > self.entries.len() as u64 || self.counts.values().sum::<u64>() > self.told as u64
    }

    fn listed(&self, entry: &Entry) -> EntryReport {
        EntryReport {
            path: cut(&entry.path, PATH_BYTES),
            within: self.within_report(),
            kind: entry.kind.name(),
            size: entry.size,
            packed: entry.packed,
            method: entry.method.clone(),
            modified: entry.modified.clone(),
            encrypted: entry.encrypted,
            target: entry.target.as_deref().map(|target| cut(target, PATH_BYTES)),
        }
    }

    fn within_report(&self) -> Vec<String> {
        self.within.iter().map(|path| cut(path, WITHIN_BYTES)).collect()
    }

    /// Finds what comes twice, and what would be written through a link of the archive.
    fn remember(&mut self, entry: &Entry) {
        let normal = path::normal(&entry.path);
        if entry.kind != Kind::Folder && self.seen.len() < REMEMBERED {
            let mut hasher = DefaultHasher::new();
            normal.hash(&mut hasher);
            if !self.seen.insert(hasher.finish()) {
                self.warn(
                    "duplicate-name",
                    Severity::Medium,
                    &entry.path,
                    "comes twice: which one is unpacked, depends on the program",
                );
            }
        }
        let mut folder = path::folder(&normal);
        while let (Some(name), false) = (folder, self.links.is_empty()) {
            if self.links.contains(name) {
                self.warn("through-link", Severity::High, &entry.path, "is written through a link of the archive");
                break;
            }
            folder = path::folder(name);
        }
        if entry.kind == Kind::SymbolicLink && self.links.len() < REMEMBERED / 10 {
            self.links.insert(normal);
        }
    }
}

/// Whether something is so much larger unpacked that it must be meant so.
pub(crate) fn is_bomb(size: u64, packed: u64) -> bool {
    size >= BOMB_BYTES && size / packed.max(1) > BOMB_RATIO
}

/// The name of a severity in the contract.
pub(crate) fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// A path as it is told: what makes it look like another is written out, and what is long is cut.
fn cut(text: &str, longest: usize) -> String {
    let mut told = String::new();
    for letter in text.chars() {
        if told.len() >= longest {
            told.push('…');
            break;
        }
        if path::is_deceptive(letter) {
            told.extend(letter.escape_unicode());
        } else {
            told.push(letter);
        }
    }
    told
}
