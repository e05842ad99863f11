//! What a server chooses: it stands in a recording by a name, which an answer of today's server gives its value.

use std::collections::BTreeMap;

/// Values by their names, such as `token-1`: kind and number.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, String>);

/// Kinds that are numbers in JSON; the others are texts.
const NUMBERS: [&str; 4] = ["run", "fence", "cursor", "length"];
/// A kind of which two names may have one value: a URL that is signed twice in one second.
const ALIKE: &str = "url";

pub(super) fn kind(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(kind, _)| kind)
}

/// The name, where a text is nothing but one.
pub(super) fn alone(text: &str) -> Option<&str> {
    parts(text).filter(|(before, _, after)| before.is_empty() && after.is_empty()).map(|(_, name, _)| name)
}

pub(super) fn is_number(name: &str) -> bool {
    NUMBERS.contains(&kind(name))
}

impl Names {
    /// Takes the value of a name at its first sight; later it has to be the same.
    ///
    /// # Errors
    ///
    /// What the name stands for instead, or why it cannot stand for that.
    pub(super) fn learn(&mut self, name: &str, value: &str) -> Result<(), String> {
        // A person's code is shown with hyphens, and sent without.
        let value = if kind(name) == "code" { value.replace('-', "") } else { value.to_owned() };
        if let Some(known) = self.0.get(name) {
            return if *known == value { Ok(()) } else { Err(format!("{known:?}, as before")) };
        }
        if kind(name) == ALIKE
            && let Some(origin) = self.0.get("origin-1")
            && !value.starts_with(origin.as_str())
        {
            return Err(format!("a URL of {origin}"));
        }
        let alike = self.0.iter().find(|(other, known)| kind(other) == kind(name) && **known == value);
        if let Some((other, _)) = alike.filter(|_| kind(name) != ALIKE) {
            return Err(format!("another value than that of {{{other}}}"));
        }
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// A text with all names replaced by their values.
    ///
    /// # Errors
    ///
    /// The first name that no answer has given a value.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, name, after)) = parts(rest) {
            filled.push_str(before);
            filled.push_str(self.0.get(name).ok_or(name)?);
            rest = after;
        }
        Ok(filled + rest)
    }
}

/// What is before the first name, the name, and what is behind it.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(begin, _)| {
        let (name, after) = text[begin + 1..].split_once('}')?;
        let (kind, number) = name.split_once('-')?;
        let is_name = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase());
        (is_name && number.parse::<u32>().is_ok()).then_some((&text[..begin], name, after))
    })
}

#[test]
fn names_are_found_among_braces() {
    let mut names = Names::default();
    names.learn("run-1", "65536").unwrap();
    assert_eq!(names.fill(r#"{"leases":[{"run":{run-1},"a":{}}]}"#).unwrap(), r#"{"leases":[{"run":65536,"a":{}}]}"#);
    assert_eq!(names.fill("{fence-1}").unwrap_err(), "fence-1");
    assert_eq!((alone("{run-1}"), alone("{run-1}/1")), (Some("run-1"), None));
    assert!(names.learn("run-1", "65537").is_err() && names.learn("run-2", "65536").is_err());
}
