//! `engine.toml`: what an engine that is no cargo package says about itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The file's name, in the engine's folder.
pub(super) const FILE: &str = "engine.toml";

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The engine's name: `[a-z][a-z0-9-]*`, and that of its folder.
    pub(super) name: String,
    /// Its version, SemVer.
    pub(super) version: String,
    /// What it is written in; that decides where its source is.
    pub(super) language: Scripted,
    /// The major of the contract.
    pub(super) contract: u32,
}

/// The languages of engines that have such a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scripted {
    /// `src/*.c`.
    C,
    /// `src/engine.py`.
    Python,
    /// `src/engine.js`.
    #[serde(rename = "js")]
    JavaScript,
}

impl Manifest {
    /// Reads the manifest in `folder`; nothing where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or does not say what it should.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).map(Some).with_context(|| format!("`{}`", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        check_name(&manifest.name)?;
        if manifest.version.is_empty() || manifest.version.contains(['"', '\\', '\n']) {
            bail!("version `{}` is not a version\nhint: such as `0.1.0`", manifest.version);
        }
        let known: &[u32] = match manifest.language {
            Scripted::C | Scripted::JavaScript => &[1],
            Scripted::Python => &[1, 2],
        };
        if !known.contains(&manifest.contract) {
            bail!(
                "an engine in this language cannot be built for contract {}\nhint: contract 1{}",
                manifest.contract,
                if known.contains(&2) { " or 2" } else { "" }
            );
        }
        Ok(manifest)
    }
}

/// Checks that `name` can be an engine's: the contract's rule, and a letter first, so that it can be a package's too.
///
/// # Errors
///
/// When it cannot.
pub(super) fn check_name(name: &str) -> Result<()> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 64
        && name.bytes().all(letters)
        && !name.ends_with('-');
    if !good {
        bail!(
            "`{name}` cannot be an engine's name\nhint: lower-case letters, digits and `-`, a letter first, at most 64"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"letters-py\"\nversion = \"0.1.0\"\nlanguage = \"python\"\ncontract = 1\n";

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(GOOD).expect("complete");
        assert_eq!((manifest.name.as_str(), manifest.contract), ("letters-py", 1));
        assert_eq!(manifest.language, Scripted::Python);
        let js = Manifest::parse(&GOOD.replace("python", "js")).expect("complete");
        assert_eq!(js.language, Scripted::JavaScript);
    }

    #[test]
    fn what_a_manifest_lacks_or_has_too_much_is_named() {
        let lacking =
            Manifest::parse("name = \"a\"\nversion = \"0.1.0\"\nlanguage = \"c\"\n").expect_err("no contract");
        assert!(format!("{lacking:#}").contains("missing field `contract`"), "{lacking:#}");
        let unknown = Manifest::parse(&format!("{GOOD}licence = \"MIT\"\n")).expect_err("unknown");
        assert!(format!("{unknown:#}").contains("unknown field `licence`"), "{unknown:#}");
        let language = Manifest::parse(&GOOD.replace("python", "basic")).expect_err("unknown");
        assert!(format!("{language:#}").contains("`basic`"), "{language:#}");
    }

    #[test]
    fn a_contract_that_the_language_has_no_tools_for_is_refused() {
        let c = GOOD.replace("python", "c").replace("contract = 1", "contract = 2");
        let error = Manifest::parse(&c).expect_err("no tools").to_string();
        assert!(error.contains("contract 2\nhint: contract 1"), "{error}");
    }

    #[test]
    fn names_are_those_of_the_contract() {
        for good in ["a", "letters-py", "x2"] {
            check_name(good).expect(good);
        }
        for bad in ["", "2x", "-a", "a-", "A", "a_b", "a/b", "ä", &"a".repeat(65)] {
            check_name(bad).expect_err(bad);
        }
    }
}
