//! One column: what its fields were.

use crate::distinct::{Distinct, key};
use crate::numbers::Numbers;
use crate::value::{Value, bare_value_of, is_spaced, value_of};

/// How much of a field is kept as an example, in characters.
const EXAMPLE_CHARACTERS: usize = 60;

/// What the fields of one column were.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kinds: Kinds,
    pub(crate) numbers: Option<Box<Numbers>>,
    /// The first and the last moment, in seconds: since midnight where all are times of day, else since 1970.
    pub(crate) moments: Option<(i64, i64)>,
    /// The shortest and the longest text, in bytes.
    pub(crate) lengths: Option<(usize, usize)>,
    pub(crate) example: Option<String>,
    distinct: Distinct,
    /// What was counted last: fields repeat, and then need no counting.
    last: Option<u64>,
}

/// How many fields were of each kind. What is missing is null.
#[derive(Debug, Default, Clone)]
pub(crate) struct Kinds {
    pub(crate) integer: u64,
    pub(crate) float: u64,
    pub(crate) boolean: u64,
    pub(crate) date: u64,
    pub(crate) date_time: u64,
    pub(crate) time: u64,
    pub(crate) text: u64,
    /// Objects and lists, in JSON.
    pub(crate) nested: u64,
}

impl Column {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            kinds: Kinds::default(),
            numbers: None,
            moments: None,
            lengths: None,
            example: None,
            distinct: Distinct::new(),
            last: None,
        }
    }

    /// Adds a field that is written as `field`. Not a part of what reads rows: both are too large for the registers that a
    /// component has.
    #[inline(never)]
    pub(crate) fn add_written(&mut self, field: &[u8]) {
        if is_spaced(field) {
            return self.add_spaced(field);
        }
        self.add(field, bare_value_of(field));
    }

    #[cold]
    #[inline(never)]
    fn add_spaced(&mut self, field: &[u8]) {
        self.add(field, value_of(field));
    }

    /// Adds a field that is written as `field` and holds `value`.
    #[inline(always)]
    pub(crate) fn add(&mut self, field: &[u8], value: Value) {
        match value {
            Value::Null => return,
            Value::Text => {
                let (shortest, longest) = self.lengths.unwrap_or((usize::MAX, 0));
                self.lengths = Some((shortest.min(field.len()), longest.max(field.len())));
            }
            _ => {}
        }
        self.add_keyed(value, key(field), || example(field));
    }

    /// Adds a `value` for which `key` stands, and no other value of this column. The example is asked for only when there is
    /// none yet.
    #[inline(always)]
    pub(crate) fn add_keyed(&mut self, value: Value, key: u64, example: impl FnOnce() -> String) {
        match value {
            Value::Null => return,
            Value::Integer(number) => {
                self.kinds.integer += 1;
                self.number(number);
            }
            Value::Float(number) => {
                self.kinds.float += 1;
                self.number(number);
            }
            Value::Boolean => self.kinds.boolean += 1,
            Value::Date(at) => {
                self.kinds.date += 1;
                self.moment(at);
            }
            Value::DateTime(at) => {
                self.kinds.date_time += 1;
                self.moment(at);
            }
            Value::Time(at) => {
                self.kinds.time += 1;
                self.moment(at);
            }
            Value::Text => self.kinds.text += 1,
            Value::Nested => {
                self.kinds.nested += 1;
                return;
            }
        }
        if self.last != Some(key) {
            self.last = Some(key);
            self.distinct.add(key);
            if self.example.is_none() {
                self.keep_example(example);
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn keep_example(&mut self, example: impl FnOnce() -> String) {
        self.example = Some(example());
    }

    /// About how many different fields there were that are not null.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct.count().min(self.kinds.values())
    }

    #[inline(always)]
    fn number(&mut self, number: f64) {
        match &mut self.numbers {
            Some(numbers) => numbers.add(number),
            None => self.first_number(number),
        }
    }

    #[cold]
    #[inline(never)]
    fn first_number(&mut self, number: f64) {
        self.numbers.insert(Box::new(Numbers::new())).add(number);
    }

    #[inline(always)]
    fn moment(&mut self, at: i64) {
        let (first, last) = self.moments.unwrap_or((at, at));
        self.moments = Some((first.min(at), last.max(at)));
    }
}

impl Kinds {
    /// How many fields were not null.
    pub(crate) fn values(&self) -> u64 {
        self.integer + self.float + self.boolean + self.date + self.date_time + self.time + self.text + self.nested
    }
}

fn example(field: &[u8]) -> String {
    // No character is longer than four bytes.
    let text = String::from_utf8_lossy(field.get(..EXAMPLE_CHARACTERS * 4).unwrap_or(field));
    let mut cut: String = text.chars().take(EXAMPLE_CHARACTERS).collect();
    if cut.len() < field.len() && text.chars().count() > EXAMPLE_CHARACTERS {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(fields: impl Iterator<Item = String>) -> Column {
        let mut column = Column::new("x".into());
        fields.for_each(|field| column.add(field.as_bytes(), value_of(field.as_bytes())));
        column
    }

    #[test]
    fn nulls_are_no_values() {
        let column = column(["", "NA", "x", "x"].into_iter().map(String::from));
        assert_eq!((column.kinds.values(), column.distinct()), (2, 1));
        assert_eq!(column.lengths, Some((1, 1)));
    }

    #[test]
    fn an_example_is_short_text() {
        assert_eq!(example(b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(example("ä".repeat(100).as_bytes()), format!("{}…", "ä".repeat(60)));
        assert_eq!(example("ä".repeat(60).as_bytes()), "ä".repeat(60));
    }
}
