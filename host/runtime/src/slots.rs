//! The slots that runs take: wasmtime's engines with their pools, and what holds for every run in them.

use crate::backend::Limits;
use crate::engine::Lanes;
use crate::ticker::Ticker;

/// What a release needs for its runs.
pub(crate) struct Slots {
    /// What no run may exceed.
    pub(crate) maxima: Limits,
    // Before the engines, so that the thread has ended when they go.
    pub(crate) ticker: Ticker,
    pub(crate) lanes: Lanes,
}
