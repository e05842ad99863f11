//! What an engine found out about a file.

use std::collections::HashSet;
use std::fmt;

use data_encoding::BASE64;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::ResultError;
use crate::bounds::{
    ARTIFACT_NAME_MAX_BYTES, ARTIFACTS_MAX, FINDING_KIND_MAX_BYTES, FINDINGS_MAX, MEDIA_TYPE_MAX_BYTES,
    SUMMARY_MAX_BYTES,
};
use crate::identifiers::Digest;
use crate::json;

/// What an engine found out about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The report proper.
    pub json: JsonObject,
    /// It in one line for people; see [`is_summary`].
    pub summary: String,
    /// What was found, in the engine's order; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// To look at beside the report; at most [`ARTIFACTS_MAX`], each name once.
    pub artifacts: Vec<Artifact>,
    /// SHA-256 of the release's description document, whose schema says how to show the report.
    pub description: Option<Digest>,
}

/// A JSON object, kept as the text that its author wrote.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct JsonObject(Box<RawValue>);

/// One thing that an engine found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing; see [`is_finding_kind`].
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// In one line for people; see [`is_summary`].
    pub summary: String,
    /// More about it, if there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<JsonObject>,
}

/// How much a finding matters, the least first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words of the engine contract")]
pub enum Severity {
    /// A word that this version does not know, as it was written: a later contract may have more of them, and a finding is worth
    /// reading all the same. May be hostile to whoever prints it.
    Other(Box<str>),
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// Bytes to look at beside a report: a plot, a thumbnail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// A plain file name; see [`is_artifact_name`].
    pub name: String,
    /// What it is; see [`is_media_type`].
    pub media_type: String,
    /// Its bytes; base64 in a result.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub data: Vec<u8>,
}

impl Report {
    /// Takes JSON text that an engine wrote as a report with nothing beside it.
    ///
    /// # Errors
    ///
    /// [`ResultError::Malformed`] if it is not one JSON object.
    pub fn from_json(text: String) -> Result<Self, ResultError> {
        Ok(Self {
            json: JsonObject::from_text(text)?,
            summary: String::new(),
            findings: Vec::new(),
            artifacts: Vec::new(),
            description: None,
        })
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        self.json.as_str()
    }

    /// Checks it against every bound.
    pub(super) fn check(&self) -> Result<(), ResultError> {
        let refuse = |detail: String| Err(ResultError::Malformed { detail });
        if !is_summary(&self.summary) {
            return refuse("the report's summary is not one line of at most 512 bytes".to_owned());
        }
        if self.findings.len() > FINDINGS_MAX {
            return refuse(format!("{} findings are more than {FINDINGS_MAX}", self.findings.len()));
        }
        for finding in &self.findings {
            if !is_finding_kind(&finding.kind) {
                return refuse(format!("`{}` is no kind of finding", quoted(&finding.kind)));
            }
            if !is_summary(&finding.summary) {
                return refuse("a finding's summary is not one line of at most 512 bytes".to_owned());
            }
        }
        if self.artifacts.len() > ARTIFACTS_MAX {
            return refuse(format!("{} artifacts are more than {ARTIFACTS_MAX}", self.artifacts.len()));
        }
        let mut names = HashSet::new();
        for artifact in &self.artifacts {
            if !is_artifact_name(&artifact.name) {
                return refuse(format!("`{}` is no name of an artifact", quoted(&artifact.name)));
            }
            if !is_media_type(&artifact.media_type) {
                return refuse(format!("`{}` is no media type", quoted(&artifact.media_type)));
            }
            if !names.insert(artifact.name.as_str()) {
                return refuse(format!("two artifacts are called `{}`", artifact.name));
            }
        }
        Ok(())
    }
}

impl JsonObject {
    /// Takes JSON text.
    ///
    /// # Errors
    ///
    /// [`ResultError::Malformed`] if it is not one JSON object.
    pub fn from_text(text: String) -> Result<Self, ResultError> {
        if !json::is_object(&text) {
            return Err(ResultError::Malformed { detail: "a report or finding is not a JSON object".to_owned() });
        }
        RawValue::from_string(text).map(Self).map_err(ResultError::malformed)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl Severity {
    /// Its word in the engine contract and in a result.
    pub fn word(&self) -> &str {
        match self {
            Self::Other(word) => word,
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Whether `text` may stand as a summary: at most [`SUMMARY_MAX_BYTES`], and no control character, which a line feed is.
pub fn is_summary(text: &str) -> bool {
    text.len() <= SUMMARY_MAX_BYTES && !text.chars().any(char::is_control)
}

/// `text` as [`is_summary`] wants it: each control character becomes a space, and what is too long is cut off.
pub fn to_summary(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(SUMMARY_MAX_BYTES));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if line.len() + character.len_utf8() > SUMMARY_MAX_BYTES {
            break;
        }
        line.push(character);
    }
    line
}

/// Whether `text` may name a kind of finding: 1 to 64 characters of `[a-z0-9-.]`.
pub fn is_finding_kind(text: &str) -> bool {
    (1..=FINDING_KIND_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

/// Whether `text` may name an artifact: 1 to 100 characters of `[A-Za-z0-9._-]`, not beginning with `.` or `-`.
pub fn is_artifact_name(text: &str) -> bool {
    (1..=ARTIFACT_NAME_MAX_BYTES).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether `text` may stand for a media type: 1 to 127 printable ASCII characters. It is shown, and nothing is made to
/// depend on it.
pub fn is_media_type(text: &str) -> bool {
    (1..=MEDIA_TYPE_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// What somebody wrote, for an error: a little of it, and nothing that a terminal obeys.
fn quoted(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

fn to_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(data))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("padded base64")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
            BASE64.decode(text.as_bytes()).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text)
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Box::<str>::deserialize(deserializer)?;
        let known = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];
        Ok(known.into_iter().find(|severity| severity.word() == &*word).unwrap_or(Self::Other(word)))
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('{') {
            Ok(Self(raw))
        } else {
            Err(D::Error::custom("a report or finding is not a JSON object"))
        }
    }
}

impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for JsonObject {}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("name", &self.name)
            .field("media_type", &self.media_type)
            .field("bytes", &self.data.len())
            .finish()
    }
}
