//! What an engine says of itself: the parts of its document that lists show, read and bounded.

use filemill_api::ErrorBody;
use filemill_api::limits::MAX_DESCRIPTION_BYTES;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::digest::sha256_hex;
use crate::refusal::bad_request;
use crate::store::catalog::NewDescription;
use crate::store::{StoreError, Tx};

/// Descriptions kept of a release, by pool: the newest. Results name older ones, as long as nodes of several versions are at work.
const KEPT: i64 = 8;
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
}
