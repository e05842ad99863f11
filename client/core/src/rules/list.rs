//! The patterns of one rule file, as many as there is room for: whoever can write to the folder wrote them.

use std::path::{Path, PathBuf};

use super::pattern::{Pattern, name_of};
use crate::stat::FileStat;

/// Patterns of one rule file, its braces counted as what they stand for.
pub(super) const PATTERNS_MAX: usize = 10_000;
/// What braces that stand for too much count: finding that out takes as long as many patterns.
const BAD_BRACES: usize = 16;
/// What the patterns of one rule file may take in memory, and what those of all that hold in a folder may, in bytes.
const LIST_MAX_BYTES: usize = 16 << 20;
pub(super) const LISTS_MAX_BYTES: usize = 32 << 20;

/// The patterns of one rule file.
pub(super) struct List {
    pub(super) folder: PathBuf,
    pub(super) file: PathBuf,
    /// How it looked before it was read, if it was there.
    pub(super) stat: Option<FileStat>,
    pub(super) patterns: Vec<Pattern>,
    /// What they take in memory, in bytes.
    pub(super) size_bytes: usize,
}

/// There were no steps left.
pub(super) struct TooSlow;

impl List {
    /// The patterns in `text`, of the rule file `file` in `folder`, which looked like `stat`; `None` if there are none. A line that is no
    /// pattern is passed over, as git does.
    ///
    /// # Errors
    ///
    /// Says, for people, why they are too many.
    pub(super) fn parse(
        folder: &Path,
        file: PathBuf,
        with_braces: bool,
        stat: Option<FileStat>,
        text: &[u8],
    ) -> Result<Option<Self>, String> {
        let (mut patterns, mut size_bytes, mut counted) = (Vec::new(), 0, 0);
        for line in text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
            let before = patterns.len();
            match with_braces.then(|| Pattern::with_braces(line)) {
                Some(Ok(several)) => patterns.extend(several),
                bad => {
                    counted += if bad.is_some() { BAD_BRACES } else { 0 };
                    patterns.extend(Pattern::parse(line));
                }
            }
            counted += patterns.len() - before;
            size_bytes += patterns[before..].iter().map(Pattern::size_bytes).sum::<usize>();
            if counted > PATTERNS_MAX {
                return Err(format!("it has more than {PATTERNS_MAX} patterns"));
            }
            if size_bytes > LIST_MAX_BYTES {
                return Err("its patterns take too much memory".to_owned());
            }
        }
        if patterns.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { folder: folder.to_owned(), file, stat, patterns, size_bytes }))
    }
}

/// The one of `patterns` that decides about `path`, if there are `steps` to find it.
pub(super) fn last_match<'a>(
    patterns: &'a [Pattern],
    path: &[u8],
    is_folder: bool,
    steps: &mut u64,
) -> Result<Option<&'a Pattern>, TooSlow> {
    let name = name_of(path);
    let found = patterns.iter().rev().find(|pattern| pattern.matches(path, name, is_folder, steps));
    if *steps == 0 { Err(TooSlow) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(with_braces: bool, text: &str) -> Result<usize, String> {
        let list = List::parse(Path::new("/a"), PathBuf::from("/a/rules"), with_braces, None, text.as_bytes());
        list.map(|list| list.map_or(0, |list| list.patterns.len()))
    }

    #[test]
    fn a_long_rule_file_is_read_and_no_more_patterns_are_kept_than_there_is_room_for() {
        assert_eq!(parse(false, &format!("*.secret\n{}", "#".repeat(300_000))), Ok(1));
        assert_eq!(parse(false, &"a\n".repeat(PATTERNS_MAX)), Ok(PATTERNS_MAX));
        let many = Err("it has more than 10000 patterns".to_owned());
        assert_eq!(parse(false, &"a\n".repeat(PATTERNS_MAX + 1)), many);
        assert_eq!(parse(true, &format!("{}\n", "{a,b}".repeat(8)).repeat(6300)), many);
        assert_eq!(parse(true, &format!("{}\n", "{a,b}".repeat(9)).repeat(6300)), many);
        let heavy = format!("/{}\n", "?".repeat(4000)).repeat(1000);
        assert_eq!(parse(false, &heavy), Err("its patterns take too much memory".to_owned()));
    }
}
