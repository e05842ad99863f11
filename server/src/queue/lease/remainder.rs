//! How a member's queue goes on.

use crate::queue::fair_share::Owner;

/// What is left of a member's queue after a look.
pub(super) struct Remainder {
    pub(super) needs: i64,
    pub(super) owner: Owner,
    /// The place after which it goes on; none: it is empty.
    pub(super) after: Option<(i64, i64)>,
}
