//! Leases: how work is asked for, held, renewed and handed back.

mod disputes;
mod faults;
mod in_hand;
mod lease;
mod leasing;
mod pace;
mod renewal;
mod returns;
mod stop;

pub(crate) use disputes::Disputes;
pub(crate) use faults::Faults;
pub(crate) use lease::{End, Lease, Leases, aside};
pub(crate) use leasing::{Leasing, Work};
pub(crate) use pace::Pace;
pub(crate) use renewal::Renewal;
pub(crate) use returns::Returns;
pub(crate) use stop::{Missing, Stop};
