//! Engine parameters: given by a person, made into one JSON object by what the engine's schema says, and checked against it
//! before anything is sent.

mod check;
mod cut;
mod kinds;
mod once;
mod pattern;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use filemill_seal::{Digest, JSON_MAX_DEPTH, PARAMETERS_MAX_BYTES};
use serde_json::{Map, Value};

use crate::engines::listed;
use check::{Checker, Unfit};
use cut::{NAME_MAX, cut};
use once::EachOnce;

/// The object without members.
const NONE: &str = "{}";
/// Names of parameters that are told of an upload, at most.
const NAMES_MAX: usize = 32;
/// What a person set, before it is known what the engine takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenParameters {
    /// One JSON object with parameters; absent stands for an empty one.
    pub object: Option<String>,
    /// Names and values. A value is what the engine's schema says that it is: a number, a boolean, an item of a list (a name may then
    /// come several times), a text. They go before what the object says.
    pub values: Vec<(String, String)>,
    /// Names and texts, which are texts whatever they look like. They go before what the object says.
    pub texts: Vec<(String, String)>,
}

/// The parameters of an upload: one JSON object, in one form whatever the order in which it was given. Cheap to clone, to compare
/// and to find again: each file is asked for its own, and they may be long.
#[derive(Clone)]
pub(crate) struct Parameters(Arc<Inner>);

struct Inner {
    json: Box<str>,
    digest: Digest,
    /// Found out when they are asked for.
    names: OnceLock<Vec<String>>,
}

impl GivenParameters {
    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.object.is_none() && self.values.is_empty() && self.texts.is_empty()
    }

    /// Makes one object of them, as the engine's schema says, and checks that it fits. Takes a bounded number of steps, whatever
    /// the schema: some tens of milliseconds.
    ///
    /// # Errors
    ///
    /// Says, for people, what is wrong.
    pub(crate) fn fitted(&self, schema: Option<&Value>) -> Result<Parameters, String> {
        let mut object = match &self.object {
            Some(text) => object_of(text)?,
            None => Map::new(),
        };
        if let Some((name, _)) = self.texts.iter().find(|(name, _)| self.values.iter().any(|(other, _)| other == name))
        {
            return Err(format!("`{}` is set twice", cut(name)));
        }
        let checker = schema.map(Checker::new);
        let mut set: Vec<&str> = Vec::new();
        for (name, _) in &self.values {
            if set.contains(&name.as_str()) {
                continue;
            }
            set.push(name);
            let values: Vec<&str> =
                self.values.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
            let value = match &checker {
                Some(checker) => checker.typed(name, &values)?,
                None => Value::Null,
            };
            object.insert(name.clone(), value);
        }
        for (name, text) in &self.texts {
            if set.contains(&name.as_str()) {
                return Err(format!("`{}` is set twice", cut(name)));
            }
            set.push(name);
            object.insert(name.clone(), Value::from(text.as_str()));
        }
        let parameters = Parameters::of(object)?;
        parameters.check(schema)?;
        Ok(parameters)
    }
}

impl Parameters {
    fn of(object: Map<String, Value>) -> Result<Self, String> {
        let value = Value::Object(object);
        if depth(&value) > JSON_MAX_DEPTH {
            return Err(format!("they nest deeper than {JSON_MAX_DEPTH}"));
        }
        let text = sorted(value).to_string();
        match text.len() {
            length if length > PARAMETERS_MAX_BYTES => {
                Err(format!("they take {length} bytes of JSON, more than {PARAMETERS_MAX_BYTES}"))
            }
            _ => Ok(Self::from_journal(&text)),
        }
    }

    /// Those that an earlier program wrote down.
    pub(crate) fn from_journal(text: &str) -> Self {
        let digest = Digest::of(text.as_bytes());
        Self(Arc::new(Inner { json: text.into(), digest, names: OnceLock::new() }))
    }

    /// One JSON object.
    pub(crate) fn as_json(&self) -> &str {
        &self.0.json
    }

    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        *self.0.json == *NONE
    }

    /// Of the JSON text.
    pub(crate) fn digest(&self) -> Digest {
        self.0.digest
    }

    /// What is set, in the order of names: some of it, if it is very much.
    pub(crate) fn names(&self) -> &[String] {
        self.0.names.get_or_init(|| {
            let object: Map<String, Value> = serde_json::from_str(&self.0.json).unwrap_or_default();
            object.keys().take(NAMES_MAX).map(|name| name.chars().take(NAME_MAX).collect()).collect()
        })
    }

    /// Checks them against the schema of an engine; without one it takes none.
    ///
    /// # Errors
    ///
    /// Says, for people, what is wrong.
    pub(crate) fn check(&self, schema: Option<&Value>) -> Result<(), String> {
        let value: Value = serde_json::from_str(&self.0.json).map_err(|error| error.to_string())?;
        let Some(schema) = schema else {
            return match self.names().first() {
                None => Ok(()),
                Some(name) => Err(format!("it takes none, and `{}` is set", cut(name))),
            };
        };
        Checker::new(schema).check(&value).map_err(|unfit| match unfit {
            Unfit::TooCostly => "its schema takes too many steps to check, or refers to itself without end".to_owned(),
            Unfit::Problems(problems) => problems.join("; "),
        })
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::from_journal(NONE)
    }
}

impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Parameters {}

impl Hash for Parameters {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

/// Shows nothing of them: they may hold what only a processor is to see.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters").field("bytes", &self.0.json.len()).finish_non_exhaustive()
    }
}

fn object_of(text: &str) -> Result<Map<String, Value>, String> {
    // With blanks between its parts it may be longer than what is sent.
    if text.len() > 4 * PARAMETERS_MAX_BYTES {
        return Err(format!("the file has {} bytes, too many for {PARAMETERS_MAX_BYTES} bytes of JSON", text.len()));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("what the file holds is not JSON: {error}"))?;
    match value {
        Value::Object(object) => match serde_json::from_str::<EachOnce>(text) {
            Ok(EachOnce) => Ok(object),
            Err(error) => Err(error.to_string()),
        },
        other => Err(format!("what the file holds is {} and not one JSON object", kinds::name_of(&other))),
    }
}

/// The same value with the members of each object in the order of their names.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut members: Vec<(String, Value)> = object.into_iter().collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// How deeply objects and lists nest in it.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Parameters that a schema names, as people read a list of them.
pub(crate) fn names_in(schema: Option<&Value>) -> String {
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let names: Vec<String> = properties.into_iter().flat_map(Map::keys).map(|name| cut(name)).collect();
    listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(values: &[(&str, &str)]) -> GivenParameters {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        GivenParameters { values, ..GivenParameters::default() }
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "rules": {"type": ["string", "null"], "maxLength": 20},
                "built_in": {"type": ["boolean", "null"]},
                "depth": {"type": "integer", "minimum": 1, "maximum": 9},
                "share": {"type": "number"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
                "more": {"type": "object"},
                "any": true,
            },
            "additionalProperties": false,
        })
    }

    #[test]
    fn a_value_is_what_the_schema_says_that_it_is() {
        for (name, value, expected) in [
            ("rules", "true", json!("true")),
            ("rules", "null", json!("null")),
            ("rules", "12", json!("12")),
            ("built_in", "true", json!(true)),
            ("built_in", "null", json!(null)),
            ("depth", "3", json!(3)),
            ("share", "0.5", json!(0.5)),
            ("tags", "a", json!(["a"])),
            ("tags", "[1", json!(["[1"])),
            ("tags", "[\"a\",\"b\"]", json!(["a", "b"])),
            ("sizes", "7", json!([7])),
            ("more", "{\"a\": 1}", json!({"a": 1})),
            ("any", "5", json!(5)),
            ("any", "five", json!("five")),
        ] {
            let fitted =
                given(&[(name, value)]).fitted(Some(&schema())).unwrap_or_else(|why| panic!("{name}={value}: {why}"));
            assert_eq!(fitted.as_json(), json!({name: expected}).to_string());
        }
        let several = given(&[("tags", "a"), ("depth", "2"), ("tags", "b")]).fitted(Some(&schema())).unwrap();
        assert_eq!(several.as_json(), r#"{"depth":2,"tags":["a","b"]}"#);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_name_of_its_parameter() {
        for (values, said) in [
            (vec![("depth", "many")], "`depth` must be an integer"),
            (vec![("depth", "2.5")], "`depth` must be an integer"),
            (vec![("depth", "10")], "`depth` is more than 9"),
            (vec![("depth", "1"), ("depth", "2")], "`depth` is set twice"),
            (vec![("sizes", "x")], "`sizes` must be a list of integers"),
            (vec![("sizes", "1"), ("sizes", "2"), ("sizes", "3")], "`sizes` has more than 2 items"),
            (vec![("built_in", "yes")], "`built_in` must be a boolean"),
            (vec![("rules", "123456789012345678901")], "`rules` has more than 20 characters"),
            (vec![("deep", "1")], "there is no `deep`"),
        ] {
            let why = given(&values).fitted(Some(&schema())).unwrap_err();
            assert!(why.contains(said), "{values:?}: {why}");
        }
    }

    #[test]
    fn an_engine_without_a_schema_takes_none() {
        assert!(GivenParameters::default().fitted(None).unwrap().is_empty());
        assert!(given(&[("a", "1")]).fitted(None).unwrap_err().contains("takes none"));
    }

    #[test]
    fn values_go_before_those_of_the_file_and_a_text_is_a_text() {
        let all = GivenParameters {
            object: Some(r#"{ "depth": 2, "built_in": true, "share": 1 }"#.to_owned()),
            values: vec![("depth".to_owned(), "5".to_owned())],
            texts: vec![("rules".to_owned(), "{}".to_owned())],
        };
        let fitted = all.fitted(Some(&schema())).unwrap();
        assert_eq!(fitted.as_json(), r#"{"built_in":true,"depth":5,"rules":"{}","share":1}"#);
        assert_eq!(fitted.names(), ["built_in", "depth", "rules", "share"]);
        let twice = GivenParameters { values: vec![("rules".to_owned(), "x".to_owned())], ..all.clone() };
        assert!(twice.fitted(Some(&schema())).unwrap_err().contains("`rules` is set twice"));
        let twice = GivenParameters { object: Some(r#"{"depth": 2, "depth": 3}"#.to_owned()), ..all.clone() };
        assert!(twice.fitted(Some(&schema())).unwrap_err().contains("`depth` is set twice"));
        for odd in ["[]", "1", "", "{", "{} {}"] {
            let odd = GivenParameters { object: Some(odd.to_owned()), ..GivenParameters::default() };
            assert!(odd.fitted(Some(&schema())).is_err());
        }
    }

    #[test]
    fn the_same_parameters_are_the_same_text_however_they_were_given() {
        let object = |text: &str| GivenParameters { object: Some(text.to_owned()), ..GivenParameters::default() };
        let any = json!(true);
        let one = object(r#"{"b":{"d":1,"c":2},"a":[]}"#).fitted(Some(&any)).unwrap();
        let other = object("{ \"a\" : [ ],\n \"b\": {\"c\":2, \"d\":1} }").fitted(Some(&any)).unwrap();
        assert_eq!((&one, one.digest()), (&other, other.digest()));
    }

    #[test]
    fn long_parameters_cost_each_file_nothing() {
        use std::hash::BuildHasher;

        let text = vec![("rules".to_owned(), "x".repeat(1_000_000))];
        let long = GivenParameters { texts: text, ..GivenParameters::default() }.fitted(Some(&json!(true))).unwrap();
        let again = Parameters::from_journal(long.as_json());
        let (begun, state) = (std::time::Instant::now(), std::hash::RandomState::new());
        for _ in 0..10_000 {
            assert!(long == again && state.hash_one(&long) == state.hash_one(&again));
            assert_eq!((long.digest(), long.names().len()), (again.digest(), 1));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn more_than_a_header_holds_or_a_processor_takes_is_refused() {
        let long = GivenParameters {
            texts: vec![("a".to_owned(), "x".repeat(PARAMETERS_MAX_BYTES))],
            ..GivenParameters::default()
        };
        assert!(long.fitted(Some(&json!(true))).unwrap_err().contains("1048576"));
        let fits = GivenParameters {
            texts: vec![("a".to_owned(), "x".repeat(PARAMETERS_MAX_BYTES - 8))],
            ..GivenParameters::default()
        };
        assert_eq!(fits.fitted(Some(&json!(true))).unwrap().as_json().len(), PARAMETERS_MAX_BYTES);
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(JSON_MAX_DEPTH), "]".repeat(JSON_MAX_DEPTH));
        let deep = GivenParameters { object: Some(deep), ..GivenParameters::default() };
        assert!(deep.fitted(Some(&json!(true))).unwrap_err().contains("deeper than 100"));
    }
}
