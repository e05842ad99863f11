//! One result in full, as lines for people.

use filemill_client::{Description, Ending, Extent, Finished, LogLine, Report, Row, RowValue, lay_out, shown};
use indicatif::HumanBytes;

use crate::lines::plain;
use crate::report::{parameters, short, status_shown, time};
use crate::words;

/// Titles are aligned up to this width.
const TITLE_MAX: usize = 32;

/// How much of each thing is listed, at most: what a person reads on a screen, or all.
#[derive(Clone, Copy)]
struct Most {
    /// Characters of a text beside a title.
    value: usize,
    /// Characters of a table's column.
    column: usize,
    findings: usize,
    log: usize,
}

const ON_SCREEN: Most = Most { value: 400, column: 48, findings: 200, log: 50 };
const ALL: Most = Most { value: usize::MAX, column: usize::MAX, findings: usize::MAX, log: usize::MAX };

/// The lines.
pub(crate) fn of(file: &Finished, description: Option<&Description>, extent: Extent) -> Vec<String> {
    let most = match extent {
        Extent::Screen => &ON_SCREEN,
        Extent::All => &ALL,
    };
    let mut head = vec![("File", shown(&file.path)), ("Size", HumanBytes(file.size).to_string())];
    let version = description.map_or("", |description| description.version.as_str());
    head.push(("Engine", format!("{} {}", plain(&file.engine), plain(version)).trim().to_owned()));
    if let Some(given) = parameters(&file.parameters) {
        head.push(("Sent", given));
    }
    head.push(("Status", status_shown(&file.ending).to_owned()));
    if let Some(message) = words::message(&file.ending) {
        head.push(("Message", short(&message, most.value)));
    }
    if let Some(resources) = file.ending.resources() {
        let memory = HumanBytes(resources.peak_memory_bytes);
        head.push(("Used", format!("{} of processor time, {memory} of memory", time(resources.cpu_us))));
    }
    if let Ending::Succeeded { report, .. } = &file.ending
        && !report.summary.is_empty()
    {
        head.push(("Summary", plain(&report.summary)));
    }
    let head: Vec<Row> = head.into_iter().map(|(title, text)| text_row(title, text)).collect();
    let mut lines = aligned(&head, most);
    match &file.ending {
        Ending::Succeeded { report, log, .. } => {
            lines.extend(findings(report, most));
            lines.extend(artifacts(report, most));
            let rows = lay_out(&report.json, description, extent);
            if !rows.is_empty() {
                lines.push(String::new());
                lines.extend(aligned(&rows, most));
            }
            lines.extend(logged(log, most));
        }
        Ending::Unsuccessful { log, .. } => lines.extend(logged(log, most)),
        _ => {}
    }
    lines
}

fn text_row(title: &str, text: String) -> Row {
    Row { depth: 0, title: title.to_owned(), value: RowValue::Text(text) }
}

fn findings(report: &Report, most: &Most) -> Vec<String> {
    let rows = report
        .findings
        .iter()
        .take(most.findings)
        .map(|finding| vec![finding.severity.word().to_owned(), finding.kind.clone(), finding.summary.clone()]);
    let more = report.findings.len().saturating_sub(most.findings);
    headed("Findings", &table(&[], &rows.collect::<Vec<_>>(), more, most))
}

fn artifacts(report: &Report, most: &Most) -> Vec<String> {
    let rows = report.artifacts.iter().map(|artifact| {
        let path = artifact.path.as_deref().map(shown).unwrap_or_default();
        vec![artifact.name.clone(), artifact.media_type.clone(), HumanBytes(artifact.bytes).to_string(), path]
    });
    let mut lines = table(&[], &rows.collect::<Vec<_>>(), 0, most);
    if report.artifacts.iter().any(|artifact| artifact.path.is_none()) {
        lines.push("(`filemill send --out DIR FILE` saves them)".to_owned());
    }
    headed("Artifacts", &lines)
}

fn logged(log: &[LogLine], most: &Most) -> Vec<String> {
    let rows =
        log.iter().take(most.log).map(|line| vec![short(&line.level, most.column), short(&line.message, most.value)]);
    headed("Log", &table(&[], &rows.collect::<Vec<_>>(), log.len().saturating_sub(most.log), most))
}

fn headed(title: &str, lines: &[String]) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    [String::new(), title.to_owned()].into_iter().chain(lines.iter().map(|line| format!("  {line}"))).collect()
}

/// Titles in a column, what they stand for beside it.
fn aligned(rows: &[Row], most: &Most) -> Vec<String> {
    let title = |row: &Row| format!("{}{}", "  ".repeat(row.depth), short(&row.title, most.column));
    let beside = rows.iter().filter(|row| matches!(row.value, RowValue::Text(_)));
    let width = beside.map(|row| title(row).chars().count()).filter(|width| *width <= TITLE_MAX).max().unwrap_or(0);
    let mut lines = Vec::new();
    for row in rows {
        let title = title(row);
        match &row.value {
            RowValue::Heading => lines.push(title),
            RowValue::Text(text) => {
                lines.push(format!("{title:<width$}  {}", short(text, most.value)).trim_end().to_owned())
            }
            RowValue::Table { columns, rows, more } => {
                lines.push(title);
                let indent = "  ".repeat(row.depth + 1);
                lines.extend(table(columns, rows, *more, most).into_iter().map(|line| format!("{indent}{line}")));
            }
        }
    }
    lines
}

/// Rows with aligned columns, numbers to the right.
fn table(columns: &[String], rows: &[Vec<String>], more: usize, most: &Most) -> Vec<String> {
    let heading = columns.iter().any(|title| !title.is_empty()).then(|| columns.to_vec());
    // A list without a heading ends in sentences.
    let widest = |row: &[String], column: usize| {
        if heading.is_none() && column + 1 == row.len() { most.value } else { most.column }
    };
    let cells = |row: &Vec<String>| {
        row.iter().enumerate().map(|(column, cell)| short(cell, widest(row, column))).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = rows.iter().chain(&heading).map(cells).collect();
    // Kept apart: the last is the heading.
    let (heading, rows) = match heading {
        Some(_) => rows.split_last().map(|(heading, rows)| (Some(heading), rows)).unwrap_or((None, &[])),
        None => (None, rows.as_slice()),
    };
    let count = rows.iter().chain(heading).map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let widths = cells(column).chain(heading.and_then(|heading| heading.get(column)));
            widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let right: Vec<bool> = (0..count)
        .map(|column| cells(column).all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-')))
        .collect();
    let line = |row: &Vec<String>| {
        let cells =
            row.iter().zip(&widths).zip(&right).map(|((cell, width), right)| {
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = heading.into_iter().chain(rows).map(line).collect();
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use filemill_client::{Finding, JsonObject, Resources, SavedArtifact, Severity};

    use super::*;

    #[test]
    fn a_result_is_shown_in_full_and_nothing_in_it_is_obeyed() {
        let file = Finished {
            path: "a.csv".into(),
            size: 2048,
            sha256: None,
            engine: "table".to_owned(),
            parameters: vec!["delimiter".to_owned(), "rows\u{1b}".to_owned()],
            place: None,
            reused: false,
            supersedes: false,
            ending: Ending::Succeeded {
                report: Report {
                    json: JsonObject::from_text(
                        r#"{"rows": 12, "evil\u001b[2J": "\u001b]0;x\u0007", "columns": [
                            {"name": "id", "mean": 7.5}, {"name": "a longer name", "mean": 12}], "deep": {"er": true}}"#
                            .to_owned(),
                    )
                    .unwrap(),
                    summary: "12 rows of 2 columns".to_owned(),
                    findings: vec![
                        Finding {
                            kind: "csv.ragged".to_owned(),
                            severity: Severity::Medium,
                            summary: "row 7 is short".to_owned(),
                            json: None,
                        },
                        Finding {
                            kind: "x".to_owned(),
                            severity: Severity::Info,
                            summary: "fine".to_owned(),
                            json: None,
                        },
                    ],
                    artifacts: vec![SavedArtifact {
                        name: "plot.svg".to_owned(),
                        media_type: "image/svg+xml".to_owned(),
                        bytes: 1234,
                        path: None,
                    }],
                    description: None,
                },
                log: vec![LogLine { level: "info".to_owned(), message: "read\nall".to_owned() }],
                resources: Resources { cpu_us: 2_300, peak_memory_bytes: 1 << 20, ..Resources::default() },
            },
        };
        assert_eq!(of(&file, None, Extent::All), of(&file, None, Extent::Screen), "there was something to cut");
        insta::assert_snapshot!(of(&file, None, Extent::Screen).join("\n"));
    }

    #[test]
    fn a_program_that_reads_a_listing_is_shown_all_of_it() {
        let rows: Vec<String> = (0..218).map(|n| format!(r#"{{"n": {n}, "text": "{}"}}"#, "x".repeat(60))).collect();
        let report = Report {
            json: JsonObject::from_text(format!(r#"{{"rows": [{}]}}"#, rows.join(","))).unwrap(),
            summary: String::new(),
            findings: Vec::new(),
            artifacts: Vec::new(),
            description: None,
        };
        let file = Finished {
            path: "a.csv".into(),
            size: 2048,
            sha256: None,
            engine: "table".to_owned(),
            parameters: Vec::new(),
            place: None,
            reused: false,
            supersedes: false,
            ending: Ending::Succeeded { report, log: Vec::new(), resources: Resources::default() },
        };
        let screen = of(&file, None, Extent::Screen).join("\n");
        assert!(screen.contains("… and 168 more") && screen.contains("xxx…"), "{screen}");
        let all = of(&file, None, Extent::All).join("\n");
        assert!(!all.contains('…') && all.contains("217  xxx"), "{all}");
    }
}
