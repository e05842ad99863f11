//! Running jobs: from leased spans of an upload to engines over its files.
//!
//! ```text
//! attend (upload, release) ─▶ span (its files, in groups) ─▶ whole │ stream │ seek ─▶ slots ─▶ workers ─▶ results
//! ```

mod attend;
mod conclude;
mod context;
mod job;
mod parts;
mod seek;
mod sources;
mod span;
mod stream;
mod whole;
mod workers;

pub(crate) use attend::Attending;
pub(crate) use conclude::Conclusion;
pub(crate) use parts::Parts;
pub(crate) use workers::Workers;
