//! Why the work on a run stops before all its jobs are run.

/// Why the work on a run stops before all its jobs are run.
#[derive(Debug)]
pub(super) enum Stop {
    /// The lease has ended: there is nobody to tell.
    Over,
    /// No new chunk came in time.
    Stalled,
    /// The node is to end.
    ShuttingDown,
    /// This node is at fault.
    Fault(String),
    /// A chunk is not there, or not the one that was stored.
    Missing {
        sequence: u32,
        /// The digest that was looked for.
        sha256: String,
        why: String,
    },
    /// What arrived does not stand up to a check: the jobs that need it are refused.
    Refused(String),
}
