//! One file's last word, as a line for people or for programs.

use filemill_client::{
    Digest, Ending, Finding, Finished, LogLine, Outcome, Report, Resources, SavedArtifact, UploadId, WaitingFile,
    outline, shown, shown_text,
};
use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::lines::plain;
use crate::words;

/// Longest summary of a report, in characters.
const SUMMARY_MAX: usize = 120;
/// Longest message about a file that did not succeed, in characters.
const MESSAGE_MAX: usize = 400;
/// Fields that stand for a report without a summary, at most.
const OUTLINE_MAX: usize = 16;
/// Width of the columns.
const STATUS_WIDTH: usize = 9;
const SIZE_WIDTH: usize = 11;
/// `local/` and a name of usual length.
const ENGINE_WIDTH: usize = 16;
const COST_WIDTH: usize = 18;
const PATH_WIDTH: usize = 40;

/// A file's last word in JSON.
#[derive(Serialize)]
struct FileLine<'a> {
    path: String,
    /// The exact bytes, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    size: u64,
    engine: &'a str,
    /// What was set of its parameters, by name.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    parameters: &'a [String],
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    report: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[Finding]>::is_empty")]
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<ArtifactLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a Resources>,
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
    /// It takes the place of the result that the file had before it grew.
    #[serde(skip_serializing_if = "is_false")]
    supersedes: bool,
    #[serde(skip_serializing_if = "<[LogLine]>::is_empty")]
    log: &'a [LogLine],
}

#[derive(Serialize)]
struct ArtifactLine<'a> {
    name: &'a str,
    media_type: &'a str,
    bytes: u64,
    /// Where it was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Serialize)]
struct WaitingLine<'a> {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    size: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    parameters: &'a [String],
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

/// `succeeded`, `failed`, or `not_shown` for a result that is not to be believed: a closed list, as the help says, since programs read
/// it. Of what its engine rejected it is `failed`.
fn status(ending: &Ending) -> &'static str {
    match ending {
        Ending::Succeeded { .. } => "succeeded",
        Ending::NotShown { .. } => "not_shown",
        _ => "failed",
    }
}

/// As [`status`], for people: what its engine rejected has not failed, nor what somebody cancelled. Programs read `outcome`.
pub(crate) fn status_shown(ending: &Ending) -> &'static str {
    match ending {
        rejected if rejected.is_rejected() => "rejected",
        cancelled if cancelled.is_cancelled() => "cancelled",
        other => status(other),
    }
}

/// One line of JSON.
pub(crate) fn json(file: &Finished) -> String {
    let reported = match &file.ending {
        Ending::Succeeded { report, .. } => Some(report),
        _ => None,
    };
    let (report, failure, log): (_, _, &[LogLine]) = match &file.ending {
        Ending::Succeeded { report, log, .. } => {
            // The engine's own text: it was checked to be one JSON object, and may have line feeds.
            (serde_json::from_str(report.as_json()).ok(), None, log)
        }
        Ending::Unsuccessful { kind, log, .. } => (None, Some(kind.as_str()), log),
        Ending::NotSent { code, .. } => (None, Some(code.code()), &[]),
        Ending::EndedByServer { .. } | Ending::NotShown { .. } => (None, None, &[]),
    };
    let message = words::message(&file.ending);
    let (path, path_hex) = json_path(&file.path);
    let line = FileLine {
        path,
        path_hex,
        size: file.size,
        engine: &file.engine,
        parameters: &file.parameters,
        status: status(&file.ending),
        summary: reported.map(|report| report.summary.as_str()).filter(|summary| !summary.is_empty()),
        report,
        findings: reported.map_or(&[], |report| &report.findings),
        artifacts: reported.map(|report| report.artifacts.iter().map(artifact).collect()).unwrap_or_default(),
        resources: file.ending.resources(),
        outcome: file.ending.outcome(),
        failure,
        message: message.as_deref(),
        sha256: file.sha256,
        upload: file.place.map(|(upload, _)| upload),
        index: file.place.map(|(_, index)| index),
        reused: file.reused,
        supersedes: file.supersedes,
        log,
    };
    one_line(serde_json::to_string(&line))
}

fn artifact(artifact: &SavedArtifact) -> ArtifactLine<'_> {
    ArtifactLine {
        name: &artifact.name,
        media_type: &artifact.media_type,
        bytes: artifact.bytes,
        path: artifact.path.as_deref().map(|path| json_path(path).0),
    }
}

/// One line of JSON for a file that waits.
pub(crate) fn waiting_json(file: &WaitingFile) -> String {
    let (path, path_hex) = json_path(&file.path);
    let line = WaitingLine {
        path,
        path_hex,
        size: file.size,
        parameters: &file.parameters,
        reason: words::reason_word(&file.reason),
        message: words::reason(&file.reason),
        upload: file.place.map(|(upload, _)| upload),
        index: file.place.map(|(_, index)| index),
    };
    one_line(serde_json::to_string(&line))
}

fn one_line(json: serde_json::Result<String>) -> String {
    let json = json.unwrap_or_default();
    let mut line = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            // These can stand between the tokens of a report only: in a string they are escaped.
            '\n' | '\r' | '\t' => line.push(' '),
            common @ ' '..='~' => line.push(common),
            // These only in a string. Whoever parses it reads the same; a terminal obeys nothing.
            obeyed if shown_text(obeyed.encode_utf8(&mut [0; 4])).starts_with("\\u") => {
                // RFC 8259: what lies beyond the first plane is two escapes.
                for unit in obeyed.encode_utf16(&mut [0; 2]) {
                    line.push_str(&format!("\\u{unit:04x}"));
                }
            }
            other => line.push(other),
        }
    }
    line
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
    format!(
        "{:<STATUS_WIDTH$} {:>SIZE_WIDTH$}  {:<ENGINE_WIDTH$} {:>COST_WIDTH$}  {:<PATH_WIDTH$}  SUMMARY",
        "STATUS", "SIZE", "ENGINE", "USED", "PATH"
    )
}

/// One row of the table.
pub(crate) fn row(file: &Finished) -> String {
    let summary = match &file.ending {
        Ending::Succeeded { report, .. } if report.summary.is_empty() => outermost(report),
        Ending::Succeeded { report, .. } => short(&report.summary, SUMMARY_MAX),
        ending => short(&words::message(ending).unwrap_or_default(), MESSAGE_MAX),
    };
    let summary = if file.supersedes {
        format!("{summary} (it changed since: its former result counts no more)")
    } else {
        summary
    };
    let size = HumanBytes(file.size).to_string();
    let used = file.ending.resources().filter(|used| used.wall_us > 0).map(cost).unwrap_or_default();
    let engine = plain(&file.engine);
    let line = format!(
        "{:<STATUS_WIDTH$} {size:>SIZE_WIDTH$}  {engine:<ENGINE_WIDTH$} {used:>COST_WIDTH$}  {:<PATH_WIDTH$}  {summary}",
        status_shown(&file.ending),
        shown(&file.path)
    );
    line.trim_end().to_owned()
}

/// What a run took: processor time and most memory.
fn cost(used: &Resources) -> String {
    format!("{} {}", time(used.cpu_us), HumanBytes(used.peak_memory_bytes))
}

/// Microseconds as people read them.
pub(crate) fn time(us: u64) -> String {
    match us {
        ..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// One row of the table of waiting files.
pub(crate) fn waiting_row(file: &WaitingFile) -> String {
    let size = file.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default();
    let given = parameters(&file.parameters).map(|names| format!(" ({names})")).unwrap_or_default();
    // What `filemill show` and, without the index, `filemill cancel` take.
    let place = file.place.map(|(upload, index)| format!("  {upload}/{index}")).unwrap_or_default();
    format!("{size:>SIZE_WIDTH$}  {:<40}  {}{given}{place}", shown(&file.path), plain(&words::reason(&file.reason)))
}

/// What was set of an engine's parameters; `None` if nothing was.
pub(crate) fn parameters(names: &[String]) -> Option<String> {
    let list: Vec<String> = names.iter().map(|name| format!("`{}`", plain(name))).collect();
    (!list.is_empty()).then(|| format!("with parameters {}", list.join(", ")))
}

/// The outermost fields of a report that has no summary, on one line.
fn outermost(report: &Report) -> String {
    let fields = outline(&report.json, OUTLINE_MAX);
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    short(&fields.join(", "), SUMMARY_MAX)
}

/// The beginning of `text`, at most `max` characters of it, without anything that a terminal would obey.
pub(crate) fn short(text: &str, max: usize) -> String {
    // It may be very long: what is not shown is not looked at.
    let begin: String = text.chars().take(max.saturating_add(1)).collect();
    let begin = plain(&begin);
    if begin.chars().count() <= max { begin } else { begin.chars().take(max - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn report(json: &str) -> Report {
        Report {
            json: filemill_client::JsonObject::from_text(json.to_owned()).unwrap(),
            summary: String::new(),
            findings: Vec::new(),
            artifacts: Vec::new(),
            description: None,
        }
    }

    #[test]
    fn a_summary_is_one_short_line() {
        assert_eq!(
            outermost(&report(r#"{"bytes": 5, "kind": "te\nxt", "pages": [1, 2]}"#)),
            "bytes: 5, kind: te\\nxt, pages: [2 items]"
        );
        assert_eq!(outermost(&report(&format!(r#"{{"a": "{}"}}"#, "x".repeat(500)))).chars().count(), SUMMARY_MAX);
        assert_eq!(short(&"\u{1b}".repeat(1 << 20), 8), "\\u{1b}\\…");
    }

    #[test]
    fn whoever_parses_a_line_reads_what_was_written() {
        let text = "\u{e0041}\u{202e}\u{9b}2J\u{feff}é😀";
        let line = one_line(serde_json::to_string(text));
        assert_eq!(line, "\"\\udb40\\udc41\\u202e\\u009b2J\\ufeffé😀\"");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
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
            parameters: Vec::new(),
            place: None,
            reused: false,
            supersedes: false,
            ending: Ending::NotSent {
                code: filemill_client::NotSent::Vanished,
                message: "it\nvanished".to_owned(),
                error: None,
            },
        };
        insta::assert_snapshot!(json(&file), @r#"{"path":"a\\xff\\nb","path_hex":"61ff0a62","size":3,"engine":"size","status":"failed","report":null,"failure":"vanished","message":"it\nvanished"}"#);
        insta::assert_snapshot!(row(&file), @r"failed            3 B  size                                 a\xff\nb                                  it\nvanished");
    }

    #[test]
    fn people_read_that_a_file_was_rejected_and_programs_read_the_outcome() {
        let file = Finished {
            path: PathBuf::from("notes.zip"),
            size: 30,
            sha256: None,
            engine: "archive".to_owned(),
            parameters: Vec::new(),
            place: None,
            reused: false,
            supersedes: false,
            ending: Ending::Unsuccessful {
                outcome: Outcome::Rejected,
                kind: "unsupported".to_owned(),
                message: "no archive".to_owned(),
                log: Vec::new(),
                resources: Resources::default(),
            },
        };
        insta::assert_snapshot!(row(&file), @"rejected         30 B  archive                              notes.zip                                 no archive");
        insta::assert_snapshot!(json(&file), @r#"{"path":"notes.zip","size":30,"engine":"archive","status":"failed","report":null,"resources":{"bytes_read":0,"cpu_us":0,"wall_us":0,"peak_memory_bytes":0,"host_calls":0},"outcome":"rejected","failure":"unsupported","message":"no archive"}"#);
    }

    #[test]
    fn people_read_that_a_file_was_cancelled() {
        let ending = Ending::EndedByServer { outcome: Outcome::Cancelled, message: "cancelled".to_owned() };
        assert_eq!((status_shown(&ending), status(&ending)), ("cancelled", "failed"));
        let ending = Ending::EndedByServer { outcome: Outcome::Quarantined, message: "quarantined".to_owned() };
        assert_eq!(status_shown(&ending), "failed");
    }

    #[test]
    fn what_an_engine_says_is_on_the_line_and_nothing_in_it_is_obeyed() {
        let file = Finished {
            path: PathBuf::from("a.csv"),
            size: 2048,
            sha256: None,
            engine: "local/table".to_owned(),
            parameters: Vec::new(),
            place: None,
            reused: false,
            supersedes: false,
            ending: Ending::Succeeded {
                report: Report {
                    json: filemill_client::JsonObject::from_text(r#"{"rows": 12}"#.to_owned()).unwrap(),
                    summary: "12 rows \u{202e}".to_owned(),
                    findings: vec![Finding {
                        kind: "csv.ragged".to_owned(),
                        severity: filemill_client::Severity::Medium,
                        summary: "row 7".to_owned(),
                        json: None,
                    }],
                    artifacts: vec![SavedArtifact {
                        name: "plot.svg".to_owned(),
                        media_type: "image/svg+xml".to_owned(),
                        bytes: 9,
                        path: Some(PathBuf::from("/out/a.csv.artifacts/plot.svg")),
                    }],
                    description: None,
                },
                log: Vec::new(),
                resources: Resources {
                    cpu_us: 2_300,
                    wall_us: 2_500,
                    peak_memory_bytes: 1 << 20,
                    ..Resources::default()
                },
            },
        };
        insta::assert_snapshot!(heading(), @"STATUS           SIZE  ENGINE                         USED  PATH                                      SUMMARY");
        insta::assert_snapshot!(row(&file), @r"succeeded    2.00 KiB  local/table         2.3 ms 1.00 MiB  a.csv                                     12 rows \u{202e}");
        insta::assert_snapshot!(json(&file), @r#"{"path":"a.csv","size":2048,"engine":"local/table","status":"succeeded","summary":"12 rows \u202e","report":{"rows": 12},"findings":[{"kind":"csv.ragged","severity":"medium","summary":"row 7"}],"artifacts":[{"name":"plot.svg","media_type":"image/svg+xml","bytes":9,"path":"/out/a.csv.artifacts/plot.svg"}],"resources":{"bytes_read":0,"cpu_us":2300,"wall_us":2500,"peak_memory_bytes":1048576,"host_calls":0},"outcome":"succeeded"}"#);
    }
}
