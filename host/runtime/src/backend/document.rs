//! What a release says of itself, as the document that its users are given.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::description::Description;

/// Where an engine says which ends of file names it reads: at the root of its report's schema, whose words any contract
/// passes on.
const EXTENSIONS: &str = "x-extensions";
/// Most ends of file names that count.
const EXTENSIONS_MAX: usize = 256;
/// Longest of them, in bytes.
const EXTENSION_MAX_BYTES: usize = 32;

/// Where it says by which first bytes it knows what it reads, in hex.
const FIRST_BYTES: &str = "x-first-bytes";
/// Most beginnings that count, and the longest of them, in bytes.
const FIRST_BYTES_MAX: usize = 64;
const BEGINNING_MAX_BYTES: usize = 64;
/// Where it says that clients may run it themselves.
const LOCAL: &str = "x-local";

/// The fields of the document, in its order. The schemas stand in it as the engine wrote them.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    version: &'a str,
    summary: &'a str,
    media_types: &'a [String],
    // Absent where there are none: what engines of earlier times say is then the same document on every processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    first_bytes: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    local: bool,
    access: &'static str,
    parameter_schema: Option<&'a RawValue>,
    report_schema: Option<&'a RawValue>,
}

impl Description {
    /// The document, one JSON object. Every processor of one version makes the same one of the same component, and results name
    /// its SHA-256.
    pub fn document(&self) -> String {
        // Each is empty or was checked to be a JSON object.
        let schema = |text: &'_ str| serde_json::from_str::<Box<RawValue>>(text).ok();
        let (parameters, report) = (schema(&self.parameter_schema), schema(&self.report_schema));
        let document = Document {
            name: &self.name,
            version: &self.version,
            summary: &self.summary,
            media_types: &self.media_types,
            extensions: self.extensions(),
            first_bytes: self.first_bytes(),
            local: self.runs_locally(),
            access: self.access.as_str(),
            parameter_schema: parameters.as_deref(),
            report_schema: report.as_deref(),
        };
        // Strings and checked JSON always serialise.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Ends of file names that the engine says it reads, in lower case and without the dot, such as `tar.gz`: at most 256 of
    /// at most 32 bytes. Others are left out.
    pub fn extensions(&self) -> Vec<String> {
        let schema = self.said_in_schema();
        let said = schema[EXTENSIONS].as_array().into_iter().flatten().filter_map(Value::as_str);
        said.map(str::to_lowercase).filter(|extension| is_extension(extension)).take(EXTENSIONS_MAX).collect()
    }

    /// First bytes of files that the engine says it reads, in lower-case hex: at most 64 of 1 to 64 bytes. Others are left out.
    pub fn first_bytes(&self) -> Vec<String> {
        let schema = self.said_in_schema();
        let said = schema[FIRST_BYTES].as_array().into_iter().flatten().filter_map(Value::as_str);
        said.filter(|beginning| is_beginning(beginning)).map(str::to_owned).take(FIRST_BYTES_MAX).collect()
    }

    /// Whether the engine says that clients may run it on their own machines.
    pub fn runs_locally(&self) -> bool {
        self.said_in_schema()[LOCAL] == Value::Bool(true)
    }

    /// The root of the report's schema, whose words any contract passes on.
    fn said_in_schema(&self) -> Value {
        serde_json::from_str(&self.report_schema).unwrap_or_default()
    }
}

/// Bytes in lower-case hex.
fn is_beginning(text: &str) -> bool {
    (2..=2 * BEGINNING_MAX_BYTES).contains(&text.len())
        && text.len().is_multiple_of(2)
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// Letters and digits of any script, and `.`, `_`, `+`, `-` between and behind them.
fn is_extension(text: &str) -> bool {
    (1..=EXTENSION_MAX_BYTES).contains(&text.len())
        && text.starts_with(char::is_alphanumeric)
        && text.chars().all(|character| character.is_alphanumeric() || "._+-".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Access;

    fn description(report_schema: &str) -> Description {
        Description {
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "It counts".to_owned(),
            media_types: vec!["text/*".to_owned()],
            access: Access::Streaming,
            parameter_schema: String::new(),
            report_schema: report_schema.to_owned(),
        }
    }

    #[test]
    fn an_engine_that_names_no_extensions_has_the_document_that_it_always_had() {
        let document = concat!(
            r#"{"name":"a","version":"1.0.0","summary":"It counts","media_types":["text/*"],"access":"streaming","#,
            r#""parameter_schema":null,"report_schema":{ "type":"object" }}"#
        );
        assert_eq!(description(r#"{ "type":"object" }"#).document(), document);
    }

    #[test]
    fn first_bytes_and_where_it_may_run_are_read_from_the_reports_schema_and_bounded() {
        let long = "ab".repeat(65);
        let said = description(
            &serde_json::json!({"x-first-bytes": ["504b0304", "7f", "7F", "7", "", "0x7f", &long, 7], "x-local": true})
                .to_string(),
        );
        assert_eq!(said.first_bytes(), ["504b0304", "7f"]);
        assert!(
            said.document().contains(r#""first_bytes":["504b0304","7f"],"local":true,"access""#),
            "{}",
            said.document()
        );
        let many: Vec<_> = (0..1000).map(|number| format!("{number:04x}")).collect();
        assert_eq!(description(&serde_json::json!({"x-first-bytes": many}).to_string()).first_bytes().len(), 64);
        for odd in ["", "{}", r#"{"x-first-bytes":"7f","x-local":"yes"}"#, r#"{"x-local":1}"#] {
            let said = description(odd);
            assert!(said.first_bytes().is_empty() && !said.runs_locally(), "{odd}");
        }
    }

    #[test]
    fn extensions_are_read_from_the_reports_schema_and_bounded() {
        let said = description(r#"{"x-extensions":["TGZ","tar.gz","c++","",".x","a b","a/b","\u001b","ä",7]}"#);
        assert_eq!(said.extensions(), ["tgz", "tar.gz", "c++", "ä"]);
        assert!(said.document().contains(r#""extensions":["tgz","tar.gz","c++","ä"],"access""#));
        let many: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
        let said = description(&serde_json::json!({"x-extensions": many}).to_string());
        assert_eq!(said.extensions().len(), EXTENSIONS_MAX);
        for odd in ["", "{}", r#"{"x-extensions":{}}"#, r#"{"x-extensions":"zip"}"#] {
            assert!(description(odd).extensions().is_empty(), "{odd}");
        }
    }
}
