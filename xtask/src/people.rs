//! Users who watch a folder each, into which files are dropped all the time; every file is accounted for.

mod accounts;
mod ledger;
mod person;

pub(crate) use accounts::{counts, examples, faults, missing, open, waits};
pub(crate) use ledger::Counts;
pub(crate) use person::Person;
