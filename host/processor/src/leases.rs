//! Leases: how work is asked for, held, renewed and handed back.

mod cooldown;
mod disputes;
mod in_hand;
mod lease;
mod leasing;
mod prefetch;
mod renewal;
mod returns;
mod stop;

pub(crate) use cooldown::Cooldown;
pub(crate) use disputes::Disputes;
pub(crate) use lease::{End, Lease, Leases, aside};
pub(crate) use leasing::{Leasing, Work};
pub(crate) use prefetch::Prefetch;
pub(crate) use renewal::Renewal;
pub(crate) use returns::Returns;
pub(crate) use stop::{Missing, Stop};
