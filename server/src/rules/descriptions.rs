//! What engines say of themselves: taken from the node that installed a release first, and asked for where there is none.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use filemill_api::limits::{MAX_DESCRIBE, MAX_DESCRIPTION_BYTES};
use filemill_api::{DescriptionQuery, ErrorBody};
use serde::Deserialize;

use super::digest::sha256_hex;
use super::refusal::{bad_request, from_store, not_found, shown};
use super::{Core, Rules};
use crate::store::{NewDescription, StoreError};

/// How old the list of releases without a description may be.
const LISTED_EVERY: Duration = Duration::from_secs(1);
/// Releases without a description that are looked at; the others follow when these have one.
const LISTED: i64 = 64;
/// A node that was asked for a description and sent none is asked again after this.
const ASKED_AGAIN: Duration = Duration::from_secs(180);
/// Another node is asked after this: describing takes seconds, and need not be done by all.
const ASKED_ANOTHER: Duration = Duration::from_secs(10);
/// A node that was asked and has not answered within this is not waited for: it cannot, or has gone.
const DESCRIBED_WITHIN: Duration = Duration::from_secs(30);
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
    /// Digest and what it needs.
    lacking: Vec<(String, i64)>,
    /// By digest: which nodes were asked, and when.
    asked: HashMap<String, Vec<(String, Instant)>>,
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
        let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned).unwrap_or_default();
        Ok(Self {
            version: cut(text(&read.version), VERSION_MAX_BYTES),
            summary: cut(text(&read.summary), SUMMARY_MAX_BYTES),
            media_types: read
                .media_types
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str())
                .filter(|kind| (1..=MEDIA_TYPE_MAX_BYTES).contains(&kind.len()))
                .map(ToOwned::to_owned)
                .take(MEDIA_TYPES_MAX)
                .collect(),
        })
    }

    pub(super) fn media_types_json(&self) -> String {
        serde_json::Value::from(self.media_types.clone()).to_string()
    }

    /// As [`NewDescription`] of that digest.
    pub(super) fn row<'a>(&'a self, digest: &'a str, document: &'a str, media_types: &'a str) -> NewDescription<'a> {
        NewDescription { digest, document, version: &self.version, summary: &self.summary, media_types }
    }
}

impl Rules {
    /// Keeps what a node says that a release's engine says of itself, unless somebody said something before: that stays.
    ///
    /// # Errors
    /// `bad_request`: it is too long, or no JSON object; `not_found`: there is no such release.
    pub async fn describe_release(&self, digest: &str, document: &str) -> Result<(), ErrorBody> {
        let said = Said::read(document)?;
        let media_types = said.media_types_json();
        let kept = async {
            let store = &self.core().store;
            if !store.is_describable(digest).await? {
                return Ok(false);
            }
            let mut tx = store.begin().await?;
            tx.insert_description(&said.row(digest, document, &media_types)).await?;
            tx.commit().await?;
            Ok::<_, StoreError>(true)
        };
        if kept.await.map_err(|error| from_store("keep description", &error))? {
            self.core().described(digest);
            return Ok(());
        }
        Err(not_found(format!("there is no release `{}`", shown(digest)), "list the releases"))
    }

    /// What a release's engine says of itself, byte for byte as it was sent.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn description(&self, digest: &str, query: &DescriptionQuery) -> Result<String, ErrorBody> {
        let found = self.core().store.description(digest).await;
        let found = found.map_err(|error| from_store("find description", &error))?;
        let is_asked_for =
            |document: &String| query.sha256.as_ref().is_none_or(|sha256| *sha256 == sha256_hex(document.as_bytes()));
        found.filter(is_asked_for).ok_or_else(|| {
            not_found(
                format!("there is no such description of release `{}`", shown(digest)),
                "a processor that runs the release sends it",
            )
        })
    }
}

impl Core {
    /// Looks which releases lack a description, if that was not looked at just now.
    pub(super) async fn list_undescribed(&self) -> Result<(), StoreError> {
        let due = {
            let describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
            describing.listed.is_none_or(|listed| listed.elapsed() >= LISTED_EVERY)
        };
        if due {
            let lacking = self.store.undescribed_releases(LISTED).await?;
            self.describing.lock().unwrap_or_else(PoisonError::into_inner).take(lacking, Instant::now());
        }
        Ok(())
    }

    /// Releases that this node, which can run those of `runs`, is to describe. It is not asked for them again for a while.
    pub(super) fn to_describe(&self, node: &str, runs: i64) -> Vec<String> {
        let mut describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        if describing.lacking.is_empty() {
            return Vec::new();
        }
        describing.ask(node, runs, Instant::now())
    }

    /// Which releases a node was asked to describe so lately that its answer may still come.
    pub(super) fn being_described(&self) -> HashSet<String> {
        let describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        describing.expected(Instant::now())
    }

    fn described(&self, digest: &str) {
        let mut describing = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        describing.lacking.retain(|(lacking, _)| lacking != digest);
        describing.asked.remove(digest);
    }
}

impl Describing {
    fn take(&mut self, lacking: Vec<(String, i64)>, now: Instant) {
        self.listed = Some(now);
        self.asked.retain(|digest, asked| {
            asked.retain(|(_, at)| now.duration_since(*at) < ASKED_AGAIN);
            !asked.is_empty() && lacking.iter().any(|(lacking, _)| lacking == digest)
        });
        self.lacking = lacking;
    }

    fn expected(&self, now: Instant) -> HashSet<String> {
        let lately =
            |nodes: &[(String, Instant)]| nodes.iter().any(|(_, at)| now.duration_since(*at) < DESCRIBED_WITHIN);
        self.asked.iter().filter(|(_, nodes)| lately(nodes)).map(|(digest, _)| digest.clone()).collect()
    }

    fn ask(&mut self, node: &str, runs: i64, now: Instant) -> Vec<String> {
        let Self { lacking, asked, .. } = self;
        let digests: Vec<_> = lacking
            .iter()
            .filter(|(_, needs)| (0..63).contains(needs) && (runs >> needs) & 1 == 1)
            .filter(|(digest, _)| {
                asked.get(digest).into_iter().flatten().all(|(other, at)| {
                    now.duration_since(*at) >= if other == node { ASKED_AGAIN } else { ASKED_ANOTHER }
                })
            })
            .map(|(digest, _)| digest.clone())
            .take(MAX_DESCRIBE)
            .collect();
        for digest in &digests {
            let nodes = asked.entry(digest.clone()).or_default();
            nodes.retain(|(other, _)| other != node);
            nodes.push((node.to_owned(), now));
        }
        digests
    }
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
        let lacking = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        describing.take(lacking.clone(), now);
        assert_eq!(describing.ask("one", 0b010, now), ["a"], "it runs contract 1 only");
        assert_eq!(describing.ask("one", 0b010, now), [""; 0]);
        assert_eq!(describing.ask("two", 0b110, now), ["b"], "the other one is being described");
        let later = now + ASKED_ANOTHER;
        describing.take(lacking.clone(), later);
        assert_eq!(describing.ask("one", 0b010, later), [""; 0], "it could not");
        assert_eq!(describing.ask("two", 0b110, later), ["a"]);
        let again = later + ASKED_AGAIN;
        describing.take(lacking, again);
        assert_eq!(describing.ask("one", 0b110, again), ["a", "b"]);
        describing.take(Vec::new(), again);
        assert!(describing.asked.is_empty());
    }
}
