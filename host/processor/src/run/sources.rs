//! Where an engine's bytes come from, on the thread that runs it.

mod first_byte;
mod sought;
mod streamed;
mod whole;

pub(super) use sought::{Asked, Sought};
pub(super) use streamed::{Part, Streamed};
pub(super) use whole::Whole;
