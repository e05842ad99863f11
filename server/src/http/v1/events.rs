//! What a client is told: pages of events, and a stream of such pages.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use filemill_api::v1::{EventPage, EventQuery};
use filemill_api::{self as v2, paths};

use crate::http::app::App;
use crate::http::auth::User;
use crate::http::body::QueryParts;
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::queue::events::{self, Page};
use crate::queue::{RecordedEvent, RecordedEvents, RecordedKind};

/// A page of the caller's events behind a cursor. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get,
    path = paths::v1::EVENTS,
    tag = "events",
    params(EventQuery),
    responses((status = OK, body = EventPage)),
)]
pub(in crate::http) async fn page(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    QueryParts(query): QueryParts<EventQuery>,
) -> Result<Response, Refusal> {
    events::page_as::<EventPage>(&caller, &app, &ticket, &in_v2(query)).await
}

/// The caller's events behind a cursor, as server-sent events named `page`: the data of each is a page, its id the
/// cursor to go on from, with its mark. A page that says `reset` is the last one. It stays open until the server stops or the token is revoked. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get, path = paths::v1::EVENT_STREAM, tag = "events",
    params(
        EventQuery,
        ("last-event-id" = Option<String>, Header,
            description = "only events after this cursor, with `-` and its mark if that is known; goes before the query"),
    ),
    responses((status = OK, body = EventPage, content_type = "text/event-stream")),
)]
pub(in crate::http) async fn stream(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    QueryParts(query): QueryParts<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    events::stream_as::<EventPage>(caller, app, ticket, &in_v2(query), &headers)
}

fn in_v2(EventQuery { after, mark, limit }: EventQuery) -> v2::EventQuery {
    v2::EventQuery { after, mark, limit, device: None }
}

impl Page for EventPage {
    fn cut(recorded: &mut RecordedEvents, limit: u32) {
        recorded.events.truncate(within(&recorded.events, limit));
        if let Some(last) = recorded.events.last() {
            recorded.next = last.cursor;
        }
    }
}

/// How many events have together no more than so many jobs, of each of which this version tells by itself; at least the first, whatever it
/// has. One that concerns a whole upload counts as one.
fn within(events: &[RecordedEvent], limit: u32) -> usize {
    let jobs = |event: &RecordedEvent| match &event.kind {
        RecordedKind::Results { jobs, .. } => jobs.len(),
        RecordedKind::ChunksMissing { .. } => 1,
    };
    let mut sum = 0;
    let fits = |event: &&RecordedEvent| {
        sum += jobs(event);
        sum <= limit as usize
    };
    events.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use filemill_api::{JobOutcome, Outcome};

    use super::*;

    fn results(cursor: i64, jobs: u32) -> RecordedEvent {
        let jobs = (0..jobs).map(|job| JobOutcome { job, outcome: Outcome::Unknown }).collect();
        let kind = RecordedKind::Results { jobs, sealed: None };
        RecordedEvent { cursor, mark: 1, upload: "u".to_owned(), kind }
    }

    #[test]
    fn a_page_has_no_more_jobs_than_asked_for_but_one_event_whatever_it_has() {
        let events = vec![results(1, 2), results(2, 3), results(3, 1)];
        assert_eq!([1, 2, 4, 5, 6, 100].map(|limit| within(&events, limit)), [1, 1, 1, 2, 3, 3]);
        let of = |events| RecordedEvents { events, next: 3, reset: false };
        let mut page = of(events.clone());
        EventPage::cut(&mut page, 5);
        assert_eq!((page.events.len(), page.next), (2, 2), "the rest comes after it");
        let mut page = of(events);
        v2::EventPage::cut(&mut page, 3);
        assert_eq!((page.events.len(), page.next), (3, 3), "version 2 tells of each batch once");
        let mut page = of(Vec::new());
        EventPage::cut(&mut page, 1);
        assert_eq!((page.events.len(), page.next), (0, 3));
    }
}
