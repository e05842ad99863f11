//! A bundle whose files the rules were asked of.

use std::time::Instant;

use super::target::Target;
use crate::error::Error;
use crate::rules::LeftOut;
use crate::source::Found;

/// A bundle, and what the rules say of its files.
pub(super) struct JudgedBundle {
    pub(super) target: Target,
    pub(super) judged: Result<(Vec<Found>, Vec<Option<LeftOut>>), Error>,
    /// They are asked from then on.
    pub(super) at: Instant,
    pub(super) weight: usize,
}
