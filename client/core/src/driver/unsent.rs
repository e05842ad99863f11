//! Uploads that do not go on: a watcher tries them again, others leave them to the next time.

use std::time::{Duration, Instant};

use filemill_seal::UploadId;

use super::conclude::Conclusion;
use super::shared::Kind;
use super::state::{Driver, Later};
use crate::ending::NotSent;
use crate::error::Error;
use crate::event::{Event, Trouble};

/// When a watcher tries again what could not be sent.
const TRY_AGAIN: Duration = Duration::from_secs(60);

impl Driver {
    /// An upload that does not go on. The journal keeps it for the next time: its files have failed only where the server refuses them.
    pub(super) async fn not_sent(&mut self, upload: UploadId, error: Error) -> Result<(), Error> {
        if self.kind == Kind::Watch {
            self.shared.events.tell(Event::Trouble(Trouble::UploadStalled { upload, error })).await;
            self.later.push((Instant::now() + TRY_AGAIN, Later::Upload(upload)));
            return Ok(());
        }
        let indexes = self.shared.awaited.of_upload(upload);
        let asked: Vec<_> = indexes.into_iter().map(|index| (upload, index)).collect();
        let is_refused = matches!(error, Error::Refused { .. });
        for place in self.shared.inbox.journal.places(&asked).await?.into_iter().filter(|place| !place.reused) {
            let waiters = self.shared.awaited.arrived(upload, place.index);
            let others = waiters.others.into_iter().map(|path| (path, place.size));
            let itself = waiters.itself.then(|| (place.path.clone(), place.size));
            for (path, size) in itself.into_iter().chain(others) {
                if is_refused {
                    self.shared.conclude(Conclusion::not_sent(path, size, NotSent::Server, error.to_string())).await?;
                } else {
                    self.shared.leave_open();
                }
            }
        }
        if !is_refused {
            self.unsent.get_or_insert(error);
        }
        Ok(())
    }
}
