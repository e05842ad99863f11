//! The engine contract: its majors, and what an adapter for one does.
//!
//! A major is one folder of `wit/`, one module here, one line in [`contracts`], for ever. Adapters meet in [`Adapter`]:
//! what comes above knows files, limits and outcomes, what is below knows one way to pass bytes. A new major neither
//! goes through an older one's types nor through a shared denominator of both.

mod adapter;
mod exported;
mod v1;
mod v2;
mod version;

pub(crate) use adapter::{Adapter, Contract, Ended, Said};
pub use version::ContractVersion;

/// Of each major that this host runs the newest version, ascending: it runs what was built for that one or an earlier minor.
pub fn contract_versions() -> impl ExactSizeIterator<Item = ContractVersion> {
    contracts().iter().map(|contract| ContractVersion::parse(contract.version()).expect("each names its version"))
}

/// All contracts, ascending.
pub(crate) fn contracts() -> &'static [&'static dyn Contract] {
    &[&v1::V1, &v2::V2]
}
