//! Results: what came of jobs, sealed for their uploaders, and handed in.

mod body;
mod completing;
mod completions;
mod cut;
mod end;
mod seal;
mod span;
mod submit;

pub(crate) use completing::Completing;
pub(crate) use completions::Completions;
pub(crate) use end::{About, JobEnd};
pub(crate) use span::SpanResults;
pub(crate) use submit::end_all;
