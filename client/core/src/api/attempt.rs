//! What one attempt at a call comes to.

use std::time::Duration;

use crate::error::Error;

/// What one attempt came to.
pub(super) enum Attempt {
    /// Asking again is no use.
    Final(Error),
    /// Ask again, after as long as the server wants.
    Again(Error, Option<Duration>),
    /// The same after a status of 404 without a reason.
    Nowhere(Error, Option<Duration>),
}

impl Attempt {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Final(error) | Self::Again(error, _) | Self::Nowhere(error, _) => error,
        }
    }
}
