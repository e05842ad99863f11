//! Comparing what is waited for with what the server has: its database may be restored from a backup, or have lost its last commits in
//! a failover, and then it never says anything of an upload that it does not know.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use filemill_api::UploadState;
use filemill_seal::UploadId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Request, Shared};
use crate::api::jittered;
use crate::error::Error;
use crate::notice::Notice;

/// What is on its way when the server is there again has so much time to arrive before anything is compared.
const SETTLE: Duration = Duration::from_secs(2);
/// How often it is compared although nothing was cut off.
const LOOK: Duration = Duration::from_secs(600);
/// Uploads that are asked about one by one in one look.
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
    let mut reconciler = Reconciler { shared, requests, done: HashSet::new(), pages: 0 };
    tokio::select! {
        result = reconciler.run() => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Reconciler {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    /// Uploads that were done for the server the last time, while results were still waited for here.
    done: HashSet<UploadId>,
    /// Pages of events that had come by then.
    pages: u64,
}

impl Reconciler {
    async fn run(&mut self) -> Result<(), Error> {
        loop {
            // Soon again where the server had something that should have arrived.
            let look = if self.done.is_empty() { LOOK } else { SETTLE * 5 };
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
        let waited_for = shared.inbox.journal.waited_for(&shared.awaited.uploads()).await?;
        let pages = shared.pages.load(Ordering::Relaxed);
        let is_quiet = std::mem::replace(&mut self.pages, pages) == pages && pages % 2 == 0;
        let mut was_done = std::mem::take(&mut self.done);
        if !is_quiet {
            // They are still being taken in, and whoever waits for them has them in time.
            was_done.clear();
        }
        if waited_for.is_empty() {
            return Ok(());
        }
        let mut unfinished = HashMap::new();
        let mut after = None;
        loop {
            let page = api.uploads(after).await?;
            for upload in page.uploads {
                if let Ok(id) = upload.id.parse::<UploadId>() {
                    unfinished.insert(id, upload.state);
                }
            }
            let next = page.next.and_then(|next| next.parse().ok());
            if next.is_none() || next == after {
                break;
            }
            after = next;
        }
        let mut asked = 0;
        for upload in waited_for {
            let state = match unfinished.get(&upload) {
                Some(state) => Some(*state),
                None if asked == ASKED => continue,
                None => {
                    asked += 1;
                    match api.upload(upload).await {
                        Ok(states) => Some(states.upload.state),
                        Err(Error::Refused { body, .. }) if body.code == filemill_api::ErrorCode::NotFound => None,
                        Err(error) => return Err(error),
                    }
                }
            };
            match state {
                Some(UploadState::Stored) => {}
                Some(UploadState::Done | UploadState::Cancelled) => {
                    self.done.insert(upload);
                }
                Some(_) => self.go_on(upload, "the server had lost a part of it").await?,
                None => self.go_on(upload, "the server had lost it").await?,
            }
        }
        self.done_and_not_here(&was_done).await
    }

    /// Sends what the server lacks of an upload.
    async fn go_on(&self, upload: UploadId, reason: &str) -> Result<(), Error> {
        let open: Vec<_> = self.shared.awaited.of_upload(upload).into_iter().map(|index| (upload, index)).collect();
        let places = self.shared.inbox.journal.places(open.get(..1).unwrap_or_default()).await?;
        // By what the user knows: an id says nothing to anybody.
        let first = places
            .first()
            .map_or(upload.to_string(), |place| filemill_text::shown_path(&self.shared.named(&place.path)));
        let others = match open.len().saturating_sub(1) {
            0 => String::new(),
            1 => " and another file".to_owned(),
            others => format!(" and {others} other files"),
        };
        let message = format!("sending `{first}`{others} again: {reason}");
        self.shared.notices.send(Notice::Remark { message }).await.map_err(|_| Error::Stopped)?;
        self.shared.inbox.journal.doubt(upload).await?;
        self.requests.send(Request::Resume(upload)).await.map_err(|_| Error::Stopped)
    }

    /// Results that the server has had for a while and that do not come lie before the place from which events are read: a server
    /// without marks cannot tell that this place is none of its own.
    async fn done_and_not_here(&self, was_done: &HashSet<UploadId>) -> Result<(), Error> {
        let late: Vec<_> = self.done.intersection(was_done).copied().collect();
        for upload in self.shared.inbox.journal.waited_for(&late).await? {
            let open = self.shared.inbox.journal.open_files(upload).await?;
            let places: Vec<_> = open.iter().map(|(index, _)| (upload, *index)).collect();
            if self.shared.inbox.journal.unfetched_of(&places).await?.len() < places.len() {
                let message = "the server has results that do not come: they are read again from the beginning";
                let notice = Notice::Remark { message: message.to_owned() };
                self.shared.notices.send(notice).await.map_err(|_| Error::Stopped)?;
                self.shared.start_over.notify_one();
                return Ok(());
            }
        }
        Ok(())
    }
}
