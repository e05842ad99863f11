//! What is said in the log of files that cannot be offered: of each once for each change, of the first few by name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// Files that are named. Of more, only the number is said.
const NAMED: usize = 20;
/// How long the number of the others has to stay before it is said.
const STEADY: Duration = Duration::from_secs(2);
/// A trouble that comes and goes is one trouble until it stays away for so long.
const AWAY: Duration = Duration::from_secs(60);
/// What is remembered.
const REMEMBERED: usize = 4_000;

/// What was said. Each method gives the line to log, where there is one.
#[derive(Default)]
pub(super) struct Warnings {
    /// By whom it is about: a file, or an offer.
    about: BTreeMap<String, Said>,
    folder: Trouble,
    server: Trouble,
    /// How many were not named, since when that is so, and the number that was said last.
    others: Option<(usize, Instant)>,
    others_said: usize,
}

struct Said {
    what: String,
    named: bool,
}

/// What is wrong with something as a whole, and when it was so last.
#[derive(Default)]
struct Trouble(Option<(String, Instant)>);

impl Warnings {
    /// What is wrong with a file or an offer.
    #[must_use]
    pub(super) fn of(&mut self, whom: &str, what: String) -> Option<String> {
        let named = match self.about.get(whom) {
            Some(said) if said.what == what => return None,
            Some(said) => said.named,
            None if self.about.len() >= REMEMBERED => return None,
            None => self.about.values().filter(|said| said.named).count() < NAMED,
        };
        self.about.insert(whom.to_owned(), Said { what: what.clone(), named });
        named.then_some(what)
    }

    /// It is as it should be, or has changed: whatever is wrong from now on is news.
    pub(super) fn settle(&mut self, whom: &str) {
        self.about.remove(whom);
    }

    /// Forgets what is there no more.
    pub(super) fn keep_only(&mut self, there: &BTreeSet<String>) {
        self.about.retain(|whom, _| there.contains(whom));
    }

    /// What is wrong with the folder, if something is.
    #[must_use]
    pub(super) fn of_folder(&mut self, what: Option<String>, now: Instant) -> Option<String> {
        self.folder.news(what, now)
    }

    /// Why the server takes nothing, if so.
    #[must_use]
    pub(super) fn of_server(&mut self, what: Option<String>, now: Instant) -> Option<String> {
        self.server.news(what, now)
    }

    /// How many were not named, once that number stays.
    #[must_use]
    pub(super) fn of_others(&mut self, now: Instant) -> Option<String> {
        let others = self.about.values().filter(|said| !said.named).count();
        let since = match self.others {
            Some((known, since)) if known == others => since,
            _ => {
                self.others = Some((others, now));
                now
            }
        };
        if others == self.others_said || now.duration_since(since) < STEADY {
            return None;
        }
        self.others_said = others;
        let hint = "remove what is no engine from the folder: others are named then";
        (others > 0).then(|| format!("{others} more files or engines are not offered (hint: {hint})"))
    }
}

impl Trouble {
    fn news(&mut self, what: Option<String>, now: Instant) -> Option<String> {
        let Some(what) = what else {
            self.0.take_if(|(_, seen)| now.duration_since(*seen) >= AWAY);
            return None;
        };
        let is_news = self.0.as_ref().is_none_or(|(known, _)| *known != what);
        self.0 = Some((what.clone(), now));
        is_news.then_some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a folder of bad files once, and gives the lines.
    fn look(warnings: &mut Warnings, files: usize, now: Instant) -> Vec<String> {
        let names: BTreeSet<String> = (0..files).map(|n| format!("{n:05}.wasm")).collect();
        warnings.keep_only(&names);
        let mut lines: Vec<String> =
            names.iter().filter_map(|name| warnings.of(name, format!("`{name}` is bad"))).collect();
        lines.extend(warnings.of_others(now));
        lines
    }

    #[test]
    fn a_folder_of_bad_files_does_not_flood_the_log() {
        let (mut warnings, begun) = (Warnings::default(), Instant::now());
        let lines: Vec<String> =
            (0..100).flat_map(|n| look(&mut warnings, 1_000, begun + n * Duration::from_millis(250))).collect();
        assert_eq!(lines.len(), NAMED + 1, "{lines:?}");
        assert!(lines[NAMED].starts_with("980 more files"), "{lines:?}");
        let now = begun + Duration::from_secs(100);
        assert!(look(&mut warnings, 1_001, now).is_empty());
        assert_eq!(look(&mut warnings, 1_001, now + STEADY).len(), 1, "the number changed");
        // More than are remembered.
        for n in 0..100 {
            assert!(look(&mut warnings, 2 * REMEMBERED, now + n * STEADY).len() <= 1);
        }
    }

    #[test]
    fn a_bad_file_is_said_once_for_each_change() {
        let mut warnings = Warnings::default();
        let say = |warnings: &mut Warnings| warnings.of("a.wasm", "it is bad".to_owned());
        assert!(say(&mut warnings).is_some());
        assert!(say(&mut warnings).is_none());
        warnings.settle("a.wasm");
        assert!(say(&mut warnings).is_some(), "it changed");
        warnings.keep_only(&BTreeSet::new());
        assert!(say(&mut warnings).is_some(), "it was away");
    }

    #[test]
    fn a_trouble_that_comes_and_goes_is_said_once() {
        let (mut warnings, begun) = (Warnings::default(), Instant::now());
        let unsafe_folder = || Some("unsafe".to_owned());
        assert!(warnings.of_folder(unsafe_folder(), begun).is_some());
        for n in 0..1_000 {
            let now = begun + n * Duration::from_millis(250);
            assert!(warnings.of_folder(None, now).is_none());
            assert!(warnings.of_folder(unsafe_folder(), now).is_none());
        }
        let later = begun + Duration::from_millis(250_000) + AWAY;
        assert!(warnings.of_folder(Some("another".to_owned()), begun).is_some());
        assert!(warnings.of_folder(None, later).is_none());
        assert!(warnings.of_folder(Some("another".to_owned()), later).is_some(), "it was away");
    }
}
