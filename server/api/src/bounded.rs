//! Lists that nobody needs longer than the bound: what is beyond is read and dropped, not kept.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A list of which at most `MOST` items and one more are kept: enough to see that it is too long. An empty pair of quotes in JSON becomes
/// a text of 24 bytes, so that a body within its bound could hold a list of many times that.
pub(crate) fn list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Bounded::<T, MOST>(PhantomData))
}

struct Bounded<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() <= MOST {
            match items.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(kept),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Few {
        #[serde(deserialize_with = "list::<_, _, 2>")]
        few: Vec<String>,
    }

    #[test]
    fn a_list_beyond_its_bound_is_seen_to_be_too_long_and_not_kept() {
        let read = |text: &str| serde_json::from_str::<Few>(text).map(|few| few.few.len());
        assert_eq!(read(r#"{"few":["",""]}"#).unwrap(), 2);
        assert_eq!(read(r#"{"few":["","","","",3]}"#).unwrap(), 3);
        assert!(read(r#"{"few":["","","",""}"#).is_err());
        assert!(read(r#"{"few":[1]}"#).is_err());
    }
}
