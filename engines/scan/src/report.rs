//! The report: its data, and its line for people.

use std::collections::{BTreeMap, BTreeSet};

use boreal::scanner::{EvaluatedRule, StringMatches};
use boreal::{MetadataValue, Scanner};
use schemars::JsonSchema;
use serde::Serialize;

/// How much of each is told.
const RULES: usize = 100;
const STRINGS: usize = 20;
const PLACES: usize = 20;
const ENTRIES: usize = 20;

/// The longest text of a rule that is told, in bytes.
const TEXT_BYTES: usize = 300;

/// How much text is told in all, in bytes. A host takes 1 MiB of report by default, and JSON escapes what it must.
const TOLD_BYTES: usize = 256 * 1024;

/// How many bytes of a match are shown.
pub(crate) const SHOWN_BYTES: usize = 32;

/// What a scan found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Scan {
    /// How many rules match.
    #[schemars(title = "Matching rules", extend("x-format" = "count", "x-column" = true))]
    matched: usize,
    /// The highest severity that a matching rule names: `critical`, `high`, `medium`, `low`, `info`.
    #[schemars(title = "Severity", extend("x-column" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    /// How many rules there are.
    #[schemars(title = "Rules", extend("x-format" = "count"))]
    rules: usize,
    /// How the file was scanned: `whole`, or in `fragments` because it is large. In fragments `filesize` has no value, a
    /// match longer than the overlap of 1 MiB may be missed, and `#` may count a match in it twice.
    #[schemars(title = "Mode")]
    pub(crate) mode: &'static str,
    /// How much of the file was scanned.
    #[schemars(title = "Scanned", extend("x-unit" = "By", "x-format" = "bytes"))]
    pub(crate) scanned_bytes: u64,
    /// The rules that match, at most 100.
    #[schemars(title = "Matches", extend("x-format" = "table"))]
    matches: Vec<Match>,
    /// Whether there is more than is told: rules, strings, places, or bytes that were not scanned.
    #[schemars(title = "More")]
    pub(crate) truncated: bool,
}

/// A rule that matches.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Match {
    /// Its name.
    #[schemars(title = "Rule")]
    rule: String,
    /// Whose it is: `built-in`, or the uploader's `rules`.
    #[schemars(title = "From")]
    namespace: String,
    /// Its tags.
    #[schemars(title = "Tags")]
    tags: Vec<String>,
    /// What it says about itself.
    #[schemars(title = "About")]
    meta: BTreeMap<String, Meta>,
    /// Which of its strings are in the file; none where its condition needs none.
    #[schemars(title = "Strings", extend("x-format" = "table"))]
    strings: Vec<Found>,
}

/// What a rule says about itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Meta {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// A string of a rule that is in the file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Found {
    /// Its name, without `$`.
    #[schemars(title = "String")]
    name: String,
    /// How often it was found; at most 1,000.
    #[schemars(title = "Found", extend("x-format" = "count"))]
    count: usize,
    /// Where: the first 20 places.
    #[schemars(title = "Places", extend("x-format" = "table"))]
    places: Vec<Place>,
}

/// A place in the file.
#[derive(Debug, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Where it begins.
    #[schemars(title = "Offset", extend("x-unit" = "By"))]
    offset: u64,
    /// How long it is.
    #[schemars(title = "Length", extend("x-unit" = "By"))]
    length: u64,
    /// Its first 32 bytes; what cannot be shown, is written as `\xNN`.
    #[schemars(title = "Bytes", extend("x-format" = "text"))]
    bytes: String,
}

impl Scan {
    /// The report of what matched.
    pub(crate) fn of(scanner: &Scanner, rules: &[EvaluatedRule<'_>]) -> Self {
        let mut truncated = false;
        let mut told_bytes = 0;
        let mut matches = Vec::new();
        for rule in rules {
            if matches.len() == RULES || told_bytes > TOLD_BYTES {
                truncated = true;
                break;
            }
            let told = Match::of(scanner, rule, &mut truncated);
            told_bytes += told.text_bytes();
            matches.push(told);
        }
        let severity = rules
            .iter()
            .flat_map(|rule| rule.metadatas)
            .filter(|meta| scanner.get_string_symbol(meta.name) == "severity")
            .filter_map(|meta| match meta.value {
                MetadataValue::Bytes(value) => rank(scanner.get_bytes_symbol(value)),
                _ => None,
            })
            .max();
        Self {
            matched: rules.len(),
            severity: severity.map(|rank| SEVERITIES[rank]),
            rules: scanner.rules().count(),
            mode: "whole",
            scanned_bytes: 0,
            matches,
            truncated,
        }
    }

    /// The report in one line, such as `2 of 14 rules match, critical: eicar_test_file, private_key`.
    pub(crate) fn summary(&self) -> String {
        if self.matched == 0 {
            return format!("none of {} rules matches", self.rules);
        }
        let verb = if self.matched == 1 { "matches" } else { "match" };
        let severity = self.severity.map(|severity| format!(", {severity}")).unwrap_or_default();
        let mut names: Vec<_> = self.matches.iter().take(8).map(|rule| rule.rule.as_str()).collect();
        if self.matched > names.len() {
            names.push("…");
        }
        format!("{} of {} rules {verb}{severity}: {}", self.matched, self.rules, names.join(", "))
    }
}

impl Match {
    fn of(scanner: &Scanner, rule: &EvaluatedRule<'_>, truncated: &mut bool) -> Self {
        let found: Vec<_> = rule.matches.iter().filter(|string| !string.matches.is_empty()).collect();
        *truncated |= found.len() > STRINGS || rule.tags.len() > ENTRIES || rule.metadatas.len() > ENTRIES;
        let text = |bytes: &[u8]| cut(&String::from_utf8_lossy(bytes));
        Self {
            rule: cut(rule.name),
            namespace: rule.namespace.to_owned(),
            tags: rule.tags.iter().take(ENTRIES).map(|tag| cut(scanner.get_string_symbol(*tag))).collect(),
            meta: rule
                .metadatas
                .iter()
                .take(ENTRIES)
                .map(|meta| {
                    let value = match meta.value {
                        MetadataValue::Bytes(value) => Meta::Text(text(scanner.get_bytes_symbol(value))),
                        MetadataValue::Integer(value) => Meta::Number(value),
                        MetadataValue::Boolean(value) => Meta::Flag(value),
                    };
                    (cut(scanner.get_string_symbol(meta.name)), value)
                })
                .collect(),
            strings: found.into_iter().take(STRINGS).map(|string| Found::of(string, truncated)).collect(),
        }
    }
}

impl Match {
    /// How much text it has, in bytes, names of members included.
    fn text_bytes(&self) -> usize {
        let meta = self.meta.iter().map(|(name, value)| match value {
            Meta::Text(text) => name.len() + text.len() + 10,
            Meta::Number(_) | Meta::Flag(_) => name.len() + 30,
        });
        let places = |found: &Found| found.places.iter().map(|place| 60 + place.bytes.len()).sum::<usize>();
        let strings = self.strings.iter().map(|found| found.name.len() + 60 + places(found));
        let tags = self.tags.iter().map(|tag| tag.len() + 3);
        self.rule.len() + 100 + meta.chain(strings).chain(tags).sum::<usize>()
    }
}

impl Found {
    fn of(string: &StringMatches<'_>, truncated: &mut bool) -> Self {
        // Where fragments overlap, a match is found in both.
        let places: BTreeSet<Place> = string
            .matches
            .iter()
            .map(|found| Place {
                offset: found.base as u64 + found.offset as u64,
                length: found.length as u64,
                bytes: found.data.iter().take(SHOWN_BYTES).copied().map(shown).collect(),
            })
            .collect();
        *truncated |= places.len() > PLACES;
        Self { name: cut(string.name), count: places.len(), places: places.into_iter().take(PLACES).collect() }
    }
}

/// What a severity may be, from the lowest on.
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

fn rank(severity: &[u8]) -> Option<usize> {
    SEVERITIES.iter().position(|name| name.as_bytes() == severity)
}

fn shown(byte: u8) -> String {
    match byte {
        b' '..=b'~' if byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    let mut start = text[..text.floor_char_boundary(TEXT_BYTES)].to_owned();
    start.push('…');
    start
}
