//! The kinds of values that a schema allows, and what a person's word is among them.

use serde_json::Value;

/// Schemas that one leads to, at most, when it is looked for the kinds that it allows.
const HOPS_MAX: usize = 64;

/// A set of kinds of JSON values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u8);

/// The kinds by name, each a bit.
const NAMES: [(&str, &str); 7] = [
    ("null", "null"),
    ("boolean", "a boolean"),
    ("integer", "an integer"),
    ("number", "a number"),
    ("string", "a text"),
    ("array", "a list"),
    ("object", "an object"),
];

impl Kinds {
    pub(super) const NULL: Self = Self(1);
    pub(super) const INTEGER: Self = Self(1 << 2);
    pub(super) const NUMBER: Self = Self(1 << 3);
    pub(super) const STRING: Self = Self(1 << 4);
    pub(super) const ARRAY: Self = Self(1 << 5);

    /// The kind that a schema calls so; none if there is no such.
    pub(super) fn named(name: &str) -> Self {
        NAMES.iter().position(|(known, _)| *known == name).map_or(Self(0), |bit| Self(1 << bit))
    }

    /// What `type` says: a name, or a list of them.
    pub(super) fn of_type(said: &Value) -> Self {
        match said {
            Value::String(name) => Self::named(name),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).fold(Self(0), |all, name| all.with(Self::named(name)))
            }
            _ => Self(0),
        }
    }

    /// The kind of a value. A number without a fraction is an integer, too.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self(1 << 1),
            Value::Number(number) => {
                let whole = number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0);
                if whole { Self::INTEGER.with(Self::NUMBER) } else { Self::NUMBER }
            }
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self(1 << 6),
        }
    }

    pub(super) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn overlaps(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// As people say it: `an integer or a text`.
    pub(super) fn names(self) -> String {
        // Every integer is a number.
        let told = if self.overlaps(Self::NUMBER) { self.without(Self::INTEGER) } else { self };
        let names: Vec<&str> =
            NAMES.iter().enumerate().filter(|(bit, _)| told.0 & (1 << bit) != 0).map(|(_, (_, name))| *name).collect();
        names.join(" or ")
    }

    /// The kinds that a schema allows, as far as it says so; none: it does not say.
    pub(super) fn allowed(root: &Value, schema: &Value) -> Self {
        let mut hops = HOPS_MAX;
        allowed(root, schema, &mut hops)
    }
}

/// What a value is, as people say it.
pub(super) fn name_of(value: &Value) -> String {
    Kinds::of(value).names()
}

/// The schema that a reference within the document leads to.
pub(super) fn referred<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    // A JSON pointer, RFC 6901. One into another document leads nowhere: nothing is fetched.
    root.pointer(reference.strip_prefix('#')?)
}

/// The schema of a member of the object that a schema describes.
pub(super) fn member<'a>(root: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
    let mut schema = schema;
    for _ in 0..HOPS_MAX {
        if let Some(found) = schema.get("properties").and_then(|properties| properties.get(name)) {
            return Some(found);
        }
        match schema.get("$ref").and_then(Value::as_str).and_then(|reference| referred(root, reference)) {
            Some(next) => schema = next,
            None => return schema.get("additionalProperties"),
        }
    }
    None
}

fn allowed(root: &Value, schema: &Value, hops: &mut usize) -> Kinds {
    if *hops == 0 {
        return Kinds::default();
    }
    *hops -= 1;
    if let Some(said) = schema.get("type") {
        return Kinds::of_type(said);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().take(HOPS_MAX).fold(Kinds::default(), |all, value| all.with(Kinds::of(value)));
    }
    if let Some(value) = schema.get("const") {
        return Kinds::of(value);
    }
    if let Some(next) = schema.get("$ref").and_then(Value::as_str).and_then(|reference| referred(root, reference)) {
        return allowed(root, next, hops);
    }
    let several = ["anyOf", "oneOf"].into_iter().find_map(|keyword| schema.get(keyword)?.as_array());
    if let Some(several) = several {
        let each: Vec<Kinds> = several.iter().map(|schema| allowed(root, schema, hops)).collect();
        // One that does not say allows any.
        let says = each.iter().all(|kinds| !kinds.is_empty());
        return if says { each.into_iter().fold(Kinds::default(), Kinds::with) } else { Kinds::default() };
    }
    let all = schema.get("allOf").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .map(|schema| allowed(root, schema, hops))
        .find(|kinds| !kinds.is_empty())
        .unwrap_or_default()
}
