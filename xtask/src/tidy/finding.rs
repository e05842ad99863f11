//! What a check says.

use std::fmt;
use std::path::PathBuf;

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where, relative to the root.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, hint } = self;
        write!(f, "{}:{line}: {what}; hint: {hint}", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_like_a_compilers() {
        let finding = Finding { path: "a/b.rs".into(), line: 7, what: "wrong".into(), hint: "right it".into() };
        assert_eq!(finding.to_string(), "a/b.rs:7: wrong; hint: right it");
    }
}
