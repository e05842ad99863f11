//! Which releases lack a description, and which node is asked for it next.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use filemill_api::limits::MAX_DESCRIBE;

/// How old that list may be for those who ask for releases, unless one was published since.
const LISTED_LATELY: Duration = Duration::from_millis(250);
/// Nodes remembered that were asked for one description.
const ASKED: usize = 64;
/// A node that was asked for a description and sent none is asked again after this.
const ASKED_AGAIN: Duration = Duration::from_secs(180);
/// Another node is asked after this: describing takes seconds, and need not be done by all.
const ASKED_ANOTHER: Duration = Duration::from_secs(10);
/// A node that was asked and has not answered within this is not waited for: it cannot, or has gone.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(30);
/// A node that can describe a release is asked within this, though it be busy; otherwise it talks to another server.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// Releases that lack a description, and whom this server asked for one.
#[derive(Default)]
pub(super) struct Describing {
    /// When that was last looked at, and how many releases there were at least.
    listed: Option<(Instant, usize)>,
    /// By pool, the newest first. None is empty.
    lacking: HashMap<String, Vec<Lacking>>,
    /// Pool and digest of what was described since somebody began to look.
    pub(super) described: HashSet<(String, String)>,
}

/// What nodes of a pool have not described, and one of them could.
struct Lacking {
    digest: String,
    needs: i64,
    since: Instant,
    /// Who was asked, the last one last.
    asked: Vec<Asked>,
}

struct Asked {
    node: String,
    at: Instant,
    /// It was asked before, and sent none.
    again: bool,
}

impl Lacking {
    /// Whether somebody who was asked may still answer. Who was asked before and failed will fail again.
    fn may_come(&self, now: Instant) -> bool {
        self.asked.iter().any(|asked| !asked.again && now.duration_since(asked.at) < DESCRIBED_WITHIN)
    }
}

impl Describing {
    pub(super) fn is_fresh(&self, releases: usize, now: Instant) -> bool {
        self.listed.is_some_and(|(at, known)| known >= releases && now.duration_since(at) < LISTED_LATELY)
    }

    /// Takes over what was looked up. True: something lacks that did not before.
    pub(super) fn take(&mut self, rows: HashMap<String, Vec<(String, i64)>>, releases: usize, now: Instant) -> bool {
        self.listed = Some((now, releases));
        let mut more = false;
        let mut before = std::mem::take(&mut self.lacking);
        let described = std::mem::take(&mut self.described);
        for (pool, rows) in rows {
            let known = before.remove(&pool).unwrap_or_default();
            let mut known: HashMap<_, _> = known.into_iter().map(|one| (one.digest.clone(), one)).collect();
            let mut lacking = Vec::new();
            for (digest, needs) in rows {
                let key = (pool.clone(), digest);
                if described.contains(&key) {
                    continue;
                }
                let digest = key.1;
                lacking.push(known.remove(&digest).unwrap_or_else(|| {
                    more = true;
                    Lacking { digest, needs, since: now, asked: Vec::new() }
                }));
            }
            if !lacking.is_empty() {
                self.lacking.insert(pool, lacking);
            }
        }
        more
    }

    pub(super) fn described(&mut self, pool: &str, digest: &str) {
        self.described.insert((pool.to_owned(), digest.to_owned()));
        if let Some(lacking) = self.lacking.get_mut(pool) {
            lacking.retain(|lacking| lacking.digest != digest);
            if lacking.is_empty() {
                self.lacking.remove(pool);
            }
        }
    }

    pub(super) fn expected(&self, shown: impl Fn(&str) -> bool, now: Instant) -> HashSet<String> {
        let may_come = |lacking: &&Lacking| {
            lacking.may_come(now) || lacking.asked.is_empty() && now.duration_since(lacking.since) < ASKED_WITHIN
        };
        self.lacking_in(shown).filter(may_come).map(|lacking| lacking.digest.clone()).collect()
    }

    pub(super) fn given_up(&self, shown: impl Fn(&str) -> bool, now: Instant) -> HashSet<String> {
        let in_vain = |lacking: &&Lacking| !lacking.asked.is_empty() && !lacking.may_come(now);
        self.lacking_in(shown).filter(in_vain).map(|lacking| lacking.digest.clone()).collect()
    }

    fn lacking_in(&self, shown: impl Fn(&str) -> bool) -> impl Iterator<Item = &Lacking> {
        self.lacking.iter().filter(move |(of, _)| shown(of)).flat_map(|(_, lacking)| lacking)
    }

    /// Leasing asks for every node that waits whenever it wakes: what was asked of somebody just now is passed over at once.
    pub(super) fn ask(&mut self, pool: &str, node: &str, met: &[i64], now: Instant) -> Vec<String> {
        let mut digests = Vec::new();
        for Lacking { digest, needs, asked, .. } in self.lacking.get_mut(pool).into_iter().flatten() {
            if digests.len() == MAX_DESCRIBE {
                break;
            }
            let just_asked = asked.last().is_some_and(|last| now.duration_since(last.at) < ASKED_ANOTHER);
            if just_asked || !met.contains(needs) {
                continue;
            }
            let before = asked.iter().position(|asked| asked.node == node);
            if before.is_some_and(|before| now.duration_since(asked[before].at) < ASKED_AGAIN) {
                continue;
            }
            if let Some(before) = before {
                asked.remove(before);
            }
            asked.push(Asked { node: node.to_owned(), at: now, again: before.is_some() });
            if asked.len() > ASKED {
                asked.remove(0);
            }
            digests.push(digest.clone());
        }
        digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_after_the_other_is_asked_and_none_again_at_once() {
        let now = Instant::now();
        let mut describing = Describing::default();
        let lacking = HashMap::from([("p".to_owned(), vec![("a".to_owned(), 1), ("b".to_owned(), 2)])]);
        assert!(describing.take(lacking.clone(), 2, now));
        assert_eq!(describing.ask("q", "one", &[1, 2], now), [""; 0], "another pool's");
        assert_eq!(describing.ask("p", "one", &[1], now), ["a"], "it runs contract 1 only");
        assert_eq!(describing.ask("p", "one", &[1], now), [""; 0]);
        assert_eq!(describing.ask("p", "two", &[1, 2], now), ["b"], "the other one is being described");
        let later = now + ASKED_ANOTHER;
        assert!(!describing.take(lacking.clone(), 2, later));
        assert_eq!(describing.ask("p", "one", &[1], later), [""; 0], "it could not");
        assert_eq!(describing.ask("p", "two", &[1, 2], later), ["a"]);
        let again = later + ASKED_AGAIN;
        describing.take(lacking.clone(), 2, again);
        assert_eq!(describing.ask("p", "one", &[1, 2], again), ["a", "b"]);
        // Somebody looked, and then it came.
        describing.described("p", "a");
        describing.take(lacking, 2, again);
        assert_eq!(describing.ask("p", "two", &[1, 2], again + ASKED_ANOTHER), ["b"]);
        describing.take(HashMap::new(), 2, again);
        assert!(describing.lacking.is_empty());
    }

    #[test]
    fn whoever_lists_releases_looks_again_only_for_new_ones_and_after_a_while() {
        let now = Instant::now();
        let mut describing = Describing::default();
        assert!(!describing.is_fresh(0, now));
        describing.take(HashMap::new(), 2, now);
        assert!(describing.is_fresh(2, now), "however many ask");
        assert!(!describing.is_fresh(3, now), "one was published");
        assert!(!describing.is_fresh(2, now + LISTED_LATELY));
    }

    #[test]
    fn a_description_is_expected_until_everybody_who_was_asked_has_failed() {
        let now = Instant::now();
        let mut describing = Describing::default();
        let lacking = HashMap::from([("p".to_owned(), vec![("a".to_owned(), 1)])]);
        let of = |pool: Option<&'static str>| move |of: &str| pool.is_none_or(|pool| pool == of);
        let expected = |describing: &Describing, pool, now| describing.expected(of(pool), now).contains("a");
        let given_up = |describing: &Describing, pool, now| describing.given_up(of(pool), now).contains("a");
        describing.take(lacking.clone(), 1, now);
        assert!(expected(&describing, Some("p"), now), "somebody will be asked");
        assert!(expected(&describing, None, now) && !expected(&describing, Some("q"), now));
        assert!(!expected(&describing, Some("p"), now + ASKED_WITHIN), "nobody was");
        assert!(!given_up(&describing, Some("p"), now + ASKED_WITHIN), "nor did anybody fail");
        let asked = now + ASKED_WITHIN;
        assert_eq!(describing.ask("p", "one", &[1], asked), ["a"]);
        assert!(expected(&describing, Some("p"), asked));
        let failed = asked + DESCRIBED_WITHIN;
        assert!(!expected(&describing, Some("p"), failed));
        assert!(!given_up(&describing, Some("p"), asked) && given_up(&describing, Some("p"), failed));
        assert!(given_up(&describing, None, failed) && !given_up(&describing, Some("q"), failed));
        assert_eq!(describing.ask("p", "two", &[1], failed), ["a"]);
        assert!(expected(&describing, Some("p"), failed), "another may do better");
        let again = failed + ASKED_AGAIN;
        describing.take(lacking, 1, again);
        assert_eq!(describing.ask("p", "one", &[1], again), ["a"]);
        assert!(!expected(&describing, Some("p"), again), "it failed before");
    }
}
