//! Results: what came of jobs, sealed for their uploaders, and handed in.

mod completing;
mod completions;
mod end;
mod handing_in;
mod seal;

pub(crate) use completing::Completing;
pub(crate) use completions::Completions;
pub(crate) use end::{About, JobEnd};
pub(crate) use handing_in::{end_all, hand_in, seal_and_send};
