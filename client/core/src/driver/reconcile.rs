//! Comparing what is waited for with what the server has: its database may be restored from a backup, or have lost its last commits in
//! a failover, and then it never says anything of an upload that it does not know.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use filemill_api::UploadState;
use filemill_seal::UploadId;
use filemill_transport::jittered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::shared::{Request, Shared};
use crate::error::Error;
use crate::event::{Event, Note};
use crate::journal::is_running;

/// What is on its way when the server is there again has so much time to arrive before anything is compared.
const SETTLE: Duration = Duration::from_secs(2);
/// How often it is compared although nothing was cut off.
const LOOK: Duration = Duration::from_secs(600);
/// Uploads that are asked about one by one in one look; the others have their turn in the next.
const ASKED: usize = 256;

/// Looks whenever the server was away, and now and then, until `stop`. What the server does not have is gone on with.
///
/// # Errors
///
/// Errors of the journal. A server that does not answer is asked the next time.
pub(super) async fn reconcile(
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut reconciler = Reconciler { shared, requests, done: HashSet::new(), pages: 0, asked_up_to: None };
    tokio::select! {
        result = reconciler.run() => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Reconciler {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    /// Uploads that were done for the server when it was asked last, while results were still waited for here.
    done: HashSet<UploadId>,
    /// Pages of events that had come by then.
    pages: u64,
    /// The last upload that was asked about, where not all could be.
    asked_up_to: Option<UploadId>,
}

impl Reconciler {
    async fn run(&mut self) -> Result<(), Error> {
        loop {
            // Soon again where the server had something that should have arrived, or there was more to ask.
            let look = if self.done.is_empty() && self.asked_up_to.is_none() { LOOK } else { SETTLE * 5 };
            tokio::select! {
                () = self.shared.reconnected.notified() => {}
                () = tokio::time::sleep(jittered(look)) => {}
            }
            tokio::time::sleep(jittered(SETTLE)).await;
            match self.look().await {
                Ok(()) => {}
                // It is asked again when it is there again.
                Err(Error::Unreachable { .. } | Error::Refused { .. } | Error::Protocol { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let (shared, api) = (Arc::clone(&self.shared), Arc::clone(&self.shared.pipeline.api));
        let mut waited_for = shared.inbox.journal.waited_for(&shared.awaited.uploads()).await?;
        waited_for.sort_unstable();
        self.done.retain(|upload| waited_for.binary_search(upload).is_ok());
        // On from where it stopped the last time.
        let asked_up_to = self.asked_up_to.take();
        let first = waited_for.partition_point(|upload| asked_up_to.is_some_and(|last| *upload <= last));
        waited_for.rotate_left(first);
        let pages = shared.pages.load(Ordering::Relaxed);
        let is_quiet = std::mem::replace(&mut self.pages, pages) == pages && pages % 2 == 0;
        if !is_quiet {
            // They are still being taken in, and whoever waits for them has them in time.
            self.done.clear();
        }
        if waited_for.is_empty() {
            return Ok(());
        }
        let mut unfinished = HashMap::new();
        let (mut after, mut passed) = (None, HashSet::new());
        loop {
            let page = api.uploads(after).await?;
            for upload in page.uploads {
                if let Ok(id) = upload.id.parse::<UploadId>() {
                    unfinished.insert(id, upload.state);
                }
            }
            after = page.next.and_then(|next| next.parse().ok());
            // A list that comes back to where it was has no end.
            if after.is_none_or(|next: UploadId| !passed.insert(next)) {
                break;
            }
        }
        let (mut asked, mut late) = (0, Vec::new());
        for upload in waited_for {
            let state = match unfinished.get(&upload) {
                Some(state) => Some(*state),
                None if asked == ASKED => continue,
                None => {
                    asked += 1;
                    self.asked_up_to = (asked == ASKED).then_some(upload);
                    match api.upload(upload).await {
                        Ok(states) => Some(states.upload.state),
                        Err(Error::Refused { body, .. }) if body.code == filemill_api::ErrorCode::NotFound => None,
                        Err(error) => return Err(error),
                    }
                }
            };
            if matches!(state, Some(UploadState::Done | UploadState::Cancelled)) {
                // It was so the last time that it was asked about, and no page of events has come since.
                let was_done = !self.done.insert(upload);
                late.extend(was_done.then_some(upload));
                continue;
            }
            self.done.remove(&upload);
            match state {
                Some(UploadState::Stored) => {}
                Some(_) => self.go_on(upload, true).await?,
                None => self.go_on(upload, false).await?,
            }
        }
        self.done_and_not_here(&late).await
    }

    /// Sends what the server lacks of an upload; if another program works on it, that one does. What that has written down is not
    /// touched: it would not find out any more that something is missing.
    async fn go_on(&self, upload: UploadId, in_part: bool) -> Result<(), Error> {
        let owner = self.shared.inbox.journal.owner(upload).await?;
        if owner.is_some_and(|owner| owner != self.shared.session && is_running(&self.shared.home, &owner)) {
            return Ok(());
        }
        let open: Vec<_> = self.shared.awaited.of_upload(upload).into_iter().map(|index| (upload, index)).collect();
        let places = self.shared.inbox.journal.places(open.get(..1).unwrap_or_default()).await?;
        // By what the user knows: an id says nothing to anybody.
        let path = places.first().map(|place| self.shared.named(&place.path));
        let note = Note::LostUpload { upload, path, others: open.len().saturating_sub(1), in_part };
        self.shared.events.tell(Event::Note(note)).await;
        self.shared.inbox.journal.doubt(upload).await?;
        self.requests.send(Request::Resume(upload)).await.map_err(|_| Error::Stopped)
    }

    /// Results that the server has had for a while and that do not come lie before the place from which events are read: a server
    /// without marks cannot tell that this place is not one of its own.
    async fn done_and_not_here(&self, late: &[UploadId]) -> Result<(), Error> {
        for upload in self.shared.inbox.journal.waited_for(late).await? {
            let open = self.shared.inbox.journal.open_files(upload).await?;
            let places: Vec<_> = open.iter().map(|(index, _)| (upload, *index)).collect();
            if self.shared.inbox.journal.unfetched_of(&places).await?.len() < places.len() {
                self.shared.events.tell(Event::Note(Note::ResultsReadAgain)).await;
                self.shared.start_over.notify_one();
                return Ok(());
            }
        }
        Ok(())
    }
}
