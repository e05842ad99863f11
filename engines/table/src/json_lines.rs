//! One JSON object a line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use filemill_engine::Failure;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::column::Column;
use crate::delimited::ROW_BYTES;
use crate::profile::{Profile, only_moments};
use crate::value::{Value, value_of};

/// The most names that are told apart; a file with more of them is no table.
const NAMES: usize = 1 << 14;

/// Reads lines piece by piece; its memory is that of one line and the columns' names.
pub(crate) struct JsonLines {
    /// A line that began in an earlier piece.
    begun: Vec<u8>,
    names: HashMap<String, Option<usize>>,
    profile: Profile,
}

impl JsonLines {
    pub(crate) fn new(profile: Profile) -> Self {
        Self { begun: Vec::new(), names: HashMap::new(), profile }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    ///
    /// [`Failure::Malformed`], for a line that is too long.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = &bytes[begin..end];
            begin = end + 1;
            if self.begun.is_empty() {
                self.line(line);
            } else {
                self.keep(line)?;
                let mut line = std::mem::take(&mut self.begun);
                self.line(&line);
                line.clear();
                self.begun = line;
            }
        }
        self.keep(&bytes[begin..])
    }

    /// Reads the last line, and returns the profile.
    ///
    /// # Errors
    ///
    /// [`Failure::Malformed`], when there are lines and not one of them is an object.
    pub(crate) fn finish(mut self) -> Result<Profile, Failure> {
        let line = std::mem::take(&mut self.begun);
        self.line(&line);
        if self.profile.rows == 0 && self.profile.broken_rows > 0 {
            return Err(Failure::malformed("no line is a JSON object"));
        }
        Ok(self.profile)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.begun.len() + bytes.len() > ROW_BYTES {
            let line = self.profile.rows + self.profile.broken_rows + 1;
            return Err(Failure::malformed(format!("line {line} has more than {ROW_BYTES} bytes")));
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let row = Row { names: &mut self.names, profile: &mut self.profile };
        // Its fields before the place where it breaks have counted; that place is unknown before they were read.
        match row.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
            Ok(()) => self.profile.rows += 1,
            Err(_) => self.profile.broken(),
        }
    }
}

/// A line, read into the columns.
struct Row<'a> {
    names: &'a mut HashMap<String, Option<usize>>,
    profile: &'a mut Profile,
}

impl Row<'_> {
    /// Where the column called `name` is, if it is looked at. `guess` is where it was in the lines before.
    fn column(&mut self, name: &str, guess: usize) -> Option<usize> {
        if self.profile.columns.get(guess).is_some_and(|column| column.name == name) {
            return Some(guess);
        }
        if let Some(at) = self.names.get(name) {
            return *at;
        }
        if self.names.len() >= NAMES {
            return None;
        }
        let at = self.profile.add_column(name.as_bytes());
        self.names.insert(name.to_owned(), at);
        at
    }
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(Name(name)) = fields.next_key()? {
            match self.column(&name, guess).and_then(|at| self.profile.columns.get_mut(at)) {
                Some(column) => fields.next_value_seed(Field(column))?,
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
            guess += 1;
        }
        Ok(())
    }
}

/// A member's name, copied only where it is escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A field, read into its column.
struct Field<'a>(&'a mut Column);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.add_keyed(Value::Boolean, u64::from(value), || value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let number = value as f64;
        self.0.add_keyed(Value::Integer(number), number.to_bits(), || value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        let number = value as f64;
        self.0.add_keyed(Value::Integer(number), number.to_bits(), || value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.add_keyed(Value::Float(value), value.to_bits(), || value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.add(value.as_bytes(), only_moments(value_of(value.as_bytes())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.add_keyed(Value::Nested, 0, String::new);
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.0.add_keyed(Value::Nested, 0, String::new);
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, piece: usize) -> Result<Profile, Failure> {
        let mut lines = JsonLines::new(Profile::new(100));
        for piece in text.as_bytes().chunks(piece) {
            lines.feed(piece)?;
        }
        lines.finish()
    }

    #[test]
    fn pieces_make_no_difference_and_names_may_come_in_any_order() {
        let text = "{\"a\":1,\"b\":\"x\"}\r\n\n{\"b\":null,\"a\":2.5}\n{\"c\":[1,{}],\"a\":-3}";
        for piece in 1..=text.len() {
            let profile = read(text, piece).expect("sound");
            assert_eq!((profile.rows, profile.broken_rows, profile.all_columns), (3, 0, 3));
            let [a, b, c] = profile.columns.as_slice() else { panic!("three columns") };
            assert_eq!((a.kinds.integer, a.kinds.float, a.distinct()), (2, 1, 3));
            assert_eq!((b.kinds.text, profile.nulls(b)), (1, 2));
            assert_eq!((c.kinds.nested, profile.nulls(c)), (1, 2));
        }
    }

    #[test]
    fn broken_lines_are_counted_and_only_broken_lines_are_no_table() {
        let profile = read("{\"a\":1}\n{\"a\":\n[1]\n{\"a\":2} x\n{\"a\":3}\n", 9).expect("some are sound");
        assert_eq!((profile.rows, profile.broken_rows, profile.first_broken), (2, 3, Some(2)));
        assert!(matches!(read("{\n{\n", 9), Err(Failure::Malformed(_))));
        assert_eq!(read("\n \n", 9).expect("empty").rows, 0);
    }

    #[test]
    fn a_text_that_looks_like_a_number_is_text() {
        let profile = read("{\"a\":\"12\",\"b\":\"2020-01-02\",\"c\\u0041\":true}", 99).expect("sound");
        let kinds: Vec<_> = profile.columns.iter().map(|column| &column.kinds).collect();
        assert_eq!((kinds[0].text, kinds[1].date, kinds[2].boolean), (1, 1, 1));
        assert_eq!(profile.columns[2].name, "cA");
    }

    #[test]
    fn deep_nesting_and_long_lines_are_broken_or_malformed() {
        let deep = format!("{{\"a\":{}}}\n{{\"a\":1}}\n", "[".repeat(100_000));
        assert_eq!(read(&deep, 1 << 16).expect("one is sound").broken_rows, 1);
        let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(ROW_BYTES));
        assert!(matches!(read(&long, 1 << 16), Err(Failure::Malformed(_))));
    }
}
