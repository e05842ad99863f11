//! What engines say of themselves: taken from nodes that installed a release, and asked for where a pool's have said nothing.
//!
//! It is kept for each pool apart: what nodes of one say is not shown to those who pinned another.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use filemill_api::limits::{MAX_DESCRIBE, MAX_DESCRIPTION_BYTES};
use filemill_api::{DescriptionQuery, ErrorBody};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::digest::sha256_hex;
use super::refusal::{bad_request, check_pool, from_store, is_hex, not_found, shown};
use super::{Caller, Core, Rules, ms};
use crate::store::{Needs, NewDescription, StoreError, Tx};

/// How often to look which releases lack a description.
const LISTED_EVERY: Duration = Duration::from_secs(1);
/// How old that list may be for those who ask for releases, unless one was published since.
const LISTED_LATELY: Duration = Duration::from_millis(250);
/// Releases without a description that are looked at, the newest of each pool; the others follow when these have one.
const LISTED: i64 = 256;
/// Releases and components whose descriptions are forgotten in one transaction.
const FORGOTTEN: i64 = 256;
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
/// Most ends of file names that count.
const EXTENSIONS_MAX: usize = 256;
/// Longest end of a file name, in bytes.
const EXTENSION_MAX_BYTES: usize = 32;

/// Releases that lack a description, and whom this server asked for one.
#[derive(Default)]
pub(super) struct Describing {
    /// When that was last looked at, and how many releases there were at least.
    listed: Option<(Instant, usize)>,
    /// By pool, the newest first. None is empty.
    lacking: HashMap<String, Vec<Lacking>>,
    /// Pool and digest of what was described since somebody began to look.
    described: HashSet<(String, String)>,
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

/// The parts of a description that lists show. Whatever has another form than it should counts as absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) version: String,
    pub(super) summary: String,
    pub(super) media_types: Vec<String>,
    /// Ends of file names, in lower case.
    pub(super) extensions: Vec<String>,
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
            #[serde(default)]
            extensions: serde_json::Value,
            #[serde(default)]
            report_schema: Option<Box<RawValue>>,
        }
        /// What an engine says at the root of its report's schema.
        #[derive(Deserialize)]
        struct Schema {
            #[serde(default, rename = "x-extensions")]
            extensions: serde_json::Value,
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
        // A node of an earlier version passes the engine's own words on where they stand.
        let in_schema = || {
            let schema = read.report_schema.as_ref().and_then(|schema| serde_json::from_str(schema.get()).ok());
            schema.map(|Schema { extensions }| extensions).unwrap_or_default()
        };
        let extensions = if read.extensions.is_array() { read.extensions.clone() } else { in_schema() };
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
            extensions: extensions
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str())
                .map(|extension| plain(extension).to_lowercase())
                .filter(|extension| (1..=EXTENSION_MAX_BYTES).contains(&extension.len()))
                .take(EXTENSIONS_MAX)
                .collect(),
        })
    }

    /// Keeps the document, which says this of the release.
    pub(super) async fn keep(&self, tx: &mut Tx, pool: &str, digest: &str, document: &str) -> Result<(), StoreError> {
        let (sha256, media_types, extensions) = self.columns(document);
        let new = self.row(pool, digest, document, (&sha256, &media_types, &extensions));
        tx.insert_description(&new, KEPT).await
    }

    /// Keeps the document as what the release's publisher says.
    pub(super) async fn publish(&self, tx: &mut Tx, digest: &str, document: &str) -> Result<(), StoreError> {
        let (sha256, media_types, extensions) = self.columns(document);
        tx.publish_description(&self.row("", digest, document, (&sha256, &media_types, &extensions))).await
    }

    fn columns(&self, document: &str) -> (String, String, String) {
        let json = |list: &[String]| serde_json::Value::from(list).to_string();
        (sha256_hex(document.as_bytes()), json(&self.media_types), json(&self.extensions))
    }

    fn row<'a>(
        &'a self,
        pool: &'a str,
        digest: &'a str,
        document: &'a str,
        (sha256, media_types, extensions): (&'a str, &'a str, &'a str),
    ) -> NewDescription<'a> {
        let (version, summary) = (&self.version, &self.summary);
        NewDescription { pool, digest, sha256, document, version, summary, media_types, extensions }
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
            let _turn = self.core().pools_writing.pass(own.to_owned()).await;
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

    /// What a release's engine says of itself, byte for byte as it was sent, by nodes of a pool that serves the caller; the document
    /// of a hash by any.
    ///
    /// # Errors
    /// `bad_request`: what is asked for is no hash, or no pool; `not_found`.
    pub async fn description(
        &self,
        caller: &Caller,
        digest: &str,
        query: &DescriptionQuery,
    ) -> Result<String, ErrorBody> {
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
        let core = self.core();
        let find = async {
            let pools = match (pool.as_deref(), sha256) {
                (Some(pool), _) => Some(vec![(core.shown_pool(caller, pool).await?.to_owned(),)]),
                // Who names it exactly has it from a result, and does not learn whose it is.
                (None, Some(_)) => None,
                (None, None) => core.shown_pools(caller).await?,
            };
            core.store.description(digest, sha256.as_deref().unwrap_or_default(), pools.as_deref()).await
        };
        find.await.map_err(|error| from_store("find description", &error))?.ok_or_else(nothing)
    }
}

/// Looks every second which releases lack a description, until `stop`.
pub(super) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut due = interval(LISTED_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            due.tick().await;
            let _one = core.listing.lock().await;
            if let Err(error) = core.list_undescribed().await {
                let _logged = from_store("list releases without a description", &error);
            }
        }
    };
    let _ = stop.run_until_cancelled(looking).await;
}

impl Core {
    /// Sees to it that the list of what lacks a description is fresh enough for who knows of so many releases.
    pub(super) async fn list_undescribed_for(&self, releases: usize) -> Result<(), StoreError> {
        let _one = self.listing.lock().await;
        // Whoever was waited for may have done it.
        if self.describing().is_fresh(releases, Instant::now()) {
            return Ok(());
        }
        self.list_undescribed().await
    }

    /// Looks which releases lack a description, pool by pool: what one of them has is little for the others. The caller holds
    /// `listing`.
    async fn list_undescribed(&self) -> Result<(), StoreError> {
        self.describing().described.clear();
        let releases = self.store.count_releases().await?;
        let mut lacking = HashMap::new();
        for (pool, runs) in self.store.pool_abilities(ms(self.config.node_present)).await? {
            let rows = self.store.undescribed_releases(&pool, runs, LISTED).await?;
            lacking.insert(pool, rows);
        }
        let more = self.describing().take(lacking, usize::try_from(releases).unwrap_or(0), Instant::now());
        if more {
            // Nodes that wait can be asked.
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Releases that this node, which can run those of `needs.runs`, is to describe. It is not asked for them again for a while.
    pub(super) fn to_describe(&self, node: &str, needs: &Needs) -> Vec<String> {
        self.describing().ask(&needs.pool, node, needs.runs, Instant::now())
    }

    /// Which releases a node of these pools was or will be asked to describe so lately that its answer may still come; and which
    /// nodes were asked to describe in vain.
    pub(super) fn being_described(&self, of: impl Fn(&str) -> bool) -> (HashSet<String>, HashSet<String>) {
        let (describing, now) = (self.describing(), Instant::now());
        (describing.expected(&of, now), describing.given_up(&of, now))
    }

    /// Forgets descriptions of what is gone that were last said before that. They are looked for outside of the transaction, because nearly all descriptions
    /// are old and stay.
    pub(super) async fn forget_descriptions(&self, before: i64) -> Result<(), StoreError> {
        loop {
            let stale = self.store.stale_descriptions(before, FORGOTTEN).await?;
            if stale.is_empty() {
                return Ok(());
            }
            let mut tx = self.store.begin().await?;
            tx.forget_descriptions(&stale, before).await?;
            tx.commit().await?;
            if (stale.len() as i64) < FORGOTTEN {
                return Ok(());
            }
        }
    }

    fn described(&self, pool: &str, digest: &str) {
        self.describing().described(pool, digest);
    }

    fn describing(&self) -> MutexGuard<'_, Describing> {
        self.describing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lacking {
    /// Whether somebody who was asked may still answer. Who was asked before and failed will fail again.
    fn may_come(&self, now: Instant) -> bool {
        self.asked.iter().any(|asked| !asked.again && now.duration_since(asked.at) < DESCRIBED_WITHIN)
    }
}

impl Describing {
    fn is_fresh(&self, releases: usize, now: Instant) -> bool {
        self.listed.is_some_and(|(at, known)| known >= releases && now.duration_since(at) < LISTED_LATELY)
    }

    /// Takes over what was looked up. True: something lacks that did not before.
    fn take(&mut self, rows: HashMap<String, Vec<(String, i64)>>, releases: usize, now: Instant) -> bool {
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

    fn described(&mut self, pool: &str, digest: &str) {
        self.described.insert((pool.to_owned(), digest.to_owned()));
        if let Some(lacking) = self.lacking.get_mut(pool) {
            lacking.retain(|lacking| lacking.digest != digest);
            if lacking.is_empty() {
                self.lacking.remove(pool);
            }
        }
    }

    fn expected(&self, shown: impl Fn(&str) -> bool, now: Instant) -> HashSet<String> {
        let may_come = |lacking: &&Lacking| {
            lacking.may_come(now) || lacking.asked.is_empty() && now.duration_since(lacking.since) < ASKED_WITHIN
        };
        self.lacking_in(shown).filter(may_come).map(|lacking| lacking.digest.clone()).collect()
    }

    fn given_up(&self, shown: impl Fn(&str) -> bool, now: Instant) -> HashSet<String> {
        let in_vain = |lacking: &&Lacking| !lacking.asked.is_empty() && !lacking.may_come(now);
        self.lacking_in(shown).filter(in_vain).map(|lacking| lacking.digest.clone()).collect()
    }

    fn lacking_in(&self, shown: impl Fn(&str) -> bool) -> impl Iterator<Item = &Lacking> {
        self.lacking.iter().filter(move |(of, _)| shown(of)).flat_map(|(_, lacking)| lacking)
    }

    /// Leasing asks for every node that waits whenever it wakes: what was asked of somebody just now is passed over at once.
    fn ask(&mut self, pool: &str, node: &str, runs: i64, now: Instant) -> Vec<String> {
        let mut digests = Vec::new();
        for Lacking { digest, needs, asked, .. } in self.lacking.get_mut(pool).into_iter().flatten() {
            if digests.len() == MAX_DESCRIBE {
                break;
            }
            let just_asked = asked.last().is_some_and(|last| now.duration_since(last.at) < ASKED_ANOTHER);
            if just_asked || !(0..63).contains(needs) || (runs >> *needs) & 1 == 0 {
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
        let expected = Said {
            version: "1.2.0".into(),
            summary: "It counts".into(),
            media_types: vec!["text/*".into()],
            extensions: Vec::new(),
        };
        assert_eq!(said, Ok(expected));
        assert_eq!(Said::read(r#"{"version":[1],"summary":null,"media_types":"all"}"#), Ok(Said::default()));
        let odd = Said::read(r#"{"version":"1\u0000.2","summary":"a\n\u001bb","media_types":["\u0000","a/\u0000b"]}"#);
        let expected = Said {
            version: "1.2".into(),
            summary: "ab".into(),
            media_types: vec!["a/b".into()],
            extensions: Vec::new(),
        };
        assert_eq!(odd, Ok(expected));
        let long = serde_json::json!({"summary": "é".repeat(400), "media_types": vec!["a/b"; 100]}).to_string();
        let said = Said::read(&long).expect("an object");
        assert_eq!((said.summary.len(), said.media_types.len()), (512, 64));
        let extensions = |document: &str| Said::read(document).expect("an object").extensions;
        assert_eq!(
            extensions(r#"{"extensions":["TGZ","a\u0000b",7,""],"report_schema":{"x-extensions":["no"]}}"#),
            ["tgz", "ab"]
        );
        assert_eq!(extensions(r#"{"report_schema":{"x-extensions":["eml"]}}"#), ["eml"], "an earlier node's document");
        assert_eq!(extensions(&serde_json::json!({"extensions": vec!["a"; 999]}).to_string()).len(), 256);
        for bad in ["", "[]", "[\"1\",\"2\",[]]", "{", "{} {}", "null"] {
            assert!(Said::read(bad).is_err(), "{bad}");
        }
        assert!(Said::read(&format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_DESCRIPTION_BYTES))).is_err());
    }

    #[test]
    fn one_node_after_the_other_is_asked_and_none_again_at_once() {
        let now = Instant::now();
        let mut describing = Describing::default();
        let lacking = HashMap::from([("p".to_owned(), vec![("a".to_owned(), 1), ("b".to_owned(), 2)])]);
        assert!(describing.take(lacking.clone(), 2, now));
        assert_eq!(describing.ask("q", "one", 0b110, now), [""; 0], "another pool's");
        assert_eq!(describing.ask("p", "one", 0b010, now), ["a"], "it runs contract 1 only");
        assert_eq!(describing.ask("p", "one", 0b010, now), [""; 0]);
        assert_eq!(describing.ask("p", "two", 0b110, now), ["b"], "the other one is being described");
        let later = now + ASKED_ANOTHER;
        assert!(!describing.take(lacking.clone(), 2, later));
        assert_eq!(describing.ask("p", "one", 0b010, later), [""; 0], "it could not");
        assert_eq!(describing.ask("p", "two", 0b110, later), ["a"]);
        let again = later + ASKED_AGAIN;
        describing.take(lacking.clone(), 2, again);
        assert_eq!(describing.ask("p", "one", 0b110, again), ["a", "b"]);
        // Somebody looked, and then it came.
        describing.described("p", "a");
        describing.take(lacking, 2, again);
        assert_eq!(describing.ask("p", "two", 0b110, again + ASKED_ANOTHER), ["b"]);
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
        assert_eq!(describing.ask("p", "one", 0b10, asked), ["a"]);
        assert!(expected(&describing, Some("p"), asked));
        let failed = asked + DESCRIBED_WITHIN;
        assert!(!expected(&describing, Some("p"), failed));
        assert!(!given_up(&describing, Some("p"), asked) && given_up(&describing, Some("p"), failed));
        assert!(given_up(&describing, None, failed) && !given_up(&describing, Some("q"), failed));
        assert_eq!(describing.ask("p", "two", 0b10, failed), ["a"]);
        assert!(expected(&describing, Some("p"), failed), "another may do better");
        let again = failed + ASKED_AGAIN;
        describing.take(lacking, 1, again);
        assert_eq!(describing.ask("p", "one", 0b10, again), ["a"]);
        assert!(!expected(&describing, Some("p"), again), "it failed before");
    }
}
