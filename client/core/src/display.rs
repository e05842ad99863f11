//! Laying a report out for people who do not know the engine, by what the engine says of its report.
//!
//! All texts are an engine's, and may be hostile to a terminal: whoever prints them escapes them.

mod format;
mod node;
mod schema;

use filemill_seal::JsonObject;

use format::scalar;
use node::{Limits, Node};
use schema::View;

/// Rows of a listing, at most.
const ROWS_MAX: usize = 1_000;
/// Rows of one table, at most.
const TABLE_ROWS_MAX: usize = 50;
/// Columns of one table, at most.
const COLUMNS_MAX: usize = 16;
/// Items that stand on one line, at most.
const ITEMS_MAX: usize = 32;
/// Objects within objects that are laid out, at most.
const DEPTH_MAX: usize = 8;

/// Of a report: some more than is laid out.
const OF_REPORT: Limits = Limits { values: 64 << 10, depth: 16, items: 64, fields: ROWS_MAX + 1, text_bytes: 4 << 10 };
/// Of a report that is to stand on one line.
const OF_OUTLINE: Limits = Limits { values: 256, depth: 1, items: 0, fields: 64, text_bytes: 512 };
/// Of a description, which is short: see [`filemill_seal::DESCRIPTION_MAX_BYTES`].
const OF_DESCRIPTION: Limits =
    Limits { values: usize::MAX, depth: 64, items: usize::MAX, fields: usize::MAX, text_bytes: usize::MAX };

/// What an engine says of itself: a claim of the engine's author, as a processor passed it on.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name for itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    report_schema: Node,
}

/// One line of a report, or a table in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Within how many headings it stands.
    pub depth: usize,
    /// What it is called.
    pub title: String,
    /// What it is.
    pub value: RowValue,
}

/// What stands beside a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowValue {
    /// Nothing: it heads the deeper rows that follow.
    Heading,
    /// A text.
    Text(String),
    /// A table.
    Table {
        /// Titles of its columns.
        columns: Vec<String>,
        /// Its rows, with a text for each column.
        rows: Vec<Vec<String>>,
        /// How many more rows there are.
        more: usize,
    },
}

impl Description {
    /// Reads a description document; `None` if it is not one.
    pub(crate) fn read(document: &str) -> Option<Self> {
        let document = Node::read(document, &OF_DESCRIPTION).ok();
        let document = document.filter(|document| matches!(document, Node::Object(..)))?;
        let text = |name: &str| document.field(name).and_then(Node::as_text).unwrap_or_default().to_owned();
        let report_schema = match document.field("report_schema") {
            // Schemas are texts in the engine contract.
            Some(Node::Text(text)) => Node::read(text, &OF_DESCRIPTION).unwrap_or_default(),
            other => other.cloned().unwrap_or_default(),
        };
        Some(Self { name: text("name"), version: text("version"), summary: text("summary"), report_schema })
    }
}

/// Lays a report out, by its description if there is one. Long reports are cut, and say so: however long and deep a report is,
/// no more of it is read into memory than is shown.
pub fn lay_out(report: &JsonObject, description: Option<&Description>) -> Vec<Row> {
    let Ok(Node::Object(fields, more)) = Node::read(report.as_str(), &OF_REPORT) else {
        return Vec::new();
    };
    let nothing = Node::Null;
    let schema = description.map_or(&nothing, |description| &description.report_schema);
    let mut layout = Layout { rows: Vec::new() };
    layout.object(&fields, more, View::new(schema, schema), 0);
    if layout.rows.len() > ROWS_MAX {
        layout.rows.truncate(ROWS_MAX);
        let value = RowValue::Text("the report goes on; the JSON has all of it".to_owned());
        layout.rows.push(Row { depth: 0, title: "…".to_owned(), value });
    }
    layout.rows
}

/// The outermost fields of a report, at most `max` of them, each with its value or how much it holds: for one line.
pub fn outline(report: &JsonObject, max: usize) -> Vec<(String, String)> {
    let Ok(Node::Object(fields, _)) = Node::read(report.as_str(), &OF_OUTLINE) else {
        return Vec::new();
    };
    let value = |value: &Node| match value {
        Node::List(items, more) => format!("[{} items]", items.len() + more),
        Node::Object(fields, more) => format!("{{{} fields}}", fields.len() + more),
        other => scalar(other, None, None),
    };
    fields.iter().take(max).map(|(name, of)| (name.clone(), value(of))).collect()
}

struct Layout {
    rows: Vec<Row>,
}

impl Layout {
    fn object(&mut self, fields: &[(String, Node)], more: usize, schema: View<'_>, depth: usize) {
        // In the engine's order: a schema's is often that of the alphabet.
        for (name, value) in fields {
            if self.rows.len() > ROWS_MAX {
                return;
            }
            let schema = schema.property(name);
            let title = schema.text("title").unwrap_or(name).to_owned();
            self.value(title, value, schema, depth);
        }
        if more > 0 {
            let value = RowValue::Text(format!("and {more} more fields"));
            self.rows.push(Row { depth, title: "…".to_owned(), value });
        }
    }

    fn value(&mut self, title: String, value: &Node, schema: View<'_>, depth: usize) {
        let mut push = |value| self.rows.push(Row { depth, title: title.clone(), value });
        match value {
            Node::Object(fields, 0) if fields.is_empty() => push(RowValue::Text("none".to_owned())),
            Node::Object(fields, more) if schema.text("x-format") == Some("table") => {
                push(table_of_fields(fields, *more, schema));
            }
            Node::Object(fields, more) if depth < DEPTH_MAX => {
                push(RowValue::Heading);
                self.object(fields, *more, schema, depth + 1);
            }
            Node::List(items, more) if items.iter().any(|item| matches!(item, Node::Object(..) | Node::List(..))) => {
                push(table(items, *more, schema.items()));
            }
            other => push(RowValue::Text(compact(other, schema))),
        }
    }
}

/// A list of objects, or of lists, with a column for each of their fields.
fn table(items: &[Node], more: usize, schema: View<'_>) -> RowValue {
    let shown: Vec<&Node> = items.iter().take(TABLE_ROWS_MAX).collect();
    let mut names: Vec<&str> = Vec::new();
    for item in &shown {
        if let Node::Object(fields, _) = item {
            for (name, _) in fields {
                if names.len() < COLUMNS_MAX && !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
    }
    let width =
        shown.iter().map(|item| if let Node::List(cells, _) = item { cells.len() } else { 0 }).max().unwrap_or(0);
    let width = names.len().max(width.min(COLUMNS_MAX)).max(1);
    let mut columns: Vec<String> =
        names.iter().map(|name| schema.property(name).text("title").unwrap_or(name).to_owned()).collect();
    columns.resize(width, String::new());
    let row = |item: &&Node| {
        let mut cells: Vec<String> = match item {
            Node::Object(..) => {
                let cell = |name: &&str| item.field(name).map(|value| compact(value, schema.property(name)));
                names.iter().map(|name| cell(name).unwrap_or_default()).collect()
            }
            Node::List(cells, _) => {
                cells.iter().take(COLUMNS_MAX).map(|value| compact(value, schema.items())).collect()
            }
            other => vec![compact(other, schema)],
        };
        cells.resize(width, String::new());
        cells
    };
    RowValue::Table { columns, rows: shown.iter().map(row).collect(), more: items.len() - shown.len() + more }
}

/// An object as a table of two columns, or more where its fields are objects.
fn table_of_fields(fields: &[(String, Node)], more: usize, schema: View<'_>) -> RowValue {
    let rows = fields.iter().take(TABLE_ROWS_MAX).map(|(name, value)| {
        let of = schema.property(name);
        vec![of.text("title").unwrap_or(name).to_owned(), compact(value, of)]
    });
    RowValue::Table {
        columns: vec![String::new(), String::new()],
        rows: rows.collect(),
        more: fields.len().saturating_sub(TABLE_ROWS_MAX) + more,
    }
}

/// A value on one line.
fn compact(value: &Node, schema: View<'_>) -> String {
    match value {
        Node::List(items, 0) if items.is_empty() => "none".to_owned(),
        Node::List(items, more) if items.is_empty() => format!("[{more} items]"),
        Node::List(items, more) => {
            let shown: Vec<_> =
                items.iter().take(ITEMS_MAX).map(|item| compact(item, schema.items_or_self())).collect();
            let more = items.len().saturating_sub(ITEMS_MAX) + more;
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
        Node::Object(fields, more) => {
            let field = |(name, value): &(String, Node)| {
                let of = schema.property(name);
                let title = of.text("title").unwrap_or(name);
                match value {
                    Node::List(items, more) => format!("{title} [{} items]", items.len() + more),
                    Node::Object(fields, more) => format!("{title} {{{} fields}}", fields.len() + more),
                    other => format!("{title} {}", scalar(other, of.text("x-format"), of.text("x-unit"))),
                }
            };
            let shown: Vec<_> = fields.iter().take(ITEMS_MAX).map(field).collect();
            let more = fields.len().saturating_sub(ITEMS_MAX) + more;
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
        other => scalar(other, schema.text("x-format"), schema.text("x-unit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(schema: &str) -> Description {
        Description::read(&format!(r#"{{"name":"e","version":"1","summary":"s","report_schema":{schema}}}"#)).unwrap()
    }

    fn rows(report: &str, schema: Option<&str>) -> Vec<String> {
        let description = schema.map(describe);
        let report = JsonObject::from_text(report.to_owned()).unwrap();
        let rows = lay_out(&report, description.as_ref());
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
    fn a_long_report_is_cut() {
        let fields: Vec<_> = (0..3_000).map(|n| format!("\"f{n}\": {n}")).collect();
        let shown = rows(&format!("{{{}}}", fields.join(",")), None);
        assert_eq!(shown.len(), ROWS_MAX + 1);
        let items = vec!["{\"a\": 1}"; 60].join(",");
        assert!(rows(&format!("{{\"l\": [{items}]}}"), None)[0].ends_with("+10"));
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(rows(&deep, None).len(), DEPTH_MAX + 1, "it is not read to its depth");
        let million = vec!["1"; 1_000_000].join(",");
        assert!(rows(&format!("{{\"l\": [{million}]}}"), None)[0].ends_with(", and 999968 more"));
        let table = format!("{{\"t\": [{}]}}", vec!["[1,[2,{}]]"; 100_000].join(","));
        assert!(rows(&table, None)[0].ends_with(" +99950"));
    }
}
