//! The way of an upload: read, compress, seal, ask for URLs, store. Everything large is taken from one byte budget.

mod prepare;
mod remaining;
mod seal;
mod shared;
mod transfer;

pub(crate) use prepare::{begin, resume};
pub(crate) use shared::{Machine, Pipeline};
pub(crate) use transfer::{Judged, Transfer, TransferEnd, Transferred, Voided};
