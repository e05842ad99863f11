//! What a member reads of what happened, in pages and as it comes.

use std::sync::PoisonError;

use filemill_api::ErrorBody;
use filemill_api::limits::MAX_EVENTS;

use super::refusal::from_store;
use super::{
    Caller, Core, Listener, Object, RecordedEvent, RecordedEvents, RecordedKind, RecordedResult, Rules, outcomes,
};
use crate::storage::ObjectKey;
use crate::store::{EventRow, StoreError};

impl Rules {
    /// The caller's events after a cursor, up to which it has taken them in; at most `limit` (1 to 1,000) and some 4 MiB of results. Empty: there are no
    /// more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn events(&self, caller: &Caller, after: i64, limit: Option<u32>) -> Result<RecordedEvents, ErrorBody> {
        self.core().takes(caller.member, after);
        let limit = i64::from(limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS));
        let read = async {
            let rows = self.core().store.events(caller.member, after, limit).await?;
            rows.into_iter().map(event).collect::<Result<Vec<_>, StoreError>>()
        };
        let events = read.await.map_err(|error| from_store("read events", &error))?;
        let next = events.last().map_or(after, |event| event.cursor);
        Ok(RecordedEvents { events, next })
    }

    /// Hears of new events. Make it before reading, or what comes in between is heard of a second late.
    #[must_use]
    pub fn watch_events(&self, caller: &Caller) -> Listener {
        Listener { wire: self.core().events.listen(caller.organisation) }
    }
}

impl Core {
    /// A member asks for what comes after a cursor: it has what comes before.
    fn takes(&self, member: i64, cursor: i64) {
        if cursor > 0 {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let furthest = taken.entry(member).or_default();
            *furthest = cursor.max(*furthest);
        }
    }

    /// Writes down how far members have taken in their events.
    pub(super) async fn write_taken(&self) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let taken: Vec<_> = taken.into_iter().collect();
        let mut tx = self.store.begin().await?;
        tx.take_events(&taken).await?;
        tx.commit().await
    }
}

fn event(row: EventRow) -> Result<RecordedEvent, StoreError> {
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::from(sqlx::Error::Decode(error));
    let kind = match row.idx {
        Some(index) => {
            let index = u32::try_from(index).map_err(|error| fault(error.into()))?;
            let sealed = match (row.body, row.object_length, row.object_sha256) {
                (Some(body), _, _) => Some(RecordedResult::Inline(body)),
                (None, Some(length), Some(sha256)) => Some(RecordedResult::Object(Object {
                    key: ObjectKey::result(&row.upload, index, row.fence, &sha256)
                        .map_err(|error| fault(error.into()))?,
                    length: u64::try_from(length).unwrap_or(0),
                    sha256,
                })),
                _ => None,
            };
            RecordedKind::Result { index, outcome: outcomes::from_code(&row.kind), sealed }
        }
        None => RecordedKind::ChunksMissing {
            sequences: serde_json::from_slice(&row.body.unwrap_or_default()).map_err(|error| fault(error.into()))?,
        },
    };
    Ok(RecordedEvent { cursor: row.cursor, upload: row.upload, kind })
}
