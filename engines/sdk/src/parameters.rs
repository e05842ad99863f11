//! Reading what the uploader sets.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Failure;

/// The longest parameters that a host takes, in bytes of JSON: what a schema allows must fit into it, with its quotes and escapes.
/// The same number stands in `client/seal/src/bounds.rs`, which a test compares.
pub const PARAMETERS_MAX_BYTES: usize = 1 << 20;

/// The parameters of an engine that takes none: an object with members is refused, with their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NoParameters {}

impl<'de> Deserialize<'de> for NoParameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Nothing)
    }
}

/// The most unknown members that an error lists.
const LISTED: usize = 8;

/// Reads `json`, an object, as an engine's parameters. An empty text and `null` are an empty object.
///
/// # Errors
///
/// [`Failure::Failed`], which names the member that is wrong and says what was expected.
pub(crate) fn parse<P: DeserializeOwned>(json: &str) -> Result<P, Failure> {
    let json = match json.trim_ascii() {
        "" | "null" => "{}",
        json => json,
    };
    if !json.starts_with('{') {
        return Err(Failure::failed("the engine's parameters are no JSON object; hint: send it `{}`"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parameters = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let why = without_position(error.into_inner().to_string());
        match path.as_str() {
            "." | "?" => Failure::failed(format!("the engine's parameters are wrong: {why}")),
            path => Failure::failed(format!("the engine's parameter `{path}` is wrong: {why}")),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Failure::failed(format!("the engine's parameters are followed by something else: {error}")))?;
    Ok(parameters)
}

/// `text` without where in the JSON it went wrong: nobody sees that text, and the member is named.
fn without_position(mut text: String) -> String {
    if let Some(at) = text.rfind(" at line ") {
        text.truncate(at);
    }
    text
}

/// Takes a map without members.
struct Nothing;

impl<'de> Visitor<'de> for Nothing {
    type Value = NoParameters;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object without members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoParameters, A::Error> {
        let mut unknown = Vec::new();
        let mut more = 0_u64;
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            if unknown.len() < LISTED { unknown.push(format!("`{name}`")) } else { more += 1 }
        }
        if unknown.is_empty() {
            return Ok(NoParameters {});
        }
        let mut list = unknown.join(", ");
        if more > 0 {
            list.push_str(&format!(" and {more} more"));
        }
        Err(A::Error::custom(format_args!("it takes none, and got {list}; hint: send it `{{}}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Few {
        windows: u32,
        name: String,
    }

    impl Default for Few {
        fn default() -> Self {
            Self { windows: 4, name: "x".into() }
        }
    }

    fn refusal<P: DeserializeOwned + fmt::Debug>(json: &str) -> String {
        parse::<P>(json).expect_err("refused").sentence().to_owned()
    }

    #[test]
    fn an_object_without_members_is_no_parameters() {
        for nothing in ["", "{}", " { \n } ", "null"] {
            assert_eq!(parse::<NoParameters>(nothing), Ok(NoParameters {}), "{nothing:?}");
            assert_eq!(parse::<Few>(nothing), Ok(Few::default()), "{nothing:?}");
        }
    }

    #[test]
    fn unknown_parameters_are_refused_by_name_rather_than_ignored() {
        let refused = refusal::<NoParameters>(r#"{"unit": "KiB", "b": [1, {}]}"#);
        assert_eq!(
            refused,
            "the engine's parameters are wrong: it takes none, and got `unit`, `b`; hint: send it `{}`"
        );
        assert!(refusal::<Few>(r#"{"unit": 1}"#).contains("unknown field `unit`, expected `windows` or `name`"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_name_of_its_member() {
        let refused = refusal::<Few>(r#"{"windows": "many"}"#);
        assert_eq!(refused, "the engine's parameter `windows` is wrong: invalid type: string \"many\", expected u32");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for something in ["[]", "{", "0", "{} {}", "{\"a\":}"] {
            refusal::<NoParameters>(something);
            refusal::<Few>(something);
        }
    }
}
