//! The engine contract stays what it was: what a version said when it was frozen, `wit/frozen.txt` records by digest.
//!
//! The digest is of the version's *words*: without comments, blanks, the package's version, and without every item that a
//! later version added (`@since(version = …)`). A comment may be made clearer and a minor may add; nothing else passes.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Finding, Sources};

/// One line a frozen version: version, digest, file.
const FROZEN: &str = "wit/frozen.txt";

/// Checks every line of the record, and that every contract has one.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let record = Path::new(FROZEN);
    let contracts: Vec<&Path> =
        sources.with_extension("wit").map(|(path, _)| path).filter(|path| is_engine(path)).collect();
    let mut findings = Vec::new();
    let mut recorded = Vec::new();
    for (index, line) in sources.text(record).unwrap_or_default().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let finding = |what: String, hint: String| Finding { path: record.to_owned(), line: index + 1, what, hint };
        let parts: Vec<&str> = line.split_whitespace().collect();
        let &[version, digest, file] = parts.as_slice() else {
            findings.push(finding("is no `VERSION DIGEST FILE`".into(), "write it so, or as a comment".into()));
            continue;
        };
        let path = PathBuf::from("wit").join(file);
        let (Some(text), Some(number)) = (sources.text(&path), Version::parse(version)) else {
            findings.push(finding(
                format!("there is no version {version} of `{file}`"),
                "what was released stays: put the file back".into(),
            ));
            continue;
        };
        let now = digest_of(text, number);
        if now != digest {
            findings.push(Finding {
                path: path.clone(),
                line: 1,
                what: format!("contract {version} is frozen, and this changes it"),
                hint: format!(
                    "undo that; add with `@since` and a new minor, or make a new major (wit/README.md). Only before its release: \
                     `{version} {now} {file}` in `{FROZEN}`"
                ),
            });
        }
        recorded.push((path, number));
    }
    for path in contracts {
        let text = sources.text(path).unwrap_or_default();
        let Some((line, version)) = package_version(text) else {
            continue; // another file of the same package
        };
        if !recorded.iter().any(|(file, number)| *file == path && *number == version) {
            let file = path.strip_prefix("wit").unwrap_or(path).display();
            findings.push(Finding {
                path: path.to_owned(),
                line,
                what: format!("contract {version} is not frozen"),
                hint: format!("add `{version} {} {file}` to `{FROZEN}`", digest_of(text, version)),
            });
        }
    }
    findings
}

/// A version of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 3]);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        numbers?.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

fn is_engine(path: &Path) -> bool {
    path.starts_with("wit/engine")
}

/// The version in `package …@1.0.0;`, and its line.
fn package_version(text: &str) -> Option<(usize, Version)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let (_, version) = line.strip_prefix("package ")?.trim().strip_suffix(';')?.split_once('@')?;
        Some((index + 1, Version::parse(version)?))
    })
}

/// The digest of what `text` says as of `version`.
fn digest_of(text: &str, version: Version) -> String {
    let words = as_of(&words(text), version);
    HEXLOWER.encode(&Sha256::digest(words.join("\n")))
}

/// The words and signs of `text`, without comments. A version is one word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let part_of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '%' | '.');
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, next)| next);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, next)| next);
        } else {
            let end = if part_of_word(first) { rest.find(|c| !part_of_word(c)) } else { Some(first.len_utf8()) };
            let (word, next) = rest.split_at(end.unwrap_or(rest.len()));
            words.push(word);
            rest = next;
        }
        rest = rest.trim_start();
    }
    words
}

/// Leaves out the package's version, and each item that came after `version`.
fn as_of<'a>(words: &[&'a str], version: Version) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut rest = words;
    while let Some((&word, next)) = rest.split_first() {
        if let ["@", "since", "(", "version", "=", since, ")", after @ ..] = rest
            && Version::parse(since).is_some_and(|since| since > version)
        {
            rest = after_item(after);
            continue;
        }
        kept.push(word);
        rest = match next {
            ["@", _, ";", ..] if kept.contains(&"package") && kept.len() < 8 => &next[2..],
            _ => next,
        };
    }
    kept
}

/// What follows the item that begins here: after its `;`, or after the brace that closes it.
fn after_item<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    let braces_end_it = !matches!(words.first(), Some(&"use" | &"include"));
    let mut depth = 0_usize;
    for (index, word) in words.iter().enumerate() {
        match *word {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (*word == ";" || (*word == "}" && braces_end_it)) {
            return &words[index + 1..];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "/// A contract.\npackage a:b@1.0.0;\n\n@since(version = 1.0.0)\ninterface host {\n    /// Says.\n    log: func(message: string);\n}\n";
    const WIT: &str = "wit/engine/v1/engine.wit";

    fn digest(text: &str) -> String {
        digest_of(text, Version([1, 0, 0]))
    }

    fn findings(text: &str) -> Vec<String> {
        let record = format!("# Frozen.\n1.0.0 {} engine/v1/engine.wit\n", digest(FIRST));
        let sources = Sources::from([(WIT, text), (FROZEN, record.as_str())]);
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_frozen_passes_and_its_comments_may_be_made_clearer() {
        assert_eq!(findings(FIRST), [""; 0]);
        assert_eq!(findings(&FIRST.replace("/// Says.", "/// Says something.\n    // Twice.")), [""; 0]);
    }

    #[test]
    fn a_change_is_found_with_what_to_do() {
        for changed in [
            FIRST.replace("string", "list<u8>"),
            FIRST.replace("message: string", "message: string, level: u8"),
            FIRST.replace("log", "note"),
            FIRST.replace("    log: func(message: string);\n", ""),
            FIRST.replace("}\n", "    flush: func();\n}\n"),
        ] {
            let found = findings(&changed);
            assert!(
                found[0].contains("engine.wit:1: contract 1.0.0 is frozen, and this changes it; hint: undo"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_minor_may_add_when_it_is_recorded() {
        let added = FIRST
            .replace("@1.0.0", "@1.1.0")
            .replace("}\n", "    @since(version = 1.1.0)\n    flush: func();\n}\n\n@since(version = 1.1.0)\ninterface more {\n    resource r { f: func(); }\n}\n")
            .replace("interface host {", "interface host {\n    @since(version = 1.1.0)\n    use more.{r};");
        assert_eq!(digest(&added), digest(FIRST), "1.0.0 is what it was");
        let found = findings(&added);
        assert!(found.len() == 1 && found[0].contains("contract 1.1.0 is not frozen; hint: add `1.1.0 "), "{found:?}");
        assert_ne!(digest_of(&added, Version([1, 1, 0])), digest(FIRST));
    }

    #[test]
    fn a_contract_that_is_gone_is_found() {
        let record = format!("1.0.0 {} engine/v1/engine.wit\nx\n", digest(FIRST));
        let found = check(&Sources::from([(FROZEN, record.as_str())]));
        let found: Vec<_> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, ["there is no version 1.0.0 of `engine/v1/engine.wit`", "is no `VERSION DIGEST FILE`"]);
    }
}
