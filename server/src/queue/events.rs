//! What a member reads of what happened, in pages and as it comes.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use filemill_api::ErrorBody;
use filemill_api::limits::MAX_EVENTS;

use super::batched;
use super::bell::Listener;
use super::core::Core;
use super::handle::Queue;
use super::types::{Device, Mark, Position, RecordedEvent, RecordedEvents, RecordedKind, RecordedResult};
use crate::accounts::Caller;
use crate::refusal::from_store;
use crate::retry::ms;
use crate::storage::{Object, ObjectKey};
use crate::store::StoreError;
use crate::store::queue::EventRow;

/// Whoever asks for no more events than this gets few bytes of results, too.
pub const FEW_EVENTS: u32 = 16;
/// Bytes of results in a page, after which it ends early, and in one of few events.
const PAGE_BYTES: (i64, i64) = (1 << 20, 32 << 10);
/// A reader that knows no marks, and a cursor beyond the last one there is, is moved past at most so many: whoever invents cursors does not
/// use them up.
const RENUMBERED_BEYOND: i64 = 1 << 32;
/// Nor past this: not every implementation of JSON keeps a larger integer exactly, and the database's come to an end.
const FURTHEST: i64 = 1 << 53;
/// Nor are more events moved than these, with so many bytes of results: they are one transaction, for which all others wait.
const RENUMBERED: (i64, i64) = (2048, 8 << 20);
/// How often a member's events may be given new cursors.
const RENUMBER_PAUSE: Duration = Duration::from_secs(60);

/// Devices of a member whose places are kept: those that asked last.
const MOST_DEVICES: i64 = 64;
/// Devices of a member whose places are kept until they are written down, in the next sweep.
const MOST_UNWRITTEN: usize = 64;
/// How often a device that reads nothing new is written down to be there.
const SEEN_AGAIN: Duration = Duration::from_secs(3600);

/// Where a reader really goes on.
enum Place {
    /// Behind this cursor.
    After(i64),
    /// The position is not one of this database.
    Nowhere,
}

impl Queue {
    /// The caller's events after a cursor, as [`Queue::events_behind`] has them, for a reader that knows no marks.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn events(&self, caller: &Caller, after: i64, limit: Option<u32>) -> Result<RecordedEvents, ErrorBody> {
        self.events_behind(caller, Position { after, ..Position::default() }, limit).await
    }

    /// The caller's events after a position, up to which it has taken them in if the position is one that it was given; at most `limit` (1 to
    /// 1,000) and some 1 MiB of results, or 32 KiB where `limit` is at most 16. Empty: there are no more.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn events_behind(
        &self,
        caller: &Caller,
        position: Position,
        limit: Option<u32>,
    ) -> Result<RecordedEvents, ErrorBody> {
        let place = self.core().find_place(caller, position).await;
        match place.map_err(|error| from_store("find a cursor", &error))? {
            Place::Nowhere => Ok(RecordedEvents { reset: true, ..RecordedEvents::default() }),
            Place::After(after) => self.read_events(caller, after, limit).await,
        }
    }

    /// The caller's events behind the last of those that the device was just given, which it has taken in.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn events_on(
        &self,
        caller: &Caller,
        device: Option<Device>,
        last: &RecordedEvent,
        limit: Option<u32>,
    ) -> Result<RecordedEvents, ErrorBody> {
        self.core().takes(caller.member, device, last.cursor, last.mark);
        self.read_events(caller, last.cursor, limit).await
    }

    /// Whether the position is one of this database's. Marks nothing as taken in.
    pub(super) async fn knows(&self, caller: &Caller, position: Position) -> Result<bool, StoreError> {
        if position.after <= 0 {
            return Ok(true);
        }
        let place = self.core().store.place(caller.member, position.after, known_mark(position)).await?;
        Ok(place.is_some_and(|place| is_of(&place, position)))
    }

    async fn read_events(&self, caller: &Caller, after: i64, limit: Option<u32>) -> Result<RecordedEvents, ErrorBody> {
        let limit = limit.unwrap_or(MAX_EVENTS).clamp(1, MAX_EVENTS);
        let bytes = if limit > FEW_EVENTS { PAGE_BYTES.0 } else { PAGE_BYTES.1 };
        let read = async {
            let rows = self.core().store.events(caller.member, after, (limit.into(), bytes)).await?;
            rows.into_iter().map(event).collect::<Result<Vec<_>, StoreError>>()
        };
        let events = read.await.map_err(|error| from_store("read events", &error))?;
        let next = events.last().map_or(after, |event| event.cursor);
        Ok(RecordedEvents { events, next, reset: false })
    }

    /// Hears of new events. Make it before reading, or what comes in between is heard of a second late.
    #[must_use]
    pub fn watch_events(&self, caller: &Caller) -> Listener {
        Listener { wire: self.core().events.listen(caller.organisation) }
    }
}

impl Core {
    /// Where a member goes on that says to have come so far. If it was given that position, it has taken in what comes before.
    async fn find_place(&self, caller: &Caller, position: Position) -> Result<Place, StoreError> {
        let Position { after, device, .. } = position;
        if after <= 0 {
            // It is there, and has read nothing.
            self.takes(caller.member, device, 0, 0);
            return Ok(Place::After(0));
        }
        let Some(place) = self.store.place(caller.member, after, known_mark(position)).await? else {
            return Ok(Place::After(0));
        };
        if is_of(&place, position) {
            // One whose event is gone was written down before it went; and a device moves by a pair only that it was given.
            let knows = device.is_none() || matches!(position.mark, Mark::Known(_));
            match place.mark.filter(|_| knows) {
                Some(mark) => self.takes(caller.member, device, after, mark),
                None => self.takes(caller.member, device, 0, 0),
            }
            return Ok(Place::After(after));
        }
        if position.mark != Mark::Unsaid {
            return Ok(Place::Nowhere);
        }
        // It is of another life of the database, and its reader does not understand that: it would wait until there are as many
        // events again, and not see those before. They come behind what it has read.
        if after <= FURTHEST
            && after - place.furthest <= RENUMBERED_BEYOND
            && self.may_renumber(caller.member)
            && self.store.has_few_events(caller.member, RENUMBERED).await?
        {
            tracing::info!(member = caller.member, after, furthest = place.furthest, "giving events new cursors");
            let mut tx = self.store.begin().await?;
            tx.renumber_events(caller.organisation, caller.member, after).await?;
            tx.commit().await?;
            return Ok(Place::After(after));
        }
        Ok(Place::After(0))
    }

    fn may_renumber(&self, member: i64) -> bool {
        let mut renumbered = self.renumbered.lock().unwrap_or_else(PoisonError::into_inner);
        renumbered.retain(|_, when| when.elapsed() < RENUMBER_PAUSE);
        renumbered.insert(member, Instant::now()).is_none()
    }

    /// A device of a member is there, and has taken in what it was given up to this cursor.
    fn takes(&self, member: i64, device: Option<Device>, cursor: i64, mark: i64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let devices = taken.entry(member).or_default();
        if devices.len() >= MOST_UNWRITTEN && !devices.contains_key(&device) && device.is_some() {
            // Whoever names so many has itself to blame. One that has read something comes before one that was only there.
            let idle =
                devices.iter().find(|(device, (cursor, _))| device.is_some() && *cursor == 0).map(|(idle, _)| *idle);
            match idle {
                Some(idle) if cursor > 0 => devices.remove(&idle),
                _ => return,
            };
        }
        let furthest = devices.entry(device).or_default();
        if cursor > furthest.0 {
            *furthest = (cursor, mark);
        }
    }

    /// Writes down how far members and their devices have taken in their events.
    pub(crate) async fn write_taken(&self) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let (mut members, mut devices) = (Vec::new(), Vec::new());
        for (&member, places) in &taken {
            for (&device, &(cursor, mark)) in places {
                if device.is_none() && cursor > 0 {
                    members.push((member, cursor, mark));
                }
                devices.push((member, name(device), cursor, mark));
            }
        }
        let written = async {
            let mut tx = self.store.begin().await?;
            if !members.is_empty() {
                tx.take_events(&members).await?;
            }
            tx.see_devices(&devices, ms(SEEN_AGAIN), MOST_DEVICES).await?;
            tx.commit().await
        };
        let written = written.await;
        if written.is_err() {
            // For the next time: their readers say it only once.
            for (member, places) in taken {
                for (device, (cursor, mark)) in places {
                    self.takes(member, device, cursor, mark);
                }
            }
        }
        written
    }
}

/// Whether a position of the caller's is of this database, as far as what it says of it tells.
fn is_of(place: &crate::store::queue::Place, position: Position) -> bool {
    match position.mark {
        Mark::Known(mark) => {
            place.mark == Some(mark)
                || (place.taken == position.after && place.taken_mark == Some(mark))
                || place.taken_by_device
        }
        Mark::Unsaid | Mark::Unknown => position.after <= place.furthest,
    }
}

/// The mark, if it is said; 0 is that of events from before there were marks.
fn known_mark(position: Position) -> i64 {
    match position.mark {
        Mark::Known(mark) => mark,
        Mark::Unsaid | Mark::Unknown => 0,
    }
}

/// As a device is written down.
fn name(device: Option<Device>) -> String {
    device.map_or_else(String::new, |device| device.to_string())
}

fn event(row: EventRow) -> Result<RecordedEvent, StoreError> {
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::from(sqlx::Error::Decode(error));
    let kind = match row.idx {
        Some(first) => {
            let first = u32::try_from(first).map_err(|error| fault(error.into()))?;
            let jobs = batched::read(first, &row.kind, row.jobs.as_deref());
            let jobs =
                jobs.ok_or_else(|| fault("an event's jobs are not written as this server writes them".into()))?;
            let sealed = sealed(&row.upload, first, row.fence, row.body, (row.object_length, row.object_sha256))?;
            RecordedKind::Results { jobs, sealed }
        }
        None => RecordedKind::ChunksMissing {
            sequences: serde_json::from_slice(&row.body.unwrap_or_default()).map_err(|error| fault(error.into()))?,
        },
    };
    Ok(RecordedEvent { cursor: row.cursor, mark: row.mark, upload: row.upload, kind })
}

/// Where a sealed result is, as its row says: in it, or in storage.
pub(super) fn sealed(
    upload: &str,
    first: u32,
    fence: i64,
    body: Option<Vec<u8>>,
    object: (Option<i64>, Option<String>),
) -> Result<Option<RecordedResult>, StoreError> {
    Ok(match (body, object) {
        (Some(body), _) => Some(RecordedResult::Inline(body)),
        (None, (Some(length), Some(sha256))) => Some(RecordedResult::Object(Object {
            key: ObjectKey::result(upload, first, fence, &sha256)
                .map_err(|error| StoreError::from(sqlx::Error::Decode(error.into())))?,
            length: u64::try_from(length).unwrap_or(0),
            sha256,
        })),
        _ => None,
    })
}
