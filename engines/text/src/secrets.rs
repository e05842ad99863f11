//! Secrets that should not stand in a file: keys, tokens, passwords. They are found by [`patterns`], told by line and column,
//! and shown by their first four characters and a short hash, never as they are.

mod patterns;

use std::cell::OnceCell;

use hmac_sha256::Hash;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::lines::Part;
use crate::report::Secret;
use patterns::{Certainty, PATTERNS, Pattern};

/// How many secrets are told.
const TOLD: usize = 200;

/// What of a secret is shown.
const SHOWN_CHARACTERS: usize = 4;

/// Memory of the compiled patterns, and of what a search builds lazily: bytes each.
const REGEX_BYTES: usize = 4 * 1024 * 1024;

/// Looks for secrets line by line.
pub(crate) struct Search {
    any: RegexSet,
    /// Each for itself, compiled when it matches for the first time: most files hold no secret. None: it does not compile.
    each: Vec<OnceCell<Option<Regex>>>,
    found: Vec<Secret>,
    total: u64,
}

impl Search {
    /// Compiles the patterns.
    ///
    /// # Errors
    ///
    /// When one of them is wrong, which a test keeps from happening.
    pub(crate) fn new() -> Result<Self, regex::Error> {
        let sources = PATTERNS.iter().map(|pattern| pattern.regex);
        let any =
            RegexSetBuilder::new(sources).unicode(false).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build()?;
        let each = PATTERNS.iter().map(|_| OnceCell::new()).collect();
        Ok(Self { any, each, found: Vec::new(), total: 0 })
    }

    /// Looks into a line, or a part of one.
    pub(crate) fn look(&mut self, part: Part<'_>) {
        let bytes = part.text.as_bytes();
        let matching = self.any.matches(bytes);
        if !matching.matched_any() {
            return;
        }
        // Where something was found, so that a vaguer pattern does not find it again.
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for index in matching {
            let (Some(pattern), Some(regex)) = (PATTERNS.get(index), self.each.get(index)) else { continue };
            let Some(regex) = regex.get_or_init(|| compile(pattern)) else { continue };
            for captures in regex.captures_iter(bytes) {
                let Some(secret) = captures.get(1).or_else(|| captures.get(0)) else { continue };
                let (start, end) = (secret.start(), secret.end());
                let is_taken = taken.iter().any(|&(from, to)| start < to && from < end);
                if is_taken || !is_probable(pattern, secret.as_bytes()) {
                    continue;
                }
                taken.push((start, end));
                let whole = captures.get(0).map_or(start, |whole| whole.start());
                // Parts overlap: a match is told where it begins before what comes again, or with its first byte, which in
                // the next part has no letter before it that would show a word's middle.
                if whole + part.again > bytes.len() || (part.seen > 0 && whole == 0) {
                    continue;
                }
                self.total += 1;
                if self.found.len() < TOLD {
                    self.found.push(told(pattern, part, start, end));
                }
            }
        }
    }

    /// What was found (at most 200, in the order of lines), and how many there were.
    pub(crate) fn finish(mut self) -> (Vec<Secret>, u64) {
        self.found.sort_by_key(|secret| (secret.line, secret.column));
        (self.found, self.total)
    }
}

/// A pattern by itself. One that does not compile here has not compiled with the others either.
fn compile(pattern: &Pattern) -> Option<Regex> {
    RegexBuilder::new(pattern.regex).unicode(false).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build().ok()
}

/// Whether what a vague pattern found is worth telling.
fn is_probable(pattern: &Pattern, secret: &[u8]) -> bool {
    if pattern.entropy == 0.0 {
        return true;
    }
    let has = |wanted: fn(&u8) -> bool| secret.iter().any(wanted);
    has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && entropy(secret) >= pattern.entropy
}

/// Shannon entropy of the bytes, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let total = bytes.len() as f64;
    let share = |count: u32| f64::from(count) / total;
    counts.into_iter().filter(|&count| count > 0).map(|count| -share(count) * share(count).log2()).sum()
}

fn told(pattern: &Pattern, part: Part<'_>, start: usize, end: usize) -> Secret {
    let characters = |text: &[u8]| text.iter().filter(|byte| *byte & 0xc0 != 0x80).count();
    let secret = &part.text.as_bytes()[start..end];
    let shown = String::from_utf8_lossy(secret);
    let digest = Hash::hash(secret);
    let [first, second, third, fourth, ..] = digest;
    Secret {
        kind: pattern.kind,
        title: pattern.title,
        confidence: match pattern.certainty {
            Certainty::High => "high",
            Certainty::Medium => "medium",
        },
        line: part.number,
        column: part.column + characters(&part.text.as_bytes()[..start]) as u64 + 1,
        length: characters(secret) as u64,
        excerpt: if pattern.is_public {
            shown.into_owned()
        } else {
            shown.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
        },
        fingerprint: (!pattern.is_public).then(|| format!("{first:02x}{second:02x}{third:02x}{fourth:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    /// Kind, line, column and excerpt of what is found.
    fn found(text: &str) -> Vec<(&'static str, u64, u64, String)> {
        let mut search = Search::new().expect("the patterns compile");
        let mut lines = Lines::default();
        lines.take(text, &mut |part| search.look(part));
        lines.finish(&mut |part| search.look(part));
        let (found, total) = search.finish();
        assert_eq!(found.len() as u64, total.min(TOLD as u64));
        found.into_iter().map(|secret| (secret.kind, secret.line, secret.column, secret.excerpt)).collect()
    }

    /// `count` characters that look random and are not. Put together here, so that no file of this project holds a token.
    fn noise(count: usize) -> String {
        "q7Rt2ZxLw9Vb4NcK8mYs3HpJ6dFg5TaE1uXo".chars().cycle().take(count).collect()
    }

    #[test]
    fn each_kind_is_found_by_its_shape() {
        let base32 = "IOSFODNN7EXAMPLE";
        for (kind, text) in [
            ("private-key", "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()),
            ("private-key", r"key: '-----BEGIN PRIVATE KEY-----\nMIIE'".to_owned()),
            ("age-identity", format!("AGE-SECRET-KEY-1{}", "QPZRY9X8GF".repeat(6).split_at(58).0)),
            ("aws-access-key-id", format!("id = AKIA{base32}")),
            ("aws-secret-access-key", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
            ("github-token", format!("url: https://x:ghp_{}@github.com", noise(36))),
            ("github-token", format!("github_pat_{}", noise(82))),
            ("gitlab-token", format!("glpat-{}", noise(20))),
            ("slack-token", format!("xoxb-123456789012-{}", noise(24))),
            ("slack-webhook", format!("https://hooks.slack.com/services/T12345678/B12345678/{}", noise(24))),
            ("google-api-key", format!("key=AIza{}", noise(35))),
            ("google-oauth-secret", format!("GOCSPX-{}", noise(28))),
            ("stripe-key", format!("sk_live_{}", noise(24))),
            ("stripe-webhook-secret", format!("whsec_{}", noise(32))),
            ("sendgrid-key", format!("SG.{}.{}", noise(22), noise(43))),
            ("npm-token", format!("//registry.example/:_authToken=npm_{}", noise(36))),
            ("pypi-token", format!("pypi-AgEIcHlwaS5vcmc{}", noise(60))),
            ("jwt", format!("Bearer eyJ{}.eyJ{}.{}", noise(20), noise(40), noise(43))),
            ("password-in-url", "postgres://app:hunter22@db.example/app".to_owned()),
            ("assigned-secret", format!("API_KEY=\"{}\"", noise(32))),
        ] {
            let kinds: Vec<_> = found(&text).into_iter().map(|found| found.0).collect();
            assert_eq!(kinds, [kind], "{text}");
        }
    }

    #[test]
    fn what_only_looks_similar_is_left_alone() {
        for text in [
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "XAKIAIOSFODNN7EXAMPLE",
            "token = get_token_from_environment()",
            "password: ${DATABASE_PASSWORD}",
            "secret = aaaaaaaaaaaaaaaa1111111111",
            "https://example.org:8443/path",
            "see https://user@example.org and a:b@c",
            "eyJ is the beginning of a JSON object in base64",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = noise(36);
        let token = format!("ghp_{secret}");
        let all = found(&format!("one\n  ä {token}\n"));
        assert_eq!(all, [("github-token", 2, 5, "ghp_…".to_owned())]);
    }

    #[test]
    fn a_secret_in_a_line_without_end_is_found_once_wherever_it_stands() {
        let token = format!("ghp_{}", noise(40));
        for before in [0, 14_290, 14_330, 14_336, 16_340, 16_380, 16_384, 30_000, 100_000] {
            let text = format!("{} {token} {}", "a".repeat(before), "b".repeat(40_000));
            let column = before as u64 + 2;
            assert_eq!(found(&text), [("github-token", 1, column, "ghp_…".to_owned())], "{before}");
        }
    }

    #[test]
    fn more_than_can_be_told_are_counted() {
        let text = format!("AKIA{}\n", "IOSFODNN7EXAMPLE").repeat(TOLD + 50);
        assert_eq!(found(&text).len(), TOLD);
    }
}
