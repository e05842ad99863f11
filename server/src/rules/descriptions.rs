//! What engines say of themselves: taken from nodes that installed a release, and asked for where a pool's have said nothing.
//!
//! It is kept for each pool apart: what nodes of one say is not shown to those who pinned another.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use filemill_api::limits::{MAX_DESCRIBE, MAX_DESCRIPTION_BYTES};
use filemill_api::{DescriptionQuery, ErrorBody};
use serde::Deserialize;

use super::digest::sha256_hex;
use super::refusal::{bad_request, check_pool, from_store, is_hex, not_found, shown};
use super::{Core, Rules, ms};
use crate::store::{Needs, NewDescription, StoreError, Tx};

/// How old the list of releases without a description may be.
const LISTED_EVERY: Duration = Duration::from_secs(1);
/// Releases without a description that are looked at, each as often as there are pools that lack it; the others follow when these
/// have one.
const LISTED: i64 = 256;
/// Descriptions kept of a release, by pool: the newest. Results name older ones, as long as nodes of several versions are at work.
const KEPT: i64 = 8;
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
/// Longest text of a description that a list shows, in bytes.
const SUMMARY_MAX_BYTES: usize = 512;
/// Longest version, in bytes.
const VERSION_MAX_BYTES: usize = 64;
/// Most media types that count.
const MEDIA_TYPES_MAX: usize = 64;
/// Longest media type, in bytes.
const MEDIA_TYPE_MAX_BYTES: usize = 127;

/// Releases that lack a description, and whom this server asked for one.
#[derive(Default)]
pub(super) struct Describing {
    listed: Option<Instant>,
    /// Newest first.
    lacking: Vec<Lacking>,
    /// By pool and digest: which nodes were asked.
    asked: HashMap<(String, String), Vec<Asked>>,
}

/// What nodes of a pool have not described, and one of them could.
struct Lacking {
    pool: String,
    digest: String,
    needs: i64,
    since: Instant,
}

struct Asked {
    node: String,
    at: Instant,
    /// It was asked before, and sent none.
    again: bool,
}

/// The parts of a description that lists show. Whatever has another form than it should counts as absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) version: String,
    pub(super) summary: String,
    pub(super) media_types: Vec<String>,
}

impl Said {
    /// Reads a document.
    ///
    /// # Errors
    /// `bad_request`: it is too long, or no JSON object.
    pub(super) fn read(document: &str) -> Result<Self, ErrorBody> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default)]
            version: serde_json::Value,
            #[serde(default)]
            summary: serde_json::Value,
            #[serde(default)]
            media_types: serde_json::Value,
        }
        if document.len() > MAX_DESCRIPTION_BYTES {
            let length = document.len();
            return Err(bad_request(format!("a description of {length} bytes is longer than {MAX_DESCRIPTION_BYTES}")));
        }
        // An array would be taken for the fields in their order.
        let is_object = document.trim_ascii_start().starts_with('{');
        let read: Document = serde_json::from_str(document)
            .ok()
            .filter(|_| is_object)
            .ok_or_else(|| bad_request("the description is not one JSON object"))?;
        let text = |value: &serde_json::Value| plain(value.as_str().unwrap_or_default());
        Ok(Self {
            version: cut(text(&read.version), VERSION_MAX_BYTES),
            summary: cut(text(&read.summary), SUMMARY_MAX_BYTES),
            media_types: read
                .media_types
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str())
                .map(plain)
                .filter(|kind| (1..=MEDIA_TYPE_MAX_BYTES).contains(&kind.len()))
                .take(MEDIA_TYPES_MAX)
                .collect(),
        })
    }

    fn media_types_json(&self) -> String {
        serde_json::Value::from(self.media_types.clone()).to_string()
    }

    /// Keeps the document, which says this of the release.
    pub(super) async fn keep(&self, tx: &mut Tx, pool: &str, digest: &str, document: &str) -> Result<(), StoreError> {
        let new = NewDescription {
            pool,
            digest,
            sha256: &sha256_hex(document.as_bytes()),
            document,
            version: &self.version,
            summary: &self.summary,
            media_types: &self.media_types_json(),
        };
        tx.insert_description(&new, KEPT).await
    }
}

impl Rules {
    /// Keeps what a node of the caller's `own` pool says that a release's engine says of itself, as the newest word, beside the
    /// older ones.
    ///
    /// # Errors
    /// `bad_request`: it is too long, or no JSON object; `not_found`: there is no such release, nor such a component of the pool.
    pub async fn describe_release(&self, own: &str, digest: &str, document: &str) -> Result<(), ErrorBody> {
        let said = Said::read(document)?;
        let kept = async {
            let store = &self.core().store;
            if !is_hex(digest, 64) || !store.is_describable(own, digest).await? {
                return Ok(false);
            }
            let mut tx = store.begin().await?;
            said.keep(&mut tx, own, digest, document).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(true)
        };
        if kept.await.map_err(|error| from_store("keep description", &error))? {
            self.core().described(own, digest);
            return Ok(());
        }
        Err(not_found(format!("there is no release `{}`", shown(digest)), "list the releases"))
    }

    /// What a release's engine says of itself, byte for byte as it was sent.
    ///
    /// # Errors
    /// `bad_request`: what is asked for is no hash, or no pool; `not_found`.
    pub async fn description(&self, digest: &str, query: &DescriptionQuery) -> Result<String, ErrorBody> {
        let DescriptionQuery { sha256, pool } = query;
        if let Some(sha256) = sha256.as_deref().filter(|sha256| !is_hex(sha256, 64)) {
            return Err(bad_request(format!("sha256 `{}` is not 64 lower-case hex characters", shown(sha256))));
        }
        check_pool(pool.as_deref())?;
        let nothing = || {
            not_found(
                format!("there is no such description of release `{}`", shown(digest)),
                "a processor that runs the release sends it",
            )
        };
        if !is_hex(digest, 64) {
            return Err(nothing());
        }
        let (sha256, pool) = (sha256.as_deref().unwrap_or_default(), pool.as_deref().unwrap_or_default());
        let found = self.core().store.description(digest, sha256, pool).await;
        found.map_err(|error| from_store("find description", &error))?.ok_or_else(nothing)
    }
}

impl Core {
    /// Looks which releases lack a description, at once or if that was not looked at just now.
    pub(super) async fn list_undescribed(&self, at_once: bool) -> Result<(), StoreError> {
        let due = at_once || {
            let describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
            describing.listed.is_none_or(|listed| listed.elapsed() >= LISTED_EVERY)
        };
        if due {
            let lacking = self.store.undescribed_releases(ms(self.config.node_present), LISTED).await?;
            self.describing.lock().unwrap_or_else(PoisonError::into_inner).take(lacking, Instant::now());
        }
        Ok(())
    }

    /// Releases that this node, which can run those of `needs.runs`, is to describe. It is not asked for them again for a while.
    pub(super) fn to_describe(&self, node: &str, needs: &Needs) -> Vec<String> {
        let mut describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        if describing.lacking.is_empty() {
            return Vec::new();
        }
        describing.ask(&needs.pool, node, needs.runs, Instant::now())
    }

    /// Which releases a node of this pool, or of any, was or will be asked to describe so lately that its answer may still come.
    pub(super) fn being_described(&self, pool: Option<&str>) -> HashSet<String> {
        let describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        describing.expected(pool, Instant::now())
    }

    fn described(&self, pool: &str, digest: &str) {
        let mut describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        describing.lacking.retain(|lacking| (lacking.pool.as_str(), lacking.digest.as_str()) != (pool, digest));
        describing.asked.remove(&(pool.to_owned(), digest.to_owned()));
    }
}

impl Describing {
    fn take(&mut self, rows: Vec<(String, String, i64)>, now: Instant) {
        self.listed = Some(now);
        let since: HashMap<_, _> =
            self.lacking.drain(..).map(|lacking| ((lacking.pool, lacking.digest), lacking.since)).collect();
        self.lacking = rows
            .into_iter()
            .map(|(pool, digest, needs)| {
                let key = (pool, digest);
                let since = since.get(&key).copied().unwrap_or(now);
                Lacking { pool: key.0, digest: key.1, needs, since }
            })
            .collect();
        let lacking = &self.lacking;
        self.asked.retain(|key, _| lacking.iter().any(|lacking| key.0 == lacking.pool && key.1 == lacking.digest));
    }

    fn expected(&self, pool: Option<&str>, now: Instant) -> HashSet<String> {
        let may_come = |lacking: &&Lacking| match self.asked.get(&(lacking.pool.clone(), lacking.digest.clone())) {
            // Who was asked before and failed will fail again.
            Some(asked) => asked.iter().any(|asked| !asked.again && now.duration_since(asked.at) < DESCRIBED_WITHIN),
            None => now.duration_since(lacking.since) < ASKED_WITHIN,
        };
        let lacking = self.lacking.iter().filter(|lacking| pool.is_none_or(|pool| pool == lacking.pool));
        lacking.filter(may_come).map(|lacking| lacking.digest.clone()).collect()
    }

    fn ask(&mut self, pool: &str, node: &str, runs: i64, now: Instant) -> Vec<String> {
        let Self { lacking, asked, .. } = self;
        let mut digests = Vec::new();
        for Lacking { digest, needs, .. } in lacking.iter().filter(|lacking| lacking.pool == pool) {
            if digests.len() == MAX_DESCRIBE {
                break;
            }
            if !(0..63).contains(needs) || (runs >> needs) & 1 == 0 {
                continue;
            }
            let nodes = asked.entry((pool.to_owned(), digest.clone())).or_default();
            let early = |asked: &Asked| {
                now.duration_since(asked.at) < if asked.node == node { ASKED_AGAIN } else { ASKED_ANOTHER }
            };
            if nodes.iter().any(early) {
                continue;
            }
            let again = nodes.iter().any(|asked| asked.node == node);
            nodes.retain(|asked| asked.node != node);
            nodes.push(Asked { node: node.to_owned(), at: now, again });
            if nodes.len() > ASKED {
                nodes.remove(0);
            }
            digests.push(digest.clone());
        }
        digests
    }
}

/// Without control characters: no line needs them, and PostgreSQL takes no NUL.
fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// At most so many bytes of it, and whole characters.
fn cut(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_engine_says_is_read_and_bounded() {
        let said = Said::read(r#" {"version":"1.2.0","summary":"It counts","media_types":["text/*",7,""],"more":[]}"#);
        let expected =
            Said { version: "1.2.0".into(), summary: "It counts".into(), media_types: vec!["text/*".into()] };
        assert_eq!(said, Ok(expected));
        assert_eq!(Said::read(r#"{"version":[1],"summary":null,"media_types":"all"}"#), Ok(Said::default()));
        let odd = Said::read(r#"{"version":"1\u0000.2","summary":"a\n\u001bb","media_types":["\u0000","a/\u0000b"]}"#);
        let expected = Said { version: "1.2".into(), summary: "ab".into(), media_types: vec!["a/b".into()] };
        assert_eq!(odd, Ok(expected));
        let long = serde_json::json!({"summary": "é".repeat(400), "media_types": vec!["a/b"; 100]}).to_string();
        let said = Said::read(&long).expect("an object");
        assert_eq!((said.summary.len(), said.media_types.len()), (512, 64));
        for bad in ["", "[]", "[\"1\",\"2\",[]]", "{", "{} {}", "null"] {
            assert!(Said::read(bad).is_err(), "{bad}");
        }
        assert!(Said::read(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_DESCRIPTION_BYTES))).is_err());
    }

    #[test]
    fn one_node_after_the_other_is_asked_and_none_again_at_once() {
        let now = Instant::now();
        let mut describing = Describing::default();
        let row = |digest: &str, needs| ("p".to_owned(), digest.to_owned(), needs);
        let lacking = vec![row("a", 1), row("b", 2)];
        describing.take(lacking.clone(), now);
        assert_eq!(describing.ask("q", "one", 0b110, now), [""; 0], "another pool's");
        assert_eq!(describing.ask("p", "one", 0b010, now), ["a"], "it runs contract 1 only");
        assert_eq!(describing.ask("p", "one", 0b010, now), [""; 0]);
        assert_eq!(describing.ask("p", "two", 0b110, now), ["b"], "the other one is being described");
        let later = now + ASKED_ANOTHER;
        describing.take(lacking.clone(), later);
        assert_eq!(describing.ask("p", "one", 0b010, later), [""; 0], "it could not");
        assert_eq!(describing.ask("p", "two", 0b110, later), ["a"]);
        let again = later + ASKED_AGAIN;
        describing.take(lacking, again);
        assert_eq!(describing.ask("p", "one", 0b110, again), ["a", "b"]);
        describing.take(Vec::new(), again);
        assert!(describing.asked.is_empty());
    }

    #[test]
    fn a_description_is_expected_until_everybody_who_was_asked_has_failed() {
        let now = Instant::now();
        let mut describing = Describing::default();
        let lacking = vec![("p".to_owned(), "a".to_owned(), 1)];
        let expected = |describing: &Describing, pool, now| describing.expected(pool, now).contains("a");
        describing.take(lacking.clone(), now);
        assert!(expected(&describing, Some("p"), now), "somebody will be asked");
        assert!(expected(&describing, None, now) && !expected(&describing, Some("q"), now));
        assert!(!expected(&describing, Some("p"), now + ASKED_WITHIN), "nobody was");
        let asked = now + ASKED_WITHIN;
        assert_eq!(describing.ask("p", "one", 0b10, asked), ["a"]);
        assert!(expected(&describing, Some("p"), asked));
        let failed = asked + DESCRIBED_WITHIN;
        assert!(!expected(&describing, Some("p"), failed));
        assert_eq!(describing.ask("p", "two", 0b10, failed), ["a"]);
        assert!(expected(&describing, Some("p"), failed), "another may do better");
        let again = failed + ASKED_AGAIN;
        describing.take(lacking, again);
        assert_eq!(describing.ask("p", "one", 0b10, again), ["a"]);
        assert!(!expected(&describing, Some("p"), again), "it failed before");
    }
}
