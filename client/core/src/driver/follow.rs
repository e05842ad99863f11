//! Following the server's events for as long as an activity goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use filemill_api::EventPage;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::shared::{Request, Shared};
use crate::api::{Patience, Position, backoff};
use crate::error::Error;
use crate::event::{Event, Note};
use crate::inbox::{EVENTS_PER_PAGE, groups};

/// Pages are asked for this often where they cannot be streamed.
const PAGE_PAUSE: Duration = Duration::from_secs(1);
/// Events in a page that is asked for because a streamed one was too long.
const SMALL_PAGE: u32 = 16;

/// Takes in all events behind `position`, until `stop`.
///
/// # Errors
///
/// What makes going on useless: a revoked token, a full journal.
pub(super) async fn follow(
    shared: Arc<Shared>,
    position: Position,
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut follower = Follower { shared, position, requests };
    tokio::select! {
        result = follower.run() => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Follower {
    shared: Arc<Shared>,
    position: Position,
    requests: mpsc::Sender<Request>,
}

impl Follower {
    async fn run(&mut self) -> Result<(), Error> {
        let mut backoff = backoff();
        loop {
            let before = self.position.cursor;
            match self.stream().await {
                Ok(()) => {}
                Err(error @ (Error::Unreachable { .. } | Error::Storage { .. })) => {
                    if backoff.attempts() > 1 {
                        self.shared.pipeline.api.in_trouble(&error);
                    }
                }
                // No stream, or one with too long a page: ask for what there is, and try again later.
                Err(Error::Refused { .. } | Error::Protocol { .. }) => match self.pages().await {
                    Ok(()) => {
                        tokio::time::sleep(PAGE_PAUSE).await;
                        continue;
                    }
                    // What answers is no server, or one that is broken now: nothing is lost by waiting.
                    Err(error @ Error::Protocol { .. }) => {
                        if backoff.attempts() > 1 {
                            self.shared.pipeline.api.in_trouble(&error);
                        }
                    }
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
            if self.position.cursor > before {
                backoff.reset();
            }
            tokio::time::sleep(backoff.delay()).await;
        }
    }

    async fn stream(&mut self) -> Result<(), Error> {
        self.start_over_if_asked().await?;
        let mut stream = self.shared.pipeline.api.event_stream(&self.position).await?;
        self.shared.pipeline.api.recovered();
        // Whatever was cut off may have forgotten something.
        self.shared.reconnected.notify_one();
        loop {
            tokio::select! {
                page = stream.next() => match page? {
                    Some(page) => if self.take_in(page).await? {
                        // A server that says it again and again is asked ever less often.
                        return Ok(());
                    },
                    None => return Ok(()),
                },
                () = self.shared.start_over.notified() => {
                    self.start_over().await?;
                    return Ok(());
                }
            }
        }
    }

    async fn pages(&mut self) -> Result<(), Error> {
        self.start_over_if_asked().await?;
        self.shared.reconnected.notify_one();
        loop {
            let mut limit = EVENTS_PER_PAGE;
            let page = loop {
                match self.shared.pipeline.api.events(&self.position, limit, Patience::Endless).await {
                    Err(Error::Protocol { .. }) if limit > 1 => limit = (limit / 4).clamp(1, SMALL_PAGE),
                    other => break other?,
                }
            };
            let before = self.position.cursor;
            self.take_in(page).await?;
            // Nothing more, or from the beginning.
            if self.position.cursor <= before {
                return Ok(());
            }
        }
    }

    /// Says whether it is to be read from the beginning again.
    async fn take_in(&mut self, page: EventPage) -> Result<bool, Error> {
        self.shared.pages.fetch_add(1, Ordering::Relaxed);
        let taken = self.take_in_groups(page).await;
        self.shared.pages.fetch_add(1, Ordering::Relaxed);
        taken
    }

    async fn take_in_groups(&mut self, page: EventPage) -> Result<bool, Error> {
        for group in groups(page) {
            let next = group.events.last().map(Position::of);
            let taken = self.shared.inbox.take_in(group).await?;
            if taken.reset {
                self.shared.events.tell(Event::Note(Note::OtherDatabase)).await;
                self.position = Position::default();
                self.shared.reconnected.notify_one();
                return Ok(true);
            }
            if let Some(next) = next.filter(|next| next.cursor > self.position.cursor) {
                self.position = next;
            }
            for arrival in taken.arrivals {
                self.shared.arrived(arrival).await?;
            }
            for upload in taken.missing {
                self.requests.send(Request::Resume(upload)).await.map_err(|_| Error::Stopped)?;
            }
        }
        Ok(false)
    }

    async fn start_over_if_asked(&mut self) -> Result<(), Error> {
        use futures::FutureExt;

        match self.shared.start_over.notified().now_or_never() {
            Some(()) => self.start_over().await,
            None => Ok(()),
        }
    }

    async fn start_over(&mut self) -> Result<(), Error> {
        self.shared.inbox.journal.start_over(self.shared.account.clone()).await?;
        self.position = Position::default();
        Ok(())
    }
}
