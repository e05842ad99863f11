//! Telling events, over a channel of bounded length.

use tokio::sync::mpsc;

use crate::event::Event;

/// What an activity tells, in order. Whoever reads slowly slows the activity down; whoever drops this misses what is told, and
/// nothing else happens.
#[derive(Debug)]
pub struct Events {
    told: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; `None` once the activity has ended and everything was told. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.told.recv().await
    }

    /// Adds up to `limit` events to `events` as soon as there are some, and returns how many; 0 once the activity has ended and
    /// everything was told. Cancel safe.
    pub async fn next_many(&mut self, events: &mut Vec<Event>, limit: usize) -> usize {
        self.told.recv_many(events, limit).await
    }

    /// As [`next`](Self::next), for a thread that may block.
    #[cfg(test)]
    pub(crate) fn blocking_next(&mut self) -> Option<Event> {
        self.told.blocking_recv()
    }

    /// How many events were told and not read yet.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether everything that was told was read.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// An event that was told already; `None` if there is none now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.told.try_recv().ok()
    }
}

/// Tells events of one activity.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    sender: mpsc::Sender<Event>,
}

impl Teller {
    /// One whose events may wait to be read, so many at most.
    pub(crate) fn new(waiting_max: usize) -> (Self, Events) {
        let (sender, told) = mpsc::channel(waiting_max.max(1));
        (Self { sender }, Events { told })
    }

    /// One that nobody listens to.
    pub(crate) fn to_nobody() -> Self {
        Self::new(1).0
    }

    /// Tells it as soon as there is room; at once if nobody listens any more. Cancel safe: it is told or not.
    pub(crate) async fn tell(&self, event: Event) {
        let _ = self.sender.send(event).await;
    }

    /// Tells it if there is room now, and says whether that was so, or nobody listens any more.
    pub(crate) fn try_tell(&self, event: Event) -> bool {
        !matches!(self.sender.try_send(event), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Room for one event; if it is a long one, only once everything before it was read: whoever reads slowly holds one of them in
    /// memory, not as many as may wait. `None` if nobody listens any more.
    pub(crate) async fn room(&self, is_long: bool) -> Option<Room<'_>> {
        let slots = if is_long { self.sender.max_capacity() } else { 1 };
        self.sender.reserve_many(slots).await.ok()?.next().map(Room)
    }
}

/// Room for one event.
pub(crate) struct Room<'a>(mpsc::Permit<'a, Event>);

impl Room<'_> {
    pub(crate) fn tell(self, event: Event) {
        self.0.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Note;

    #[tokio::test]
    async fn whoever_is_not_listened_to_is_not_held_up() {
        let (teller, events) = Teller::new(1);
        assert!(teller.try_tell(Event::Note(Note::OtherDatabase)));
        assert!(!teller.try_tell(Event::Note(Note::OtherDatabase)), "more than one waits");
        drop(events);
        for _ in 0..3 {
            teller.tell(Event::Note(Note::OtherDatabase)).await;
            assert!(teller.try_tell(Event::Note(Note::OtherDatabase)));
        }
        assert!(teller.room(true).await.is_none() && teller.room(false).await.is_none());
    }
}
