//! Following the server's events for as long as a run goes on.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::EventPage;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Request, Shared};
use crate::api::{Backoff, Patience};
use crate::error::Error;
use crate::inbox::{EVENTS_PER_PAGE, groups};

/// Pages are asked for this often where they cannot be streamed.
const PAGE_PAUSE: Duration = Duration::from_secs(1);
/// Events in a page that is asked for because a streamed one was too long.
const SMALL_PAGE: u32 = 16;

/// Takes in all events behind `after`, until `stop`.
///
/// # Errors
///
/// What makes going on useless: a revoked token, a full journal.
pub(super) async fn follow(
    shared: Arc<Shared>,
    after: i64,
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut follower = Follower { shared, after, requests };
    tokio::select! {
        result = follower.run() => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Follower {
    shared: Arc<Shared>,
    after: i64,
    requests: mpsc::Sender<Request>,
}

impl Follower {
    async fn run(&mut self) -> Result<(), Error> {
        let mut backoff = Backoff::new();
        loop {
            let before = self.after;
            match self.stream().await {
                Ok(()) => {}
                Err(error @ (Error::Unreachable { .. } | Error::Storage { .. })) => {
                    if backoff.attempts() > 1 {
                        self.shared.pipeline.api.in_trouble(&error);
                    }
                }
                // No stream, or one with too long a page: ask for what there is, and try again later.
                Err(Error::Refused { .. } | Error::Protocol { .. }) => {
                    self.pages().await?;
                    tokio::time::sleep(PAGE_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if self.after > before {
                backoff = Backoff::new();
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    async fn stream(&mut self) -> Result<(), Error> {
        let mut stream = self.shared.pipeline.api.event_stream(self.after).await?;
        self.shared.pipeline.api.recovered();
        while let Some(page) = stream.next().await? {
            self.take_in(page).await?;
        }
        Ok(())
    }

    async fn pages(&mut self) -> Result<(), Error> {
        loop {
            let mut limit = EVENTS_PER_PAGE;
            let page = loop {
                match self.shared.pipeline.api.events(self.after, limit, Patience::Endless).await {
                    Err(Error::Protocol { .. }) if limit > 1 => limit = (limit / 4).clamp(1, SMALL_PAGE),
                    other => break other?,
                }
            };
            if page.events.is_empty() {
                return Ok(());
            }
            self.take_in(page).await?;
        }
    }

    async fn take_in(&mut self, page: EventPage) -> Result<(), Error> {
        for group in groups(page) {
            let next = group.next;
            let taken = self.shared.inbox.take_in(group).await?;
            self.after = self.after.max(next);
            for arrival in taken.arrivals {
                self.shared.arrived(arrival).await?;
            }
            for upload in taken.missing {
                self.requests.send(Request::Resume(upload)).await.map_err(|_| Error::Stopped)?;
            }
        }
        Ok(())
    }
}
