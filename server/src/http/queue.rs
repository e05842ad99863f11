//! The way of uploads and jobs: what clients send and read, what processors take and hand in.

pub(super) mod events;
pub(super) mod leases;
pub(super) mod results;
pub(super) mod uploads;
