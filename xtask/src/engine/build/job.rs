//! What the tools of all languages are given.

use std::path::{Path, PathBuf};

use crate::engine::source::Source;

/// The guest's stack in bytes. A pooled instance clears it before it is used again, so it is as small as a parser can live
/// with; the linker's default is 1 MiB. The memory's other bounds are the host's.
pub(super) const STACK_BYTES: u32 = 64 * 1024;

/// What a tool is given to build one engine.
pub(super) struct Job<'a> {
    pub(super) source: &'a Source,
    /// The folder of the contract's WIT.
    pub(super) wit: PathBuf,
    /// A folder for what comes up on the way.
    pub(super) work: &'a Path,
    /// Where the component goes.
    pub(super) output: &'a Path,
}
