//! What was found, as one JSON object for programs.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use filemill_runtime::{Artifact, Failure, Finding, LogLine, Resources, Run};
use serde_json::{Value, json};

use super::checked::Checked;

/// What a component is.
pub(super) fn checked(checked: &Checked) -> Value {
    let said = &checked.description;
    json!({
        "contract": checked.release.contract().to_string(),
        "digest": checked.release.digest().to_string(),
        "bytes": checked.bytes,
        "imports": checked.imports,
        "compile_ms": checked.install.as_millis() as u64,
        "description": {
            "name": said.name,
            "version": said.version,
            "summary": said.summary,
            "media_types": said.media_types,
            "extensions": said.extensions(),
            "access": said.access.as_str(),
            "parameter_schema": object(&said.parameter_schema),
            "report_schema": object(&said.report_schema),
        },
    })
}

/// How a run ended.
pub(super) fn run(run: &Run) -> Value {
    let report = run.result.as_ref().ok();
    json!({
        "outcome": run.outcome().code(),
        "summary": report.map(|report| &report.summary),
        "report": report.map(|report| object(&report.json)),
        "findings": report.map(|report| report.findings.iter().map(finding).collect::<Vec<_>>()).unwrap_or_default(),
        "artifacts": report.map(|report| report.artifacts.iter().map(artifact).collect::<Vec<_>>()).unwrap_or_default(),
        "failure": run.result.as_ref().err().map(failure),
        "log": run.log.iter().map(line).collect::<Vec<_>>(),
        "resources": resources(&run.resources),
    })
}

/// A text that was checked to be an object, or is empty.
fn object(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn finding(found: &Finding) -> Value {
    json!({
        "kind": found.kind,
        "severity": found.severity.as_str(),
        "summary": found.summary,
        "data": object(&found.json),
    })
}

fn artifact(artifact: &Artifact) -> Value {
    json!({
        "name": artifact.name,
        "media_type": artifact.media_type,
        "bytes": artifact.data.len(),
        "sha256": HEXLOWER.encode(digest(&SHA256, &artifact.data).as_ref()),
    })
}

fn failure(failure: &Failure) -> Value {
    json!({"message": failure.message(), "hint": failure.hint()})
}

fn line(line: &LogLine) -> Value {
    json!({"level": line.level.as_str(), "message": line.message})
}

fn resources(used: &Resources) -> Value {
    json!({
        "bytes_read": used.bytes_read,
        "cpu_us": used.cpu_time.as_micros() as u64,
        "wall_us": used.wall_time.as_micros() as u64,
        "input_wait_us": used.input_wait.as_micros() as u64,
        "peak_memory_bytes": used.peak_memory_bytes,
        "host_calls": used.host_calls,
    })
}
