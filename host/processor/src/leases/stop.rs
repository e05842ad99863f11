//! Why the work on a span stops before all its jobs are run.

use std::fmt;

use crate::shutdown::Draining;

/// Why the work on a span stops before all its jobs are run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The lease has ended: there is nobody to tell.
    Over,
    /// No new chunk came in time.
    Stalled,
    /// Storage does not answer this node, for this reason: nothing that it leases gets on.
    Away(String),
    /// The node is to end.
    ShuttingDown,
    /// This node is at fault.
    Fault(String),
    /// This node cannot run it, and another may: it is no reason to lease less.
    Unfit(String),
    /// Something is not there, or not what was stored.
    Missing { what: Missing, why: String },
    /// What arrived does not stand up to a check: the jobs that need it are refused.
    Refused(String),
}

impl From<Draining> for Stop {
    fn from(_: Draining) -> Self {
        Self::ShuttingDown
    }
}

/// What storage lacks, though it was said to be stored.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The upload's sealed header.
    Header,
    /// A chunk, with the digest that was looked for.
    Chunk { sequence: u32, sha256: String },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::Chunk { sequence, .. } => write!(f, "chunk {sequence}"),
        }
    }
}
