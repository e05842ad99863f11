//! One file's last word, as a line for people or for programs.

use filemill_client::{Digest, Ending, Finished, LogLine, Outcome, UploadId, WaitingFile, shown};
use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::lines::plain;

/// Longest summary of a report, in characters.
const SUMMARY_MAX: usize = 120;
/// Width of the columns before the path.
const STATUS_WIDTH: usize = 11;
const SIZE_WIDTH: usize = 11;

/// A file's last word in JSON.
#[derive(Serialize)]
struct FileLine<'a> {
    path: String,
    /// The exact bytes, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    size: u64,
    engine: &'a str,
    status: &'static str,
    report: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<UploadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    reused: bool,
    #[serde(skip_serializing_if = "<[LogLine]>::is_empty")]
    log: &'a [LogLine],
}

#[derive(Serialize)]
struct WaitingLine {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    size: Option<u64>,
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload: Option<UploadId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// `succeeded`, `failed`, or `not_shown` for a result that is not to be believed.
pub(crate) fn status(ending: &Ending) -> &'static str {
    match ending {
        Ending::Succeeded { .. } => "succeeded",
        Ending::NotShown { .. } => "not_shown",
        _ => "failed",
    }
}

/// One line of JSON.
pub(crate) fn json(file: &Finished) -> String {
    let (report, failure, log): (_, _, &[LogLine]) = match &file.ending {
        Ending::Succeeded { report, log, .. } => {
            // The engine's own text: it was checked to be one JSON object, and may have line feeds.
            (serde_json::from_str(report.as_json()).ok(), None, log)
        }
        Ending::Unsuccessful { kind, log, .. } => (None, Some(kind.as_str()), log),
        Ending::NotSent { kind, .. } => (None, Some(kind.as_str()), &[]),
        Ending::EndedByServer { .. } | Ending::NotShown { .. } => (None, None, &[]),
    };
    let (path, path_hex) = json_path(&file.path);
    let line = FileLine {
        path,
        path_hex,
        size: file.size,
        engine: &file.engine,
        status: status(&file.ending),
        report,
        outcome: file.ending.outcome(),
        failure,
        message: file.ending.message(),
        sha256: file.sha256,
        upload: file.place.map(|(upload, _)| upload),
        index: file.place.map(|(_, index)| index),
        reused: file.reused,
        log,
    };
    one_line(serde_json::to_string(&line))
}

/// One line of JSON for a file that waits.
pub(crate) fn waiting_json(file: &WaitingFile) -> String {
    let (path, path_hex) = json_path(&file.path);
    let line = WaitingLine {
        path,
        path_hex,
        size: file.size,
        reason: file.reason.code(),
        message: file.reason.to_string(),
        upload: file.place.map(|(upload, _)| upload),
        index: file.place.map(|(_, index)| index),
    };
    one_line(serde_json::to_string(&line))
}

fn one_line(json: serde_json::Result<String>) -> String {
    // A line feed can stand between the tokens of a report only: in a string it is escaped.
    json.unwrap_or_default().replace(['\n', '\r'], " ")
}

fn json_path(path: &std::path::Path) -> (String, Option<String>) {
    match path.to_str() {
        Some(text) => (text.to_owned(), None),
        None => {
            let hex = path.as_os_str().as_encoded_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            (shown(path), Some(hex))
        }
    }
}

/// The heading of the table.
pub(crate) fn heading() -> String {
    format!("{:<STATUS_WIDTH$} {:>SIZE_WIDTH$}  {:<40}  REPORT", "STATUS", "SIZE", "PATH")
}

/// One row of the table.
pub(crate) fn row(file: &Finished) -> String {
    let summary = match &file.ending {
        Ending::Succeeded { report, .. } => summary(report.as_json()),
        ending => plain(ending.message().unwrap_or_default()),
    };
    let size = HumanBytes(file.size).to_string();
    format!("{:<STATUS_WIDTH$} {size:>SIZE_WIDTH$}  {:<40}  {summary}", status(&file.ending), shown(&file.path))
}

/// One row of the table of waiting files.
pub(crate) fn waiting_row(file: &WaitingFile) -> String {
    let size = file.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default();
    format!("{size:>SIZE_WIDTH$}  {:<40}  {}", shown(&file.path), plain(&file.reason.to_string()))
}

/// The outermost fields of a report, on one line.
fn summary(report: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(report) else {
        return String::new();
    };
    let mut text = String::new();
    for (name, value) in fields {
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Array(items) => format!("[{} items]", items.len()),
            serde_json::Value::Object(fields) => format!("{{{} fields}}", fields.len()),
            other => other.to_string(),
        };
        let separator = if text.is_empty() { "" } else { ", " };
        text.push_str(&format!("{separator}{}: {}", plain(&name), plain(&value)));
    }
    if text.chars().count() > SUMMARY_MAX {
        text = text.chars().take(SUMMARY_MAX - 1).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_summary_is_one_short_line() {
        assert_eq!(
            summary(r#"{"bytes": 5, "kind": "te\nxt", "pages": [1, 2]}"#),
            "bytes: 5, kind: te\\nxt, pages: [2 items]"
        );
        assert!(summary(&format!(r#"{{"a": "{}"}}"#, "x".repeat(500))).chars().count() <= SUMMARY_MAX);
    }

    #[cfg(unix)]
    #[test]
    fn a_failed_file_is_one_line_of_json_whatever_its_name_is() {
        use std::os::unix::ffi::OsStringExt;

        let path = PathBuf::from(std::ffi::OsString::from_vec(b"a\xff\nb".to_vec()));
        let file = Finished {
            path,
            size: 3,
            sha256: None,
            engine: "size".to_owned(),
            place: None,
            reused: false,
            ending: Ending::NotSent { kind: "vanished".to_owned(), message: "it\nvanished".to_owned() },
        };
        insta::assert_snapshot!(json(&file), @r#"{"path":"a\\xff\\nb","path_hex":"61ff0a62","size":3,"engine":"size","status":"failed","report":null,"failure":"vanished","message":"it\nvanished"}"#);
        insta::assert_snapshot!(row(&file), @r"failed              3 B  a\xff\nb                                  it\nvanished");
    }
}
