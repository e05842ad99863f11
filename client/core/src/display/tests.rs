//! Reports, laid out.

use super::*;

fn describe(schema: &str) -> Description {
    Description::read(&format!(r#"{{"name":"e","version":"1","summary":"s","report_schema":{schema}}}"#)).unwrap()
}

fn rows(report: &str, schema: Option<&str>) -> Vec<String> {
    rows_of(report, schema, Extent::Screen)
}

fn rows_of(report: &str, schema: Option<&str>, extent: Extent) -> Vec<String> {
    let description = schema.map(describe);
    let report = JsonObject::from_text(report.to_owned()).unwrap();
    let rows = lay_out(&report, description.as_ref(), extent);
    rows.into_iter()
        .map(|row| {
            let value = match row.value {
                RowValue::Heading => String::new(),
                RowValue::Text(text) => text,
                RowValue::Table { columns, rows, more } => {
                    let rows: Vec<_> = rows.into_iter().map(|row| row.join(" | ")).collect();
                    format!("[{}] {} +{more}", columns.join(" | "), rows.join(" / "))
                }
            };
            format!("{}{}: {value}", "  ".repeat(row.depth), row.title)
        })
        .collect()
}

#[test]
fn a_report_is_shown_as_its_schema_says() {
    let schema = r##"{
        "properties": {
            "size": {"title": "Size", "x-format": "bytes", "x-unit": "By"},
            "lines": {"title": "Lines", "x-format": "count"},
            "share": {"title": "Share", "x-format": "percent", "x-unit": "%"},
            "took": {"title": "Took", "x-format": "duration", "x-unit": "ms"},
            "width": {"title": "Width", "x-unit": "px"},
            "camera": {"anyOf": [{"$ref": "#/$defs/Camera"}, {"type": "null"}], "title": "Camera"},
            "colours": {"title": "Colours", "x-format": "table", "items": {"$ref": "#/$defs/Colour"}}
        },
        "$defs": {
            "Camera": {"properties": {"maker": {"title": "Maker"}}},
            "Colour": {"properties": {
                "name": {"title": "Name"},
                "share": {"title": "Share", "x-unit": "%", "x-format": "percent"},
                "never": {"title": "Never"}
            }}
        }
    }"##;
    let report = r#"{"size": 1536, "lines": 12345, "zusatz": true, "share": 12.5, "took": 1500, "width": 640,
        "camera": {"maker": "Zeiss", "lens": null}, "tags": ["a", "b"], "none": [],
        "colours": [{"share": 60, "name": "red"}, {"name": "blue", "more": 1}]}"#;
    assert_eq!(
        rows(report, Some(schema)),
        [
            "Size: 1.50 KiB (1,536 B)",
            "Lines: 12,345",
            "zusatz: yes",
            "Share: 12.5 %",
            "Took: 1.50 s",
            "Width: 640 px",
            "Camera: ",
            "  Maker: Zeiss",
            "  lens: –",
            "tags: a, b",
            "none: none",
            "Colours: [Share | Name | more] 60 % | red |  /  | blue | 1 +0",
        ]
    );
}

#[test]
fn without_a_schema_it_is_shown_as_it_is() {
    assert_eq!(
        rows(r#"{"b": 1.5, "a": {"x": "y"}, "l": [[1, 2], [3]]}"#, None),
        ["b: 1.5", "a: ", "  x: y", "l: [ | ] 1 | 2 / 3 |  +0"]
    );
}

#[test]
fn an_object_in_a_table_is_shown_with_what_is_in_it() {
    let schema = r#"{"properties": {"t": {"items": {"properties": {"n": {"properties": {
        "mean": {"title": "Mean", "x-unit": "ms"}}}}}}}}"#;
    assert_eq!(
        rows(r#"{"t": [{"n": {"mean": 1.5, "l": [1, 2], "o": {}}}, {"n": {}}]}"#, Some(schema)),
        ["t: [n] Mean 1.5 ms, l [2 items], o {0 fields} /  +0"]
    );
}

#[test]
fn a_schema_that_makes_no_sense_does_no_harm() {
    let looping = r##"{"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#"}, "c": {"title": 7, "x-format": "bytes"}}}"##;
    for schema in [looping, "7", "[]", "null", "\"{\"", "{\"properties\": []}", "{\"$ref\": \"http://x/#/y\"}"] {
        let shown = rows(r#"{"a": 1, "b": {"a": 2}, "c": "no number"}"#, Some(schema));
        assert_eq!(shown, ["a: 1", "b: ", "  a: 2", "c: no number"], "{schema}");
    }
    let text = r#""{\"properties\":{\"a\":{\"title\":\"A\"}}}""#;
    assert_eq!(rows(r#"{"a": 1}"#, Some(text)), ["A: 1"], "a schema that is a text");
    assert!(Description::read("[]").is_none() && Description::read(r#"{"name": 7}"#).is_some());
}

#[test]
fn all_of_a_report_is_laid_out_if_it_is_asked_for() {
    let all = |report: &str| rows_of(report, None, Extent::All);
    let fields: Vec<_> = (0..3_000).map(|n| format!("\"f{n}\": {n}")).collect();
    assert_eq!(all(&format!("{{{}}}", fields.join(","))).len(), 3_000);
    let items = vec!["{\"a\": 1}"; 218].join(",");
    assert!(all(&format!("{{\"l\": [{items}]}}"))[0].ends_with("/ 1 +0"));
    let long = vec!["7"; 5_000].join(", ");
    assert_eq!(all(&format!("{{\"l\": [{long}], \"t\": \"{}\"}}", "x".repeat(9_000))).concat().len(), 24_004);
    assert_eq!(all(r#"{"t": [{"n": {"l": [1, {"k": 2}], "o": {}}}]}"#), ["t: [n] l [1, {k 2}], o {} +0"]);
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(all(&deep).len(), ALL_DEPTH + 1, "it is not read to its depth");
}

#[test]
fn a_long_report_is_cut() {
    let fields: Vec<_> = (0..3_000).map(|n| format!("\"f{n}\": {n}")).collect();
    let shown = rows(&format!("{{{}}}", fields.join(",")), None);
    assert_eq!(shown.len(), ON_SCREEN.rows + 1);
    let items = vec!["{\"a\": 1}"; 60].join(",");
    assert!(rows(&format!("{{\"l\": [{items}]}}"), None)[0].ends_with("+10"));
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(rows(&deep, None).len(), ON_SCREEN.depth + 1, "it is not read to its depth");
    let million = vec!["1"; 1_000_000].join(",");
    assert!(rows(&format!("{{\"l\": [{million}]}}"), None)[0].ends_with(", and 999968 more"));
    let table = format!("{{\"t\": [{}]}}", vec!["[1,[2,{}]]"; 100_000].join(","));
    assert!(rows(&table, None)[0].ends_with(" +99950"));
}
