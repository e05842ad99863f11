//! The engine over its fixtures. None of them does anything: the executable has no code, the key opens nothing.

use serde_json::{Value, json};

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(name: &str, parameters: &str) -> Result<Report, Failure> {
    filemill_engine::run::<Scan>(name, fixture(name), parameters)
}

fn data(report: &Report) -> Value {
    serde_json::from_str(report.json()).expect("JSON")
}

#[test]
fn the_description_keeps_the_contract() {
    Scan::describe().check().expect("sound");
}

#[test]
fn the_built_in_rules_find_what_they_are_for_and_nothing_else() {
    for (name, summary) in [
        ("cradle.ps1", "1 of 14 rules matches, high: powershell_download_cradle"),
        ("eicar.com", "1 of 14 rules matches, critical: eicar_test_file"),
        ("innocent-empty.txt", "none of 14 rules matches"),
        ("innocent.txt", "none of 14 rules matches"),
        ("installer.sh", "1 of 14 rules matches, medium: shell_pipes_download"),
        ("key.pem", "1 of 14 rules matches, high: private_key"),
        ("macro.doc", "1 of 14 rules matches, high: office_macro_runs_by_itself"),
        ("packed.exe", "2 of 14 rules match, low: pe_executable, upx_packed"),
        ("webshell.php", "1 of 14 rules matches, high: php_webshell"),
    ] {
        assert_eq!(run(name, "{}").expect(name).summary(), summary, "{name}");
    }
}

#[test]
fn a_match_is_told_with_its_places() {
    let report = data(&run("installer.sh", "{}").expect("a report"));
    assert_eq!(report["mode"], json!("whole"));
    assert_eq!(report["matches"][0]["tags"], json!(["script", "unix"]));
    assert_eq!(report["matches"][0]["meta"]["severity"], json!("medium"));
    let place = json!({"offset": 40, "length": 52, "bytes": "curl -fsSL https://example.inval"});
    assert_eq!(report["matches"][0]["strings"], json!([{"name": "pipe", "count": 1, "places": [place]}]));
}

#[test]
fn own_rules_come_beside_the_built_in_ones_or_in_their_place() {
    let parameters = String::from_utf8(fixture("own-rules.txt.params.json")).expect("text");
    let report = run("own-rules.txt", &parameters).expect("a report");
    assert_eq!(report.summary(), "1 of 15 rules matches: greek");
    assert_eq!(data(&report)["matches"][0]["meta"], json!({"author": "somebody", "count": 3}));
    assert_eq!(data(&report)["matches"][0]["namespace"], json!("rules"));
    let report = run("eicar.com", r#"{"rules":"rule none { condition: false }"}"#).expect("a report");
    assert_eq!(report.summary(), "none of 1 rules matches");
}

#[test]
fn wrong_rules_fail_with_their_place() {
    let parameters = String::from_utf8(fixture("wrong-rules.txt.params.json")).expect("text");
    let failure = run("wrong-rules.txt", &parameters).expect_err("refused");
    assert_eq!(failure, Failure::failed("rules:3:5: error: unknown variable $missing"));
}

#[test]
fn fragments_find_what_the_whole_finds_at_the_same_places() {
    let rules = r#"rule a { strings: $a = "needle" $b = /n[a-e]{2}dle\d/ condition: $a and $b and uint8(0) == 0x6e }"#;
    let scanner = rules::compile(false, Some(rules)).expect("sound");
    let mut bytes = vec![b'.'; 1_000];
    for at in [0, 60, 95, 97, 180, 500, 994] {
        bytes[at..at + 6].copy_from_slice(b"needle");
    }
    bytes[66] = b'7';
    let whole = whole(&scanner, &mut Input::from_bytes(bytes.clone()), bytes.len()).expect("a report");
    let cut = Cut { fragment: 100, overlap: 10 };
    let fragments = in_fragments(&scanner, &mut Input::from_bytes(bytes), cut).expect("a report");
    let matches = |report: &ScanReport| serde_json::to_value(report).expect("JSON")["matches"].clone();
    assert_eq!(matches(&fragments), matches(&whole));
    assert!(matches(&whole).to_string().contains("994"), "{}", matches(&whole));
    assert_eq!((fragments.mode, fragments.scanned_bytes), ("fragments", 1_000));
}

#[test]
fn many_matches_are_counted_and_a_few_told() {
    let rules = r#"{"rules":"rule a { strings: $a = \"x\" condition: $a }"}"#;
    let report = filemill_engine::run::<Scan>("a", "x".repeat(5_000), rules).expect("a report");
    let found = &data(&report)["matches"][0]["strings"][0];
    assert_eq!(found["count"], json!(1_000));
    assert_eq!(found["places"].as_array().map(Vec::len), Some(20));
    assert_eq!(data(&report)["truncated"], json!(true));
}

#[test]
fn a_report_of_many_matches_stays_within_what_a_host_takes() {
    let strings: String = (0..26).map(|at| format!("$s{at} = /{}/ ", char::from(b'a' + at))).collect();
    let meta: String = (0..30).map(|at| format!("m{at} = \"{}\" ", "m".repeat(200))).collect();
    let rules: String = (0..120)
        .map(|at| format!("rule r{at} {{ meta: {meta} strings: {strings} condition: any of them }}\n"))
        .collect();
    let parameters = json!({ "rules": rules }).to_string();
    let bytes = "abcdefghijklmnopqrstuvwxyz".repeat(50);
    let report = filemill_engine::run::<Scan>("a", bytes, &parameters).expect("a report");
    assert!((150_000..600_000).contains(&report.json().len()), "{}", report.json().len());
    assert_eq!((&data(&report)["matched"], &data(&report)["truncated"]), (&json!(120), &json!(true)));
}
