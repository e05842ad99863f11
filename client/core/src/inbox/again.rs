//! Results that could not be fetched or checked when their event came: asked for again, until the server says that one is gone.

use std::sync::Arc;

use filemill_api::v1::{EventKind, FetchedResult};
use filemill_api::{ErrorCode, Item, SealedResult};
use filemill_seal::{Digest, Outcome, UploadId};

use super::{Arrival, Inbox, Job, Sealed, job, judge_all, known_outcome, row, shown};
use crate::api::{Patience, Position};
use crate::error::Error;
use crate::journal::Unfetched;

/// Attempts at an object each time that it is asked for again: the next time has another URL.
const ATTEMPTS: u32 = 2;

/// Why a result cannot be asked for by what was known of it.
const OTHER_DATABASE: &str = "the server has another database than it had";

/// What came of asking again.
#[derive(Default)]
pub(crate) struct Again {
    /// Results that are there now, or that the server has no more.
    pub(crate) arrivals: Vec<Arrival>,
    /// Those that could not be had this time either, and why.
    pub(crate) left: Vec<((UploadId, u32), String)>,
}

/// What the server says of a result.
enum Said {
    There(Outcome, Sealed),
    Gone,
    NotNow(String),
}

impl Inbox {
    /// Asks once for each of these results, which the journal has as still to be fetched. The server keeps them from then on. At most
    /// [`MAX_FETCHED`](filemill_api::limits::MAX_FETCHED) at once.
    ///
    /// # Errors
    ///
    /// Errors of the journal; and what makes asking useless, like a revoked token. A server that does not answer is a reason why
    /// the results are left.
    pub(crate) async fn fetch_again(&self, unfetched: Vec<Unfetched>) -> Result<Again, Error> {
        let places: Vec<_> = unfetched.iter().map(|one| (one.upload, one.index)).collect();
        let position = self.journal.position(&self.account).await?;
        let mut again = Again::default();
        match self.api.fetch(&position, &places, &[]).await {
            // Whoever reads the events hears of it, too, and starts over.
            Ok(answer) if answer.reset => {
                again.left.extend(places.into_iter().map(|place| (place, OTHER_DATABASE.to_owned())));
            }
            Ok(answer) => {
                // One after the other: each may be as long as a result can be.
                for (one, item) in unfetched.iter().zip(answer.results) {
                    let said = self.said(item).await;
                    self.settle(one, said, &mut again).await?;
                }
                let fetched: Vec<_> = again.arrivals.iter().map(|arrival| (arrival.upload, arrival.index)).collect();
                if !fetched.is_empty() {
                    // If it does not hear of it, it keeps them for longer.
                    let _ = self.api.fetch(&position, &[], &fetched).await;
                }
            }
            // A server that does not know the call: an event that is read again has a fresh URL.
            Err(Error::Refused { body, .. }) if body.code == ErrorCode::NotFound => {
                for one in &unfetched {
                    let said = self.read_again(one).await?;
                    self.settle(one, said, &mut again).await?;
                }
            }
            Err(error @ (Error::Unreachable { .. } | Error::Protocol { .. } | Error::Refused { .. })) => {
                again.left.extend(places.into_iter().map(|place| (place, error.to_string())));
            }
            Err(error) => return Err(error),
        }
        for ((upload, index), reason) in &again.left {
            self.journal.not_fetched(*upload, *index, reason.clone()).await?;
        }
        Ok(again)
    }

    /// Results that another program of this home has fetched meanwhile.
    pub(crate) async fn fetched_elsewhere(&self, places: &[(UploadId, u32)]) -> Result<Vec<Arrival>, Error> {
        let places = self.journal.with_result(places).await?;
        let mut arrivals = Vec::new();
        for portion in self.portions(&places).await? {
            let mut opened = self.reopen(&portion).await?;
            for place in &portion {
                let Some(reopened) = opened.remove(place) else { continue };
                let files = self.journal.places(&[*place]).await?;
                let super::Reopened { sealed, artifacts, ending } = reopened;
                arrivals.push(Arrival { upload: place.0, index: place.1, sealed, artifacts, ending, places: files });
            }
        }
        Ok(arrivals)
    }

    async fn said(&self, item: Item<FetchedResult>) -> Said {
        let found = match item.into_result() {
            Ok(found) => found,
            Err(body) if body.code == ErrorCode::NotFound => return Said::Gone,
            Err(body) => return Said::NotNow(body.message),
        };
        let outcome = known_outcome(found.outcome);
        match found.sealed {
            None => Said::There(outcome, Sealed::None),
            Some(SealedResult::Inline(bytes)) => match found.sha256 {
                Some(sha256) if Digest::of(&bytes.0).to_string() != sha256 => {
                    Said::NotNow("it was damaged on its way".to_owned())
                }
                _ => Said::There(outcome, Sealed::Bytes(bytes.0)),
            },
            Some(SealedResult::Object(get)) => {
                let said = self.object(&get, ATTEMPTS).await;
                match said {
                    Sealed::Unfetched(reason) if !found.kept => Said::NotNow(format!(
                        "{reason}; the server keeps so many such results already that it does not keep this one for longer"
                    )),
                    Sealed::Unfetched(reason) => Said::NotNow(reason),
                    sealed => Said::There(outcome, sealed),
                }
            }
        }
    }

    /// What the server says of a result in its event, which is read once more.
    async fn read_again(&self, one: &Unfetched) -> Result<Said, Error> {
        let before = Position { cursor: one.cursor - 1, mark: None };
        let page = match self.api.events(&before, 1, Patience::Brief).await {
            Ok(page) => page,
            Err(error @ (Error::Unreachable { .. } | Error::Refused { .. } | Error::Protocol { .. })) => {
                return Ok(Said::NotNow(error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let is_there = page.events.first().is_some_and(|event| event.cursor <= one.cursor);
        if page.reset {
            return Ok(Said::NotNow(OTHER_DATABASE.to_owned()));
        }
        for event in page.events {
            if let EventKind::Result { index, outcome, sealed } = event.kind
                && event.upload == one.upload.to_string()
                && index == one.index
            {
                let sealed = match sealed {
                    None => Sealed::None,
                    Some(SealedResult::Inline(bytes)) => Sealed::Bytes(bytes.0),
                    Some(SealedResult::Object(get)) => self.object(&get, ATTEMPTS).await,
                };
                return Ok(match sealed {
                    Sealed::Unfetched(reason) => Said::NotNow(reason),
                    sealed => Said::There(known_outcome(outcome), sealed),
                });
            }
        }
        // Where another event has its number, the result may be anywhere.
        Ok(if is_there { Said::NotNow(OTHER_DATABASE.to_owned()) } else { Said::Gone })
    }

    async fn settle(&self, one: &Unfetched, said: Said, again: &mut Again) -> Result<(), Error> {
        let (outcome, sealed) = match said {
            Said::There(outcome, sealed) => (outcome, sealed),
            Said::Gone => {
                let outcome = Outcome::from_code(&one.outcome).unwrap_or(Outcome::HostFailed);
                let reason = format!(
                    "the server does not have the result any more, which could not be fetched before: {}",
                    one.reason
                );
                (outcome, Sealed::Wrong(reason))
            }
            Said::NotNow(reason) => {
                again.left.push(((one.upload, one.index), reason));
                return Ok(());
            }
        };
        let Some(keys) = self.keys_of(one.upload).await? else { return Ok(()) };
        let places = self.journal.places(&[(one.upload, one.index)]).await?;
        let jobs: Vec<Job> =
            job(one.cursor, one.upload, one.index, keys, outcome, sealed, places).into_iter().collect();
        let (arrivals, _) = judge_all(Arc::clone(&self.identity), jobs).await?;
        let rows = arrivals.iter().map(|(cursor, arrival)| row(*cursor, arrival)).collect();
        self.journal.take_in_fetched(rows).await?;
        again.arrivals.extend(arrivals.into_iter().map(|(_, arrival)| shown(arrival)));
        Ok(())
    }
}
