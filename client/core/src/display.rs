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

/// How much of a report is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As much as a person reads on a screen: long reports are cut, and say so.
    Screen,
    /// All of it, but for what lies deeper than any engine's report.
    All,
}

/// How much of each thing is laid out, at most.
#[derive(Clone, Copy)]
struct Most {
    /// Rows of a listing.
    rows: usize,
    /// Rows of one table.
    table_rows: usize,
    /// Columns of one table.
    columns: usize,
    /// Items that stand on one line.
    items: usize,
    /// Objects within objects.
    depth: usize,
    /// Whether what lies within a field on one line is only counted.
    counts_within: bool,
    kept: Limits,
}

const ON_SCREEN: Most = Most {
    rows: 1_000,
    table_rows: 50,
    columns: 16,
    items: 32,
    depth: 8,
    counts_within: true,
    // Some more than is laid out.
    kept: Limits { values: 64 << 10, depth: 16, items: 64, fields: 1_001, text_bytes: 4 << 10 },
};
/// What is laid out is laid out by recursion.
const ALL_DEPTH: usize = 64;
const ALL: Most = Most {
    rows: usize::MAX,
    table_rows: usize::MAX,
    columns: usize::MAX,
    items: usize::MAX,
    depth: ALL_DEPTH,
    counts_within: false,
    kept: Limits {
        values: usize::MAX,
        depth: ALL_DEPTH,
        items: usize::MAX,
        fields: usize::MAX,
        text_bytes: usize::MAX,
    },
};

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

/// Lays a report out, by its description if there is one. However long and deep a report is, no more of it is read into memory than is
/// shown.
pub fn lay_out(report: &JsonObject, description: Option<&Description>, extent: Extent) -> Vec<Row> {
    let most = match extent {
        Extent::Screen => &ON_SCREEN,
        Extent::All => &ALL,
    };
    let Ok(Node::Object(fields, more)) = Node::read(report.as_str(), &most.kept) else {
        return Vec::new();
    };
    let nothing = Node::Null;
    let schema = description.map_or(&nothing, |description| &description.report_schema);
    let mut layout = Layout { rows: Vec::new(), most };
    layout.object(&fields, more, View::new(schema, schema), 0);
    if layout.rows.len() > most.rows {
        layout.rows.truncate(most.rows);
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
    most: &'static Most,
}

impl Layout {
    fn object(&mut self, fields: &[(String, Node)], more: usize, schema: View<'_>, depth: usize) {
        // In the engine's order: a schema's is often that of the alphabet.
        for (name, value) in fields {
            if self.rows.len() > self.most.rows {
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
        let most = self.most;
        let mut push = |value| self.rows.push(Row { depth, title: title.clone(), value });
        match value {
            Node::Object(fields, 0) if fields.is_empty() => push(RowValue::Text("none".to_owned())),
            Node::Object(fields, more) if schema.text("x-format") == Some("table") => {
                push(table_of_fields(fields, *more, schema, most));
            }
            Node::Object(fields, more) if depth < most.depth => {
                push(RowValue::Heading);
                self.object(fields, *more, schema, depth + 1);
            }
            Node::List(items, more) if items.iter().any(|item| matches!(item, Node::Object(..) | Node::List(..))) => {
                push(table(items, *more, schema.items(), most));
            }
            other => push(RowValue::Text(compact(other, schema, most))),
        }
    }
}

/// A list of objects, or of lists, with a column for each of their fields.
fn table(items: &[Node], more: usize, schema: View<'_>, most: &Most) -> RowValue {
    let shown: Vec<&Node> = items.iter().take(most.table_rows).collect();
    let mut names: Vec<&str> = Vec::new();
    for item in &shown {
        if let Node::Object(fields, _) = item {
            for (name, _) in fields {
                if names.len() < most.columns && !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
    }
    let width =
        shown.iter().map(|item| if let Node::List(cells, _) = item { cells.len() } else { 0 }).max().unwrap_or(0);
    let width = names.len().max(width.min(most.columns)).max(1);
    let mut columns: Vec<String> =
        names.iter().map(|name| schema.property(name).text("title").unwrap_or(name).to_owned()).collect();
    columns.resize(width, String::new());
    let row = |item: &&Node| {
        let mut cells: Vec<String> = match item {
            Node::Object(..) => {
                let cell = |name: &&str| item.field(name).map(|value| compact(value, schema.property(name), most));
                names.iter().map(|name| cell(name).unwrap_or_default()).collect()
            }
            Node::List(cells, _) => {
                cells.iter().take(most.columns).map(|value| compact(value, schema.items(), most)).collect()
            }
            other => vec![compact(other, schema, most)],
        };
        cells.resize(width, String::new());
        cells
    };
    RowValue::Table { columns, rows: shown.iter().map(row).collect(), more: items.len() - shown.len() + more }
}

/// An object as a table of two columns, or more where its fields are objects.
fn table_of_fields(fields: &[(String, Node)], more: usize, schema: View<'_>, most: &Most) -> RowValue {
    let rows = fields.iter().take(most.table_rows).map(|(name, value)| {
        let of = schema.property(name);
        vec![of.text("title").unwrap_or(name).to_owned(), compact(value, of, most)]
    });
    RowValue::Table {
        columns: vec![String::new(), String::new()],
        rows: rows.collect(),
        more: fields.len().saturating_sub(most.table_rows) + more,
    }
}

/// A value on one line.
fn compact(value: &Node, schema: View<'_>, most: &Most) -> String {
    match value {
        Node::List(items, 0) if items.is_empty() => "none".to_owned(),
        Node::List(items, more) if items.is_empty() => format!("[{more} items]"),
        Node::List(items, more) => {
            let shown: Vec<_> =
                items.iter().take(most.items).map(|item| within(item, schema.items_or_self(), most)).collect();
            let more = items.len().saturating_sub(most.items) + more;
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
        Node::Object(fields, more) => {
            let field = |(name, value): &(String, Node)| {
                let of = schema.property(name);
                let title = of.text("title").unwrap_or(name);
                match value {
                    Node::List(..) | Node::Object(..) if !most.counts_within => {
                        format!("{title} {}", within(value, of, most))
                    }
                    Node::List(items, more) => format!("{title} [{} items]", items.len() + more),
                    Node::Object(fields, more) => format!("{title} {{{} fields}}", fields.len() + more),
                    other => format!("{title} {}", scalar(other, of.text("x-format"), of.text("x-unit"))),
                }
            };
            let shown: Vec<_> = fields.iter().take(most.items).map(field).collect();
            let more = fields.len().saturating_sub(most.items) + more;
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        }
        other => scalar(other, schema.text("x-format"), schema.text("x-unit")),
    }
}

/// A value that stands on one line with others: where all of it does, it is seen where it ends.
fn within(value: &Node, schema: View<'_>, most: &Most) -> String {
    let text = compact(value, schema, most);
    match value {
        Node::List(..) if !most.counts_within => format!("[{text}]"),
        Node::Object(..) if !most.counts_within => format!("{{{text}}}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests;
