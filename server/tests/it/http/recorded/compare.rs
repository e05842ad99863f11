//! Compares an answer with the one that was recorded.

use std::fmt::Debug;

use serde_json::Value;

use super::names::{Names, alone, is_number};

/// Fields of which the type alone counts: texts for people, what is left of a time, and which release the server is of.
const MOVING: [&str; 4] = ["message", "hint", "expires_in_s", "server"];
/// An object with one of these is a choice, of which programs take no second key. To any other, fields may be added within version 1.
const CHOICES: [&str; 4] = ["ok", "error", "inline", "object"];

/// How one answer differs from the recorded one.
pub(super) struct Comparison<'a> {
    names: &'a mut Names,
    differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(names: &'a mut Names) -> Self {
        Self { names, differences: Vec::new() }
    }

    pub(super) fn into_differences(self) -> Vec<String> {
        self.differences
    }

    /// A part of a request as it is sent; `None` if an earlier answer did not give what stands in it.
    pub(super) fn fill(&mut self, text: &str) -> Option<String> {
        self.names.fill(text).map_err(|name| self.differences.push(format!("not sent: no answer gave {{{name}}}"))).ok()
    }

    pub(super) fn differs(&mut self, place: &str, recorded: &str, today: &str) {
        self.differences.push(format!("`{place}` was {recorded}, and is {today}"));
    }

    pub(super) fn same<T: PartialEq + Debug>(&mut self, place: &str, recorded: &T, today: &T) {
        if recorded != today {
            self.differs(place, &format!("{recorded:?}"), &format!("{today:?}"));
        }
    }

    /// Compares a value with all that is in it. A name takes today's value.
    pub(super) fn value(&mut self, place: &str, recorded: &Value, today: &Value) {
        match (recorded, today) {
            (Value::Object(fields), Value::Object(others)) => {
                for (name, field) in fields {
                    let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                    match others.get(name) {
                        Some(other) if MOVING.contains(&name.as_str()) => self.kind(&place, field, other),
                        Some(other) => self.value(&place, field, other),
                        None => self.differs(&place, &field.to_string(), "absent"),
                    }
                }
                let is_choice = fields.len() == 1 && fields.keys().all(|name| CHOICES.contains(&name.as_str()));
                for added in others.keys().filter(|name| is_choice && !fields.contains_key(*name)) {
                    self.differs(place, "a choice of one", &format!("one with `{added}` beside it"));
                }
            }
            (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
                for (number, (item, other)) in items.iter().zip(others).enumerate() {
                    self.value(&format!("{place}[{number}]"), item, other);
                }
            }
            (Value::String(text), _) => self.text(place, text, today),
            _ if recorded == today => {}
            _ => self.differs(place, &recorded.to_string(), &today.to_string()),
        }
    }

    fn text(&mut self, place: &str, text: &str, today: &Value) {
        let taken = match (alone(text), today) {
            (Some(name), Value::Number(number)) if is_number(name) => self.names.learn(name, &number.to_string()),
            (Some(name), Value::String(value)) if !is_number(name) => self.names.learn(name, value),
            (Some(name), _) => Err(format!("a {}", if is_number(name) { "number" } else { "text" })),
            (None, _) => match self.names.fill(text) {
                Ok(filled) if *today == filled => Ok(()),
                Ok(filled) => Err(format!("{filled:?}")),
                Err(name) => Err(format!("what {{{name}}} says")),
            },
        };
        if let Err(recorded) = taken {
            self.differs(place, &recorded, &today.to_string());
        }
    }

    fn kind(&mut self, place: &str, recorded: &Value, today: &Value) {
        if std::mem::discriminant(recorded) != std::mem::discriminant(today) {
            self.differs(place, &format!("of the type of {recorded}"), &today.to_string());
        }
    }
}

#[test]
fn what_would_hurt_a_program_is_a_difference() {
    let differences = |recorded: &str, today: &str| {
        let mut names = Names::default();
        let mut found = Comparison::new(&mut names);
        let [recorded, today] = [recorded, today].map(|text| serde_json::from_str(text).unwrap());
        found.value("", &recorded, &today);
        found.into_differences()
    };
    for (recorded, today) in [
        (r#"{"done":1}"#, r#"{"done":1,"more":2}"#),
        (r#"{"hint":"do","list":[]}"#, r#"{"list":[],"hint":"do not"}"#),
        (r#"{"run":"{run-1}","of":[{"run":"{run-1}"}]}"#, r#"{"run":7,"of":[{"run":7}]}"#),
    ] {
        assert!(differences(recorded, today).is_empty(), "{recorded} {today}");
    }
    for (recorded, today, difference) in [
        (r#"{"a":{"done":1}}"#, r#"{"a":{}}"#, "`a.done` was 1, and is absent"),
        (r#"{"a":[1]}"#, r#"{"a":[1,2]}"#, "`a` was [1], and is [1,2]"),
        (r#"{"a":1}"#, r#"{"a":"1"}"#, r#"`a` was 1, and is "1""#),
        (r#"{"hint":"do"}"#, r#"{"hint":null}"#, r#"`hint` was of the type of "do", and is null"#),
        (r#"[{"ok":1}]"#, r#"[{"ok":1,"b":2}]"#, "`[0]` was a choice of one, and is one with `b` beside it"),
        (r#"{"a":"{run-1}"}"#, r#"{"a":"7"}"#, r#"`a` was a number, and is "7""#),
        (r#"["{run-1}","{run-1}"]"#, "[7,8]", r#"`[1]` was "7", as before, and is 8"#),
        (r#"["{run-1}","{run-2}"]"#, "[7,7]", "`[1]` was another value than that of {run-1}, and is 7"),
    ] {
        assert_eq!(differences(recorded, today), [difference]);
    }
}
