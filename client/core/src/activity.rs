//! Something that goes on in a client, as an application sees it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::Base;
use crate::error::Error;
use crate::progress::{Progress, ProgressNow};
use crate::waiting::{Reason, reason_of};

/// Which activity, among all that there ever were in any home: 32 hex characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ActivityId(String);

impl fmt::Display for ActivityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that goes on: a `send`, a `watch` or a `resume`. It goes on by itself until it is done, is stopped, or its client is closed
/// or dropped; dropping this changes nothing. Clones are of the same activity.
#[derive(Clone)]
pub struct Activity {
    id: ActivityId,
    base: Arc<Base>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    end: watch::Receiver<Option<Result<(), Error>>>,
}

/// How an activity ends.
pub(crate) type End = watch::Sender<Option<Result<(), Error>>>;

impl Activity {
    /// One that works with the session of this id, and what its end is to be written to.
    pub(crate) fn new(base: Arc<Base>, session: &str, progress: Arc<Progress>, stop: CancellationToken) -> (Self, End) {
        let (ends, end) = watch::channel(None);
        (Self { id: ActivityId(session.to_owned()), base, progress, stop, end }, ends)
    }

    /// Which it is.
    pub fn id(&self) -> &ActivityId {
        &self.id
    }

    /// How far it is.
    pub fn progress(&self) -> ProgressNow {
        self.progress.now()
    }

    /// Asks it to end, and leaves all others alone. Nothing is lost: what was begun goes on with the next `send` of the same files, a
    /// `watch` or a `resume`.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended, and says how, as often as it is asked. What it told before can still be read then. Cancel safe.
    ///
    /// # Errors
    ///
    /// What kept all files from going on. [`Error::Stopped`] if it was stopped, unless it is a `watch`, which ends so.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut end = self.end.clone();
        let end = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        // Nobody wrote an end: its client was dropped.
        end.unwrap_or(Err(Error::Stopped))
    }

    /// Why the results of what is stored wait, as the server says it of the oldest upload of this activity, or, if it has none, of one
    /// of another activity that it waits for; `None` if the server says nothing.
    pub async fn why_waiting(&self) -> Option<Reason> {
        let unfinished = self.base.journal.unfinished_uploads(&self.base.config.account(), &self.id.0).await.ok()?;
        let upload = unfinished.first().copied().or_else(|| self.progress.awaited_upload())?;
        let states = self.base.api.upload(upload).await.ok()?;
        states.waiting.first().map(|range| reason_of(&range.reason))
    }

    /// Whether a `resume` would have something of this activity to go on with if the program ended now.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn has_begun(&self) -> Result<bool, Error> {
        let (journal, session) = (&self.base.journal, self.id.0.as_str());
        Ok(!journal.unfinished_uploads(&self.base.config.account(), session).await?.is_empty()
            || !journal.files_to_send_again(session, 0, 1).await?.is_empty())
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").field("id", &self.id).finish_non_exhaustive()
    }
}
