//! Patterns of a schema, which may be hostile: they are matched in time that grows with the text alone, by an automaton of bounded
//! size.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// Longest pattern that is looked at, in bytes.
pub(super) const PATTERN_MAX_BYTES: usize = 1024;
/// Largest automaton, in bytes.
const SIZE_MAX_BYTES: usize = 256 << 10;
/// How deeply groups may nest.
const NEST_MAX: u32 = 32;
/// Longest text that is matched, in bytes.
pub(super) const TEXT_MAX_BYTES: usize = 16 << 10;

/// Patterns that were compiled: a list may have many texts that one of them is for.
#[derive(Default)]
pub(super) struct Patterns(RefCell<HashMap<String, Option<Regex>>>);

impl Patterns {
    /// Whether this one was compiled before.
    pub(super) fn has(&self, pattern: &str) -> bool {
        self.0.borrow().contains_key(pattern)
    }

    /// Whether the pattern is found in the text; as good as found where that cannot be told here.
    pub(super) fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.0.borrow_mut();
        let pattern = patterns.entry(pattern.to_owned()).or_insert_with(|| compiled(pattern));
        pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }
}

/// The pattern, which may match anywhere in a text; `None` if it cannot be used here: it looks around, refers to what it matched,
/// or takes too large an automaton. Then the engine has the last word.
fn compiled(pattern: &str) -> Option<Regex> {
    if pattern.len() > PATTERN_MAX_BYTES {
        return None;
    }
    RegexBuilder::new(pattern)
        .size_limit(SIZE_MAX_BYTES)
        .dfa_size_limit(SIZE_MAX_BYTES)
        .nest_limit(NEST_MAX)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_pattern_matches_anywhere_and_one_that_cannot_be_used_is_none() {
        assert!(compiled("^a+$").unwrap().is_match("aaa"));
        assert!(compiled("b").unwrap().is_match("abc"));
        for odd in [
            "(?=a)a",
            r"(a)\1",
            "(",
            "a{1000}{1000}",
            &"a".repeat(2000),
            &format!("{}{}", "(".repeat(99), ")".repeat(99)),
        ] {
            assert!(compiled(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn the_worst_pattern_takes_no_more_than_moments() {
        let begun = Instant::now();
        let worst = compiled("(x+x+)+y|(a|b|ab)*c{1,50}$").unwrap();
        assert!(!worst.is_match(&"x".repeat(TEXT_MAX_BYTES)));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
