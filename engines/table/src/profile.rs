//! A table's columns, and what its rows were like.

use crate::column::Column;
use crate::value::Value;

/// What is known of a table so far.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The columns that are looked at, the first of all.
    pub(crate) columns: Vec<Column>,
    /// How many there are.
    pub(crate) all_columns: usize,
    pub(crate) rows: u64,
    /// Rows with more or fewer fields than the first one.
    pub(crate) ragged_rows: u64,
    /// Rows that are broken, and the first of them, counted from 1.
    pub(crate) broken_rows: u64,
    pub(crate) first_broken: Option<u64>,
    most_columns: usize,
}

impl Profile {
    /// A table of which at most `most_columns` columns are looked at.
    pub(crate) fn new(most_columns: usize) -> Self {
        Self {
            columns: Vec::new(),
            all_columns: 0,
            rows: 0,
            ragged_rows: 0,
            broken_rows: 0,
            first_broken: None,
            most_columns,
        }
    }

    /// Adds a column, and returns where it is, if it is looked at.
    pub(crate) fn add_column(&mut self, name: &[u8]) -> Option<usize> {
        self.all_columns += 1;
        let at = self.columns.len();
        if at >= self.most_columns {
            return None;
        }
        let name = match String::from_utf8_lossy(name.trim_ascii()) {
            name if name.is_empty() => format!("column {}", at + 1),
            name => name.chars().filter(|character| !character.is_control()).take(100).collect(),
        };
        self.columns.push(Column::new(name));
        Some(at)
    }

    /// Adds a row that is broken.
    pub(crate) fn broken(&mut self) {
        self.broken_rows += 1;
        self.first_broken.get_or_insert(self.rows + self.broken_rows);
    }

    /// How many of a column's fields are null: those that were missing too.
    pub(crate) fn nulls(&self, column: &Column) -> u64 {
        self.rows.saturating_sub(column.kinds.values())
    }
}

/// Whether `value` is a moment; other strings of JSON are text, because JSON has words for everything else.
pub(crate) fn only_moments(value: Value) -> Value {
    match value {
        moment @ (Value::Date(_) | Value::DateTime(_) | Value::Time(_)) => moment,
        _ => Value::Text,
    }
}
