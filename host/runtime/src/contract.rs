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

/// Majors that this host runs, ascending.
pub fn contract_majors() -> impl ExactSizeIterator<Item = u64> {
    contracts().iter().map(|contract| contract.major())
}

/// All contracts, ascending.
pub(crate) fn contracts() -> &'static [&'static dyn Contract] {
    &[&v1::V1, &v2::V2]
}
