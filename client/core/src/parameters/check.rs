//! Checking a value against a JSON Schema (2020-12) that may be hostile: in a bounded number of steps, without a file or a server.
//!
//! Checked are `type`, `enum`, `const`, the bounds of numbers, texts, lists and objects, `pattern`, `properties`,
//! `patternProperties`, `additionalProperties`, `propertyNames`, `required`, `dependentRequired`, `dependentSchemas`, `items`,
//! `prefixItems`, `contains`, `uniqueItems`, `allOf`, `anyOf`, `oneOf`, `not`, `if`, and `$ref` within the document. What else a
//! schema says is left to the engine, which checks again: `$dynamicRef`, references into other documents, `unevaluated…`, and
//! patterns that cannot be matched in linear time. `format` is an annotation in this version of JSON Schema, too.

use std::cell::Cell;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::cut::cut;
use super::kinds::{Kinds, member, name_of, referred};
use super::pattern::{PATTERN_MAX_BYTES, Patterns, TEXT_MAX_BYTES};

/// Steps of one check, at most: some tens of milliseconds.
const STEPS_MAX: u64 = 2_000_000;
/// How deeply schemas may lead to each other.
const DEPTH_MAX: usize = 192;
/// What is told of what is wrong, at most.
const PROBLEMS_MAX: usize = 8;
/// What compiling a pattern counts as, which is done once for each; matching a text, and a byte of it.
const PATTERN_STEPS: u64 = 40_000;
const TEXT_STEPS: u64 = 64;
const MATCH_STEPS: u64 = 32;
/// Names that are told in one sentence, at most.
const NAMES_MAX: usize = 16;

/// Why a value does not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Sentences for people.
    Problems(Vec<String>),
    /// It would take too long to find out.
    TooCostly,
}

/// Checks values against one schema.
pub(super) struct Checker<'a> {
    root: &'a Value,
    left: Cell<u64>,
    patterns: Patterns,
}

struct TooCostly;

/// Whether a value passed.
type Passed = Result<bool, TooCostly>;

/// What is wrong, with the place; nothing is written down where it only counts whether.
struct Problems<'p>(Option<&'p mut Vec<String>>);

impl Problems<'_> {
    fn say(&mut self, at: &At<'_>, what: impl FnOnce() -> String) {
        if let Some(problems) = &mut self.0
            && problems.len() < PROBLEMS_MAX
        {
            problems.push(format!("{} {}", at.name(), what()));
        }
    }

    fn also(&mut self) -> Problems<'_> {
        Problems(self.0.as_deref_mut())
    }
}

/// Where a value stands.
enum At<'a> {
    Root,
    Member(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    fn name(&self) -> String {
        match self {
            Self::Root => "the object".to_owned(),
            _ => format!("`{}`", self.path()),
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(Self::Root, name) => cut(name),
            Self::Member(of, name) => format!("{}.{}", of.path(), cut(name)),
            Self::Item(of, index) => format!("{}[{index}]", of.path()),
        }
    }

    fn is_root(&self) -> bool {
        matches!(self, Self::Root)
    }
}

impl<'a> Checker<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, left: Cell::new(STEPS_MAX), patterns: Patterns::default() }
    }

    /// Whether the value fits the schema.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn check(&self, value: &Value) -> Result<(), Unfit> {
        self.left.set(STEPS_MAX);
        let mut problems = Vec::new();
        match self.fits(self.root, value, &At::Root, 0, Problems(Some(&mut problems))) {
            Ok(true) => Ok(()),
            Ok(false) if problems.is_empty() => Err(Unfit::Problems(vec!["it takes no such object".to_owned()])),
            Ok(false) => Err(Unfit::Problems(problems)),
            Err(TooCostly) => Err(Unfit::TooCostly),
        }
    }

    /// What these words are as the parameter of that name.
    ///
    /// # Errors
    ///
    /// Says, for people, why they are no parameters.
    pub(super) fn typed(&self, name: &str, words: &[&str]) -> Result<Value, String> {
        let schema = member(self.root, self.root, name);
        let kinds = schema.map(|schema| Kinds::allowed(self.root, schema)).unwrap_or_default();
        let one = |word: &str, kinds: Kinds| {
            let value = serde_json::from_str::<Value>(word).ok();
            if kinds.is_empty() {
                return Some(value.unwrap_or_else(|| word.into()));
            }
            // What may be a text and nothing else is the text, whatever it looks like.
            if kinds.without(Kinds::NULL) == Kinds::STRING {
                return Some(word.into());
            }
            let fitting = value.filter(|value| Kinds::of(value).overlaps(kinds));
            fitting.or_else(|| kinds.overlaps(Kinds::STRING).then(|| word.into()))
        };
        if let [word] = words
            && let Some(value) = one(word, kinds)
        {
            return Ok(value);
        }
        if !kinds.overlaps(Kinds::ARRAY) {
            return Err(match words {
                [_] => format!("`{}` must be {}", cut(name), kinds.without(Kinds::NULL).names()),
                _ => format!("`{}` is set twice", cut(name)),
            });
        }
        let of_items = schema.and_then(|schema| self.items_of(schema));
        let items = of_items.map(|items| Kinds::allowed(self.root, items)).unwrap_or_default();
        words.iter().map(|word| one(word, items)).collect::<Option<Vec<_>>>().map(Value::from).ok_or_else(|| {
            format!(
                "`{}` must be a list of {}s",
                cut(name),
                items.names().trim_start_matches("an ").trim_start_matches("a ")
            )
        })
    }

    /// What a schema says of the items of a list, or one that it leads to.
    fn items_of(&self, schema: &'a Value) -> Option<&'a Value> {
        let lead = |schema: &'a Value| {
            schema.get("$ref").and_then(Value::as_str).and_then(|reference| referred(self.root, reference))
        };
        let several = ["anyOf", "oneOf"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
        let near = [Some(schema), lead(schema)].into_iter().flatten();
        near.chain(several.filter_map(|schema| lead(schema).or(Some(schema)))).find_map(|schema| schema.get("items"))
    }

    fn step(&self, steps: u64) -> Result<(), TooCostly> {
        self.left.set(self.left.get().checked_sub(steps).ok_or(TooCostly)?);
        Ok(())
    }

    fn fits(&self, schema: &Value, value: &Value, at: &At<'_>, depth: usize, mut problems: Problems<'_>) -> Passed {
        self.step(1)?;
        if depth > DEPTH_MAX {
            return Err(TooCostly);
        }
        let words = match schema {
            Value::Bool(false) => {
                problems.say(at, || "is not taken".to_owned());
                return Ok(false);
            }
            Value::Object(words) => words,
            _ => return Ok(true),
        };
        self.step(words.len() as u64)?;
        let mut passed = true;
        if let Some(said) = words.get("type") {
            let kinds = Kinds::of_type(said);
            if !kinds.is_empty() && !Kinds::of(value).overlaps(kinds) {
                problems.say(at, || format!("must be {}, and is {}", kinds.names(), name_of(value)));
                // What else it says is of that kind.
                return Ok(false);
            }
        }
        passed &= self.is_listed(words, value, at, problems.also())?;
        match value {
            Value::Number(number) => {
                passed &= number_fits(words, number.as_f64().unwrap_or(0.0), value, at, problems.also())
            }
            Value::String(text) => passed &= self.text_fits(words, text, at, problems.also())?,
            Value::Array(items) => passed &= self.list_fits(words, items, at, depth, problems.also())?,
            Value::Object(members) => {
                passed &= self.object_fits(words, (value, members), at, depth, problems.also())?
            }
            _ => {}
        }
        passed &= self.others_fit(words, value, at, depth, problems)?;
        Ok(passed)
    }

    /// `enum` and `const`.
    fn is_listed(&self, words: &Map<String, Value>, value: &Value, at: &At<'_>, mut problems: Problems<'_>) -> Passed {
        let mut passed = true;
        if let Some(Value::Array(values)) = words.get("enum") {
            let mut found = false;
            for one in values {
                found = found || self.same(one, value)?;
            }
            if !found {
                problems.say(at, || {
                    let names: Vec<String> =
                        values.iter().take(NAMES_MAX).map(|value| cut(&value.to_string())).collect();
                    format!("must be one of {}", names.join(", "))
                });
            }
            passed &= found;
        }
        if let Some(one) = words.get("const") {
            let is_it = self.same(one, value)?;
            if !is_it {
                problems.say(at, || format!("must be {}", cut(&one.to_string())));
            }
            passed &= is_it;
        }
        Ok(passed)
    }

    fn text_fits(&self, words: &Map<String, Value>, text: &str, at: &At<'_>, mut problems: Problems<'_>) -> Passed {
        self.step(text.len() as u64 / 16)?;
        let length = text.chars().count() as u64;
        let mut passed = within(words, ("minLength", "maxLength"), length, "characters", at, problems.also());
        if let Some(Value::String(pattern)) = words.get("pattern")
            && !self.matches(pattern, text)?
        {
            problems.say(at, || format!("does not match the pattern `{}`", cut(pattern)));
            passed = false;
        }
        Ok(passed)
    }

    /// Whether the pattern is found in the text; as good as found where that cannot be told here.
    fn matches(&self, pattern: &str, text: &str) -> Passed {
        self.step(TEXT_STEPS)?;
        if text.len() > TEXT_MAX_BYTES || pattern.len() > PATTERN_MAX_BYTES {
            return Ok(true);
        }
        if !self.patterns.has(pattern) {
            self.step(PATTERN_STEPS)?;
        }
        self.step(text.len() as u64 * MATCH_STEPS)?;
        Ok(self.patterns.matches(pattern, text))
    }

    fn list_fits(
        &self,
        words: &Map<String, Value>,
        items: &[Value],
        at: &At<'_>,
        depth: usize,
        mut problems: Problems<'_>,
    ) -> Passed {
        let mut passed = within(words, ("minItems", "maxItems"), items.len() as u64, "items", at, problems.also());
        let first = words.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or_else(|| words.get("items")) {
                passed &= self.fits(schema, item, &At::Item(at, index), depth + 1, problems.also())?;
            }
        }
        if let Some(schema) = words.get("contains") {
            let mut found = 0;
            for (index, item) in items.iter().enumerate() {
                found += u64::from(self.fits(schema, item, &At::Item(at, index), depth + 1, Problems(None))?);
            }
            let least = words.get("minContains").and_then(Value::as_u64).unwrap_or(1);
            let most = words.get("maxContains").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if !(least..=most).contains(&found) {
                problems.say(at, || format!("has {found} items of a kind of which there must be {least} or more"));
                passed = false;
            }
        }
        if words.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut seen = HashSet::new();
            for item in items {
                let text = plain(item);
                self.step(text.len() as u64 / 4 + 1)?;
                if !seen.insert(text) {
                    problems.say(at, || "has the same item twice".to_owned());
                    return Ok(false);
                }
            }
        }
        Ok(passed)
    }

    fn object_fits(
        &self,
        words: &Map<String, Value>,
        (whole, members): (&Value, &Map<String, Value>),
        at: &At<'_>,
        depth: usize,
        mut problems: Problems<'_>,
    ) -> Passed {
        let count = members.len() as u64;
        let mut passed = within(words, ("minProperties", "maxProperties"), count, "members", at, problems.also());
        let properties = words.get("properties").and_then(Value::as_object);
        let patterns = words.get("patternProperties").and_then(Value::as_object);
        for (name, value) in members {
            self.step(1)?;
            let here = At::Member(at, name);
            let mut known = false;
            if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                known = true;
                passed &= self.fits(schema, value, &here, depth + 1, problems.also())?;
            }
            for (pattern, schema) in patterns.into_iter().flatten() {
                if self.matches(pattern, name)? {
                    known = true;
                    passed &= self.fits(schema, value, &here, depth + 1, problems.also())?;
                }
            }
            if let Some(schema) = words.get("additionalProperties")
                && !known
            {
                if schema == &Value::Bool(false) {
                    problems.say_unknown(at, name, properties);
                    passed = false;
                } else {
                    passed &= self.fits(schema, value, &here, depth + 1, problems.also())?;
                }
            }
            if let Some(schema) = words.get("propertyNames") {
                passed &= self.fits(schema, &Value::from(name.as_str()), &here, depth + 1, problems.also())?;
            }
            if let Some(schema) = words.get("dependentSchemas").and_then(|schemas| schemas.get(name)) {
                passed &= self.fits(schema, whole, at, depth + 1, problems.also())?;
            }
            if let Some(Value::Array(needed)) = words.get("dependentRequired").and_then(|needed| needed.get(name)) {
                passed &= self.has_all(needed, members, at, problems.also())?;
            }
        }
        if let Some(Value::Array(needed)) = words.get("required") {
            passed &= self.has_all(needed, members, at, problems)?;
        }
        Ok(passed)
    }

    fn has_all(
        &self,
        needed: &[Value],
        members: &Map<String, Value>,
        at: &At<'_>,
        mut problems: Problems<'_>,
    ) -> Passed {
        let mut passed = true;
        for name in needed.iter().filter_map(Value::as_str) {
            self.step(1)?;
            if !members.contains_key(name) {
                problems.say(&At::Member(at, name), || "is missing".to_owned());
                passed = false;
            }
        }
        Ok(passed)
    }

    /// Words that lead to other schemas of the same value.
    fn others_fit(
        &self,
        words: &Map<String, Value>,
        value: &Value,
        at: &At<'_>,
        depth: usize,
        mut problems: Problems<'_>,
    ) -> Passed {
        let mut passed = true;
        if let Some(Value::String(reference)) = words.get("$ref")
            && let Some(schema) = referred(self.root, reference)
        {
            self.step(reference.len() as u64 / 8)?;
            passed &= self.fits(schema, value, at, depth + 1, problems.also())?;
        }
        for schema in list(words, "allOf") {
            passed &= self.fits(schema, value, at, depth + 1, problems.also())?;
        }
        for (keyword, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
            if !matches!(words.get(keyword), Some(Value::Array(_))) {
                continue;
            }
            let mut fitting = 0;
            for schema in list(words, keyword) {
                fitting += usize::from(self.fits(schema, value, at, depth + 1, Problems(None))?);
            }
            if fitting == 0 {
                self.step(64 * list(words, keyword).count() as u64)?;
                // Of several forms, the one that a person will have meant: not `null`.
                let meant = list(words, keyword).find(|schema| {
                    let kinds = Kinds::allowed(self.root, schema);
                    kinds.is_empty() || Kinds::of(value).overlaps(kinds)
                });
                match meant {
                    Some(schema) => drop(self.fits(schema, value, at, depth + 1, problems.also())?),
                    None => problems.say(at, || {
                        let kinds = Kinds::allowed(self.root, &Value::Object(words.clone())).without(Kinds::NULL);
                        format!("must be {}, and is {}", kinds.names(), name_of(value))
                    }),
                }
                passed = false;
            } else if fitting > most {
                problems.say(at, || "fits several forms of which it may be one only".to_owned());
                passed = false;
            }
        }
        if let Some(schema) = words.get("not")
            && self.fits(schema, value, at, depth + 1, Problems(None))?
        {
            problems.say(at, || "is of a form that is excluded".to_owned());
            passed = false;
        }
        if let Some(schema) = words.get("if") {
            let then = if self.fits(schema, value, at, depth + 1, Problems(None))? { "then" } else { "else" };
            if let Some(schema) = words.get(then) {
                passed &= self.fits(schema, value, at, depth + 1, problems)?;
            }
        }
        Ok(passed)
    }

    /// Whether two values are the same, as JSON Schema means it: 1 is 1.0.
    fn same(&self, one: &Value, other: &Value) -> Passed {
        self.step(1)?;
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => Ok(one == other || one.as_f64() == other.as_f64()),
            (Value::String(one), Value::String(other)) => {
                self.step(one.len().min(other.len()) as u64 / 16)?;
                Ok(one == other)
            }
            (Value::Array(one), Value::Array(other)) => {
                if one.len() != other.len() {
                    return Ok(false);
                }
                for (one, other) in one.iter().zip(other) {
                    if !self.same(one, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(one), Value::Object(other)) => {
                if one.len() != other.len() {
                    return Ok(false);
                }
                for (name, one) in one {
                    match other.get(name) {
                        Some(other) if self.same(one, other)? => {}
                        _ => return Ok(false),
                    }
                }
                Ok(true)
            }
            _ => Ok(one == other),
        }
    }
}

impl Problems<'_> {
    fn say_unknown(&mut self, at: &At<'_>, name: &str, properties: Option<&Map<String, Value>>) {
        let known: Vec<String> =
            properties.into_iter().flat_map(Map::keys).take(NAMES_MAX).map(|name| format!("`{}`", cut(name))).collect();
        let known = match &known[..] {
            [] => "nothing can be set".to_owned(),
            [only] => format!("the only one is {only}"),
            several => format!("there are {}", several.join(", ")),
        };
        let within = if at.is_root() { String::new() } else { format!(" in {}", at.name()) };
        if let Some(problems) = &mut self.0
            && problems.len() < PROBLEMS_MAX
        {
            problems.push(format!("there is no `{}`{within}; {known}", cut(name)));
        }
    }
}

fn list<'a>(words: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'a Value> {
    words.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

/// Whether a number of something is within what the schema says.
fn within(
    words: &Map<String, Value>,
    (least, most): (&str, &str),
    count: u64,
    what: &str,
    at: &At<'_>,
    mut problems: Problems<'_>,
) -> bool {
    let bound = |keyword: &str| words.get(keyword).and_then(Value::as_f64);
    if let Some(least) = bound(least).filter(|least| (count as f64) < *least) {
        problems.say(at, || format!("has fewer than {least} {what}"));
        return false;
    }
    if let Some(most) = bound(most).filter(|most| count as f64 > *most) {
        problems.say(at, || format!("has more than {most} {what}"));
        return false;
    }
    true
}

fn number_fits(
    words: &Map<String, Value>,
    number: f64,
    value: &Value,
    at: &At<'_>,
    mut problems: Problems<'_>,
) -> bool {
    let bound = |keyword: &str| words.get(keyword).and_then(Value::as_f64);
    let mut passed = true;
    let mut refuse = |what: String| {
        problems.say(at, || what);
        passed = false;
    };
    if let Some(least) = bound("minimum").filter(|least| number < *least) {
        refuse(format!("is less than {least}"));
    }
    if let Some(most) = bound("maximum").filter(|most| number > *most) {
        refuse(format!("is more than {most}"));
    }
    if let Some(least) = bound("exclusiveMinimum").filter(|least| number <= *least) {
        refuse(format!("is not more than {least}"));
    }
    if let Some(most) = bound("exclusiveMaximum").filter(|most| number >= *most) {
        refuse(format!("is not less than {most}"));
    }
    if let Some(of) = words.get("multipleOf")
        && !is_multiple(value, of)
    {
        refuse(format!("is not a multiple of {}", cut(&of.to_string())));
    }
    passed
}

fn is_multiple(value: &Value, of: &Value) -> bool {
    if let (Some(value), Some(of)) = (value.as_i64(), of.as_i64()) {
        return of == 0 || value.checked_rem(of).is_none_or(|rest| rest == 0);
    }
    let (Some(value), Some(of)) = (value.as_f64(), of.as_f64()) else {
        return true;
    };
    if of <= 0.0 {
        return true;
    }
    // 0.3 is a multiple of 0.1 to people, though no binary fraction is.
    let times = value / of;
    !times.is_finite() || (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
}

/// A text that equal values share: numbers in one form.
fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            // Beyond 2^53 not every integer is one.
            Some(float) if float.abs() < 9e15 => float.to_string(),
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), plain(value)))
                .collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
