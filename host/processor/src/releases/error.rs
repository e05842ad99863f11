//! Why a release does not run here.

use std::time::Duration;

/// Why a release does not run here.
#[derive(Clone, Debug)]
pub(crate) enum NoRelease {
    /// What the server gives is not the release that it names.
    Refused(String),
    /// It is the release, and this processor cannot run it.
    Unfit(String),
    /// It failed so often that it counts as unfit until that time has passed.
    Suspect { why: String, after: Duration },
    /// It is tried again when that time has passed: this one is hard to compile (`it_may_be`), or this processor lacks something
    /// to make any release ready.
    NotNow { why: String, after: Duration, it_may_be: bool },
    /// What came in its place was damaged each time, on its way or in storage: another processor may get it whole.
    Damaged(String),
    /// Storage does not answer this node.
    Away(String),
    /// It cannot be had at the moment.
    Fault(String),
}

impl NoRelease {
    pub(crate) fn why(self) -> String {
        let (Self::Refused(why)
        | Self::Unfit(why)
        | Self::Suspect { why, .. }
        | Self::NotNow { why, .. }
        | Self::Damaged(why)
        | Self::Away(why)
        | Self::Fault(why)) = self;
        why
    }
}
