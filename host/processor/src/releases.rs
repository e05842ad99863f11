//! Releases: had by digest, made ready by the backend of their kind, asked what they are, and kept.

mod allowed;
mod backends;
mod describe;
mod described;
mod error;
mod fetch;
mod get;
mod kept;
mod memory;
mod turns;

pub(crate) use allowed::Allowed;
pub(crate) use backends::Backends;
pub(crate) use describe::Describing;
pub(crate) use error::NoRelease;
pub(crate) use get::{DESCRIBED_AT_ONCE, Ready, Releases};
