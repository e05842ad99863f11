//! Releases: had by digest, made ready by the backend of their kind, asked what they are, and kept.

mod backends;
mod compile_slots;
mod describe;
mod described;
mod error;
mod fetch;
mod get;
mod kept;
mod limits;
mod memory;

pub(crate) use backends::Backends;
pub(crate) use describe::Describing;
pub(crate) use error::NoRelease;
pub(crate) use get::{DESCRIBED_AT_ONCE, Ready, Releases};
pub(crate) use limits::NamedLimits;
