//! The engine over its fixtures, which were made with Python's `zipfile`, `tarfile` and `gzip`; those that no program makes
//! were patched afterwards: two entries that share bytes, a wrong length, a flag, a byte of the contents.

use filemill_engine::v2::Run;
use serde_json::{Value, json};

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(name: &str) -> Run {
    filemill_engine::v2::run::<Archive>(name, fixture(name), "{}")
}

fn data(run: &Run) -> Value {
    let report = run.report.as_ref().expect("a report");
    serde_json::from_str(report.json()).expect("JSON")
}

fn summary(name: &str) -> String {
    run(name).report.expect(name).summary().to_owned()
}

/// Kinds and summaries of the findings.
fn findings(run: &Run) -> Vec<(&str, &str)> {
    run.findings.iter().map(|finding| (finding.kind.as_str(), finding.summary.as_str())).collect()
}

#[test]
fn the_description_keeps_the_contract() {
    Archive::describe().check().expect("sound");
}

#[test]
fn sound_archives_are_listed_without_a_warning() {
    for (name, expected) in [
        ("empty.zip", "zip, 0 entries"),
        ("plain-pax.tar", "tar, 6 entries"),
        ("plain.tar", "tar, 5 entries"),
        ("plain.tar.gz", "tar.gz, 5 entries, 32.7 times as large unpacked"),
        ("plain.zip", "zip, 4 entries, 1.9 times as large unpacked"),
        ("readme.txt.gz", "gzip, 1 entry, 10.7 times as large unpacked"),
        ("two-members.gz", "gzip, 1 entry"),
        ("with-program.sh", "zip, 4 entries, 1.8 times as large unpacked"),
    ] {
        let run = run(name);
        assert_eq!(run.report.as_ref().expect(name).summary(), expected, "{name}");
        assert_eq!(findings(&run), [], "{name}");
        assert_eq!(data(&run)["unread_entries"], json!(0), "{name}");
    }
}

#[test]
fn entries_are_told_as_they_are_stored() {
    let report = data(&run("plain.zip"));
    let link = json!({
        "path": "link.txt", "kind": "symbolic link", "size": 15, "packed": 17, "method": "deflate",
        "modified": "2024-05-01T12:00:00Z", "encrypted": false, "target": "docs/readme.txt",
    });
    assert_eq!(report["contents"][3], link);
    assert_eq!(report["contents"][0]["kind"], json!("folder"));
    assert_eq!(report["contents"][2]["method"], json!("store"));
    let report = data(&run("plain.tar.gz"));
    assert_eq!(report["contents"][2]["path"], json!(format!("project/{}name.txt", "long/".repeat(30))));
    assert_eq!(report["contents"][3]["target"], json!("readme.txt"));
    assert_eq!(report["contents"][4]["kind"], json!("hard link"));
    let report = data(&run("plain-pax.tar"));
    assert_eq!(report["contents"][5]["path"], json!(format!("project/ünï-{}.txt", "ä".repeat(120))));
    let report = data(&run("readme.txt.gz"));
    assert_eq!(report["contents"][0]["path"], json!("readme.txt"));
    assert_eq!(report["contents"][0]["size"], json!(900));
}

#[test]
fn what_leaves_its_folder_is_found() {
    let zip = run("slip.zip");
    let kinds: Vec<_> = findings(&zip).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [
            "path-traversal",
            "absolute-path",
            "absolute-path",
            "link-escape",
            "through-link",
            "duplicate-name",
            "duplicate-name",
            "deceptive-name",
            "set-user-id",
        ]
    );
    assert_eq!(zip.findings[0].summary, "`../../etc/cron.d/evil` climbs out of the folder that it is unpacked into");
    assert_eq!(zip.findings[0].json, r#"{"path":"../../etc/cron.d/evil"}"#);
    let tar = run("slip.tar");
    let kinds: Vec<_> = findings(&tar).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [
            "path-traversal",
            "absolute-path",
            "link-escape",
            "through-link",
            "link-escape",
            "special-file",
            "set-user-id",
            "nested-archive",
        ]
    );
    assert_eq!(data(&tar)["entries"], json!(12), "those of the zip within too");
    assert_eq!(data(&tar)["contents"][8]["within"], json!(["inner.zip"]));
}

#[test]
fn bombs_are_found_by_entry_in_sum_and_across_nesting() {
    assert_eq!(
        summary("ratio.zip"),
        "zip, 2 entries, 944.9 times as large unpacked, high: bomb (1), medium: high-ratio (1)"
    );
    assert_eq!(
        summary("zeros.gz"),
        "gzip, 1 entry, 1023.5 times as large unpacked, high: bomb (1), medium: high-ratio (1)"
    );
    let nested = run("nested-bomb.zip");
    assert!(nested.findings.iter().any(|found| found.kind == "bomb"), "{:?}", findings(&nested));
    assert_eq!(data(&nested)["severity"], json!("critical"));
    assert_eq!(data(&nested)["nested_archives"], json!(20));
    let deep = run("deep.zip");
    assert!(deep.findings.iter().any(|found| found.kind == "nested-too-deep"), "{:?}", findings(&deep));
}

#[test]
fn what_is_wrong_inside_is_found() {
    for (name, expected) in [
        ("corrupt.zip", "zip, 2 entries, 5.9 times as large unpacked, medium: corrupt (1)"),
        ("encrypted.zip", "zip, 2 entries, 5.9 times as large unpacked, low: encrypted (1)"),
        ("overlapping.zip", "zip, 2 entries, 5.9 times as large unpacked, high: overlapping-entries (1)"),
        ("truncated.tar", "tar, 2 entries, medium: corrupt (1)"),
        ("truncated.tar.gz", "tar.gz, 2 entries, 11 times as large unpacked, medium: corrupt (1)"),
        ("wrong-size.zip", "zip, 2 entries, 5.9 times as large unpacked, medium: size-mismatch (1)"),
    ] {
        assert_eq!(summary(name), expected, "{name}");
    }
}

#[test]
fn the_budget_bounds_what_is_unpacked_and_not_what_is_listed() {
    let parameters = String::from_utf8(fixture("budget.zip.params.json")).expect("text");
    let run = filemill_engine::v2::run::<Archive>("budget.zip", fixture("budget.zip"), &parameters);
    let report = data(&run);
    assert_eq!((&report["entries"], &report["unread_entries"]), (&json!(2), &json!(2)));
    assert!(report["read_bytes"].as_u64().is_some_and(|read| read <= 70_000), "{report}");
}

#[test]
fn what_is_no_archive_is_unsupported_and_a_cut_zip_malformed() {
    assert!(matches!(run("no-archive.txt").report, Err(Failure::Unsupported(_))));
    let empty = filemill_engine::v2::run::<Archive>("a.zip", "", "{}");
    assert!(matches!(empty.report, Err(Failure::Unsupported(_))));
    assert!(matches!(run("truncated.zip").report, Err(Failure::Malformed(_))));
}

#[test]
fn a_flood_of_warnings_is_counted_and_a_few_are_told() {
    let mut tar = ::tar::Builder::new(Vec::new());
    for _ in 0..300 {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(0);
        header.as_gnu_mut().expect("gnu").name[..6].copy_from_slice(b"../abc");
        header.set_cksum();
        tar.append(&header, std::io::empty()).expect("in memory");
    }
    let run = filemill_engine::v2::run::<Archive>("a.tar", tar.into_inner().expect("in memory"), "{}");
    assert_eq!(run.findings.len(), 40);
    let report = data(&run);
    assert_eq!(report["warnings"][0], json!({"kind": "path-traversal", "severity": "high", "count": 300}));
    assert_eq!(report["truncated"], json!(true));
}

#[test]
fn no_change_of_a_byte_and_no_cut_makes_it_panic() {
    for name in ["plain.zip", "slip.zip", "slip.tar", "plain-pax.tar", "plain.tar.gz", "two-members.gz"] {
        let sound = fixture(name);
        let step = sound.len() / 400 + 1;
        for at in (0..sound.len()).step_by(step) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = sound.clone();
                bytes[at] ^= flip;
                let _any = filemill_engine::v2::run::<Archive>(name, bytes, "{}");
            }
            let _any = filemill_engine::v2::run::<Archive>(name, &sound[..at], "{}");
        }
    }
}

#[test]
fn a_report_of_long_names_stays_within_what_a_host_takes() {
    let mut tar = ::tar::Builder::new(Vec::new());
    for index in 0..2_000 {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o4755);
        let path = format!("{}{index}", "\"\u{202e}/".repeat(200));
        tar.append_data(&mut header, path, std::io::empty()).expect("in memory");
    }
    let run = filemill_engine::v2::run::<Archive>("a.tar", tar.into_inner().expect("in memory"), "{}");
    let findings: usize =
        run.findings.iter().map(|found| found.json.len() + found.summary.len() + found.kind.len()).sum();
    let report = run.report.expect("a report").json().len();
    assert!(report > 200_000 && findings + report < 900_000, "{report} + {findings}");
}
