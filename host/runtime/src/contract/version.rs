//! The version of the engine contract that a component was built for.

use std::fmt;

/// A version of the engine contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractVersion(semver::Version);

impl ContractVersion {
    /// The major: what adapters go by.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// The minor: a host runs what was built for its own one or an earlier one.
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// Reads `1.0.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        semver::Version::parse(text).ok().map(Self)
    }
}

impl fmt::Display for ContractVersion {
    /// `1.0.0`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
