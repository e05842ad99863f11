//! JSON with its fields in the order in which they were written, and no more of it than is shown: it may be hostile.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A JSON value, or the beginning of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Node {
    #[default]
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// The first items, and how many more there are.
    List(Vec<Node>, usize),
    /// The first fields, and how many more there are.
    Object(Vec<(String, Node)>, usize),
}

/// How much of a JSON text is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Values in all.
    pub(super) values: usize,
    /// Lists and objects within each other, of which items and fields are kept. Well below the 128 at which serde_json fails.
    pub(super) depth: usize,
    /// Items of one list.
    pub(super) items: usize,
    /// Fields of one object.
    pub(super) fields: usize,
    /// Bytes of one text.
    pub(super) text_bytes: usize,
}

impl Node {
    /// Reads one JSON value. What is not kept is passed over without recursion, and counted.
    ///
    /// # Errors
    ///
    /// It is no JSON.
    pub(super) fn read(text: &str, kept: &Limits) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let left = Cell::new(kept.values);
        let node = Reading { kept, left: &left, depth: 0 }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(node)
    }

    /// A field of an object.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields, _) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A value that is being read.
struct Reading<'a> {
    kept: &'a Limits,
    /// Values that may still be kept.
    left: &'a Cell<usize>,
    /// Within how many lists and objects it stands.
    depth: usize,
}

impl Reading<'_> {
    fn within(&self) -> Self {
        Reading { depth: self.depth + 1, ..*self }
    }

    /// Whether one more may be kept beside so many, of which at most `most` are.
    fn has_room(&self, beside: usize, most: usize) -> bool {
        let room = self.depth < self.kept.depth && beside < most && self.left.get() > 0;
        if room {
            self.left.set(self.left.get() - 1);
        }
        room
    }

    fn text(&self, text: &str) -> String {
        if text.len() <= self.kept.text_bytes {
            return text.to_owned();
        }
        let mut text = text[..text.floor_char_boundary(self.kept.text_bytes)].to_owned();
        text.push('…');
        text
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(self.text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let (mut list, mut more) = (Vec::new(), 0);
        while self.has_room(list.len(), self.kept.items) {
            match items.next_element_seed(self.within())? {
                Some(item) => list.push(item),
                None => return Ok(Node::List(list, 0)),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            more += 1;
        }
        Ok(Node::List(list, more))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let (mut object, mut more) = (Vec::new(), 0);
        while self.has_room(object.len(), self.kept.fields) {
            match fields.next_key_seed(Name(&self))? {
                Some(name) => object.push((name, fields.next_value_seed(self.within())?)),
                None => return Ok(Node::Object(object, 0)),
            }
        }
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            more += 1;
        }
        Ok(Node::Object(object, more))
    }
}

/// A field's name that is being read.
struct Name<'a, 'b>(&'a Reading<'b>);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(self.0.text(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Limits = Limits { values: 10, depth: 3, items: 4, fields: 3, text_bytes: 5 };

    #[test]
    fn no_more_is_kept_than_is_asked_for_and_the_rest_is_counted() {
        let numbers = |count: u64| (0..count).map(Node::Unsigned).collect::<Vec<_>>();
        assert_eq!(Node::read("[0,1,2,3,4,5]", &FEW).unwrap(), Node::List(numbers(4), 2));
        assert_eq!(Node::read("\"aé3\"", &FEW).unwrap(), Node::Text("aé3".to_owned()));
        assert_eq!(Node::read("\"aaaaé\"", &FEW).unwrap(), Node::Text("aaaa…".to_owned()));
        let many = format!("{{{}}}", (0..1000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        assert!(matches!(Node::read(&many, &FEW).unwrap(), Node::Object(fields, 997) if fields.len() == 3));
        assert!(Node::read("[1,2", &FEW).is_err() && Node::read("[] x", &FEW).is_err());
    }

    #[test]
    fn values_count_wherever_they_stand() {
        fn count(node: &Node) -> usize {
            match node {
                Node::List(items, _) => items.iter().map(|item| 1 + count(item)).sum(),
                Node::Object(fields, _) => fields.iter().map(|(_, value)| 1 + count(value)).sum(),
                _ => 0,
            }
        }
        let wide = "[[[1,1,1,1],[1,1,1,1],[1,1,1,1]],[[1,1,1,1],[1,1,1,1]],{\"a\":[1]}]";
        assert!(count(&Node::read(wide, &FEW).unwrap()) <= 10);
    }

    #[test]
    fn however_deep_it_is_it_is_read() {
        let deep = format!("{}1{}", "{\"a\":[".repeat(100_000), "]}".repeat(100_000));
        let Node::Object(fields, 0) = Node::read(&deep, &FEW).unwrap() else { panic!() };
        let innermost = Node::Object(vec![("a".to_owned(), Node::List(Vec::new(), 1))], 0);
        assert_eq!(fields[0].1, Node::List(vec![innermost], 0));
    }
}
