//! The engine as a whole, without a host.

use filemill_engine::{Engine as _, Failure, Report, run};
use serde_json::{Value, json};

use super::Table;

fn report(name: &str, text: impl Into<Vec<u8>>, parameters: &str) -> (Value, Report) {
    let report = run::<Table>(name, text, parameters).expect("a report");
    (serde_json::from_str(report.json()).expect("JSON"), report)
}

#[test]
fn it_describes_itself_soundly() {
    Table::describe().check().expect("sound");
}

#[test]
fn a_table_is_profiled_column_by_column() {
    let text = "id,price,when,ok,note\n1,2.5,2024-01-02,true,a\n2,,2024-03-01,false,bb\n3,10,2023-12-31,yes,\n";
    let (said, report) = report("a.csv", text, "{}");
    assert_eq!(report.summary(), "3 rows, 5 columns");
    assert_eq!((&said["delimiter"], &said["header"], &said["rows"]), (&json!(","), &json!(true), &json!(3)));
    let types: Vec<_> = (0..5).map(|at| said["profile"][at]["type"].as_str().expect("a type").to_owned()).collect();
    assert_eq!(types, ["integer", "float", "date", "boolean", "text"]);
    assert_eq!(said["profile"][1]["nulls"], json!(1));
    assert_eq!(said["profile"][1]["numbers"]["most"], json!(10.0));
    assert_eq!(said["profile"][0]["numbers"]["median"], json!(2.0));
    assert_eq!(said["profile"][0]["histogram"], json!("histogram-01.svg"));
    assert_eq!(said["profile"][2]["moments"], json!({"first": "2023-12-31", "last": "2024-03-01"}));
    assert_eq!(said["profile"][4]["text"], json!({"shortest": 1, "longest": 2}));
    assert_eq!(report.artifacts().len(), 2);
}

#[test]
fn an_exception_does_not_change_a_columns_type() {
    let (said, _) = report("a.csv", "n\n1\n2\n3\nmany\n", "{}");
    assert_eq!(said["profile"][0]["type"], json!("integer"));
    assert_eq!(said["profile"][0]["exceptions"], json!(1));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    let (said, _) = report("a.csv", "\u{feff}name,n\nx,1\n", "{}");
    assert_eq!(said["profile"][0]["name"], json!("name"));
}

#[test]
fn an_empty_file_is_an_empty_table() {
    let (said, report) = report("a.csv", "", "{}");
    assert_eq!((&said["rows"], &said["columns"]), (&json!(0), &json!(0)));
    assert!(report.artifacts().is_empty());
}

#[test]
fn settings_go_over_what_it_looks_like() {
    let (said, _) = report("a.csv", "a,b;c\n1,2;3\n", r#"{"delimiter":";","header":"no","columns":1}"#);
    assert_eq!((&said["rows"], &said["columns"]), (&json!(2), &json!(2)));
    assert_eq!(said["profile"].as_array().map(Vec::len), Some(1));
    assert_eq!(said["profile"][0]["name"], json!("column 1"));
    for wrong in [r#"{"delimiter":";;"}"#, r#"{"columns":0}"#, r#"{"histograms":65}"#, r#"{"format":"xml"}"#] {
        assert!(matches!(run::<Table>("a", "", wrong), Err(Failure::Failed(_))), "{wrong}");
    }
}

#[test]
fn artifacts_are_bounded_in_number() {
    let row = |of: &str| (0..100).map(|at| format!("{of}{at}")).collect::<Vec<_>>().join(",");
    let text = format!("{}\n{}\n{}\n", row("c"), row("1"), row("2"));
    let (_, report) = report("a.csv", text, "{}");
    assert_eq!(report.artifacts().len(), 16);
}

#[test]
fn what_is_no_table_is_unsupported() {
    for bytes in [&b"\x89PNG\r\n\x1a\n\0\0"[..], b"\xff\xfea\0", b"[{}]"] {
        assert!(matches!(run::<Table>("a", bytes, "{}"), Err(Failure::Unsupported(_))), "{bytes:?}");
    }
}

#[test]
fn hostile_bytes_never_panic() {
    // Every byte but null next to what the formats mean something by.
    let mut text = Vec::new();
    for byte in 1..=255 {
        for near in *b",\"\n\r{}:;\t|-+.eE0\\" {
            text.extend([byte, near, byte]);
        }
    }
    for start in ["", "a,b\n", "{\"a\":1}\n", "\"", "{"] {
        let mut bytes = start.as_bytes().to_vec();
        bytes.extend(&text);
        let _ = run::<Table>("a", bytes, "{}");
    }
}
