//! What a watcher saw when it began.

use std::sync::Arc;

use filemill_seal::PoolError;

use crate::engines::Wanted;
use crate::error::Error;
use crate::export::Export;
use crate::parameters::Parameters;
use crate::rules::Rules;
use crate::walk::Root;

/// What a watcher saw when it began. However often it begins again, as it does when the journal had no room: what was right at first
/// is no error later, just as it is no error while it runs.
pub(super) struct Begun {
    pub(super) roots: Vec<Root>,
    pub(super) rules: Vec<Arc<Rules>>,
    pub(super) export: Option<Export>,
    pub(super) wanted: Wanted,
    /// Whether other programs see that these folders are watched.
    pub(super) is_noted: bool,
    /// Whether files were looked for: neither server nor pool keep them from being found any more.
    pub(super) is_watching: bool,
    /// Once there was an engine to send files to, which took these.
    pub(super) parameters: Option<Parameters>,
}

impl Begun {
    /// Whether a watcher waits where this keeps everything from being sent. In the beginning somebody may have named the wrong pool;
    /// not where only time is in the way, which may be this machine's clock before it is set.
    pub(super) fn may_wait_for(&self, error: &Error) -> bool {
        let is_of_time = matches!(
            error,
            Error::Clock { .. } | Error::Pool(PoolError::NotYetValid { .. } | PoolError::Expired { .. })
        );
        is_of_time || self.parameters.is_some() && error.is_of_the_recipient()
    }
}
