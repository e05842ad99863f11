//! Statements of maintenance: clocks, and what is deleted.

mod clocks;
mod deletion;

pub(crate) use clocks::ClockRow;
