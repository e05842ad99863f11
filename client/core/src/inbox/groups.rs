//! Pages of events in parts that can be held in memory.

use filemill_api::{Event, EventKind, EventPage, SealedResult};
use filemill_seal::BATCH_MAX_SEALED_BYTES;

use super::BYTES_AT_ONCE;

/// Parts of a page, in order, each of which can be held in memory.
pub(crate) fn groups(page: EventPage) -> impl Iterator<Item = EventPage> {
    let EventPage { events, next, reset } = page;
    let mut events = events.into_iter().peekable();
    let mut reset = reset.then_some(EventPage { events: Vec::new(), next, reset });
    std::iter::from_fn(move || {
        if let Some(reset) = reset.take() {
            return Some(reset);
        }
        events.peek()?;
        let (mut group, mut bytes) = (Vec::new(), 0_u64);
        while let Some(event) = events.next_if(|event| group.is_empty() || bytes + announced(event) <= BYTES_AT_ONCE) {
            bytes += announced(&event);
            group.push(event);
        }
        let next = group.last().map_or(next, |event: &Event| event.cursor);
        Some(EventPage { events: group, next, reset: false })
    })
}

/// How many bytes an event brings.
fn announced(event: &Event) -> u64 {
    match &event.kind {
        EventKind::Results { sealed: Some(SealedResult::Inline(bytes)), .. } => bytes.0.len() as u64,
        EventKind::Results { sealed: Some(SealedResult::Object(get)), .. } => {
            // A longer one is not fetched.
            if get.length > BATCH_MAX_SEALED_BYTES as u64 { 0 } else { get.length }
        }
        _ => 0,
    }
}
