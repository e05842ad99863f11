//! What was found, as text for people.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use filemill_runtime::{Outcome, Report, Resources, Run};
use filemill_text::Lines;
use serde_json::Value;

use super::checked::Checked;

/// What a component is.
pub(super) fn checked(out: &mut Lines<impl Write>, checked: &Checked) -> io::Result<()> {
    let said = &checked.description;
    let media_types = if said.media_types.is_empty() { "any".to_owned() } else { said.media_types.join(", ") };
    out.line(format_args!("{} {}: {}", said.name, said.version, said.summary))?;
    out.line("")?;
    out.line(format_args!("contract     {}", checked.release.contract()))?;
    out.line(format_args!("digest       {}", checked.release.digest()))?;
    out.line(format_args!("size         {}", size(checked.bytes as u64)))?;
    out.line(format_args!("imports      {}", checked.imports.join(", ")))?;
    out.line(format_args!("made ready   in {:.1} ms", checked.install.as_secs_f64() * 1e3))?;
    out.line(format_args!("media types  {media_types}"))?;
    if !said.extensions().is_empty() {
        out.line(format_args!("extensions   {}", said.extensions().join(", ")))?;
    }
    out.line(format_args!("input        {}", said.access.as_str()))?;
    out.line(format_args!("parameters   {}", properties(&said.parameter_schema).unwrap_or_else(|| "none".to_owned())))?;
    out.line(format_args!(
        "report       {}",
        properties(&said.report_schema).unwrap_or_else(|| "not described".to_owned())
    ))
}

/// How a run ended, and where its artifacts were saved.
pub(super) fn run(out: &mut Lines<impl Write>, run: &Run, saved: &[PathBuf]) -> io::Result<()> {
    match &run.result {
        Ok(found) => report(out, found, saved)?,
        Err(failure) => {
            // It stands with what else is to be read of this run.
            out.line(format_args!("{}: {}", failure.outcome(), failure.message()))?;
            if let Some(hint) = failure.hint() {
                out.line(format_args!("hint: {hint}"))?;
            }
        }
    }
    if !run.log.is_empty() {
        out.line("")?;
        out.line("log")?;
    }
    for line in &run.log {
        out.line(format_args!("  {:<5}  {}", line.level.as_str(), line.message))?;
    }
    out.line("")?;
    out.line(used(&run.resources, run.outcome()))
}

fn report(out: &mut Lines<impl Write>, report: &Report, saved: &[PathBuf]) -> io::Result<()> {
    if !report.summary.is_empty() {
        out.line(&report.summary)?;
        out.line("")?;
    }
    let json = shortened(serde_json::from_str(&report.json).unwrap_or_default());
    out.lines(&serde_json::to_string_pretty(&json).unwrap_or_default())?;
    if !report.findings.is_empty() {
        out.line("")?;
        out.line("findings")?;
    }
    for found in &report.findings {
        out.line(format_args!("  {:<8}  {:<16}  {}", found.severity.as_str(), found.kind, found.summary))?;
    }
    if !report.artifacts.is_empty() {
        let hint = if saved.is_empty() { " (hint: save them with --out DIR)" } else { "" };
        out.line("")?;
        out.line(format_args!("artifacts{hint}"))?;
    }
    for (at, artifact) in report.artifacts.iter().enumerate() {
        let place = saved.get(at).map(|path| format!("  {}", path.display())).unwrap_or_default();
        let bytes = size(artifact.data.len() as u64);
        out.line(format_args!("  {:<24}  {:<16}  {bytes:>10}{place}", artifact.name, artifact.media_type))?;
    }
    Ok(())
}

/// What a run used, in one line.
fn used(used: &Resources, outcome: Outcome) -> String {
    let seconds = used.wall_time.max(Duration::from_micros(1)).as_secs_f64();
    let rate = if outcome == Outcome::Succeeded && used.bytes_read > 0 {
        format!(", {}/s", size((used.bytes_read as f64 / seconds) as u64))
    } else {
        String::new()
    };
    format!(
        "{} read in {} ({} CPU){rate}, {} memory at most, {} host calls",
        size(used.bytes_read),
        time(used.wall_time),
        time(used.cpu_time),
        size(used.peak_memory_bytes),
        used.host_calls
    )
}

/// Names of a schema's properties; `None` where there is no schema.
fn properties(schema: &str) -> Option<String> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    let names: Vec<&str> = schema.get("properties")?.as_object()?.keys().map(String::as_str).collect();
    Some(if names.is_empty() { "none".to_owned() } else { names.join(", ") })
}

/// The same value, with long lists cut: whoever wants all of them asks for `--json`.
fn shortened(value: Value) -> Value {
    const SHOWN: usize = 20;
    match value {
        Value::Array(mut items) => {
            let more = items.len().saturating_sub(SHOWN);
            items.truncate(SHOWN);
            let mut items: Vec<Value> = items.into_iter().map(shortened).collect();
            if more > 0 {
                items.push(format!("… {more} more").into());
            }
            Value::Array(items)
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, shortened(value))).collect(),
        other => other,
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

fn time(time: Duration) -> String {
    match time.as_micros() {
        0..1_000 => format!("{} µs", time.as_micros()),
        1_000..1_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_told_in_the_unit_that_people_read() {
        assert_eq!([size(0), size(1023), size(1536), size(3 << 30)], ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]);
        let times = [15, 1_500, 2_500_000].map(|micros| time(Duration::from_micros(micros)));
        assert_eq!(times, ["15 µs", "1.5 ms", "2.50 s"]);
    }
}
