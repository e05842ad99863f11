//! Results: what came of jobs, sealed for their uploaders, and handed in.

mod completing;
mod completions;
mod end;
mod seal;
mod submit;

pub(crate) use completing::Completing;
pub(crate) use completions::Completions;
pub(crate) use end::{About, JobEnd};
pub(crate) use submit::{end_all, seal_and_submit, submit};
