//! What the fake tells: pages of events, a stream of them, and results that are asked for again.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use filemill_api::v1::{Event, EventKind, EventPage, EventQuery, FetchAnswer, FetchRequest, FetchedResult};
use filemill_api::{ErrorBody, ErrorCode, Item, SealedResult};
use filemill_seal::Digest;

use super::{Fake, Inner, problem};

impl Inner {
    fn page(&mut self, query: &EventQuery) -> EventPage {
        let EventQuery { after, mark, limit } = query;
        if self.is_foreign(*after, mark.as_deref()) {
            return EventPage { events: Vec::new(), next: 0, reset: true };
        }
        let limit = limit.unwrap_or(100) as usize;
        let mut events: Vec<Event> =
            self.events.iter().filter(|event| event.cursor > *after).take(limit).cloned().collect();
        for event in &mut events {
            if let EventKind::Result { sealed: Some(SealedResult::Inline(bytes)), .. } = &mut event.kind
                && self.faults.damaged_inline > 0
            {
                self.faults.damaged_inline -= 1;
                *bytes.0.last_mut().unwrap() ^= 1;
            }
        }
        if let Some(last) = events.last().filter(|_| std::mem::take(&mut self.faults.last_cursor)) {
            events.push(Event { cursor: i64::MAX, mark: last.mark.clone(), ..last.clone() });
        }
        let next = events.last().map_or(*after, |event| event.cursor);
        EventPage { events, next, reset: false }
    }

    /// Whether the caller knows marks, and its position is not one of this database.
    fn is_foreign(&self, after: i64, mark: Option<&str>) -> bool {
        let there = self.events.iter().find(|event| event.cursor == after);
        !self.faults.old
            && after > 0
            && mark.is_some_and(|mark| match there {
                Some(event) => !mark.is_empty() && event.mark.as_deref() != Some(mark),
                None => true,
            })
    }
}

pub(super) async fn fetch(State(fake): State<Fake>, Json(request): Json<FetchRequest>) -> Response {
    let mut inner = fake.lock();
    if inner.faults.old {
        return problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is nothing at this path");
    }
    if inner.faults.refused_fetches > 0 {
        inner.faults.refused_fetches -= 1;
        return problem(StatusCode::TOO_MANY_REQUESTS, ErrorCode::OverQuota, "too many requests");
    }
    if inner.is_foreign(request.after, request.mark.as_deref()) {
        return Json(FetchAnswer { results: Vec::new(), reset: true }).into_response();
    }
    inner.seen.wanted.extend(request.want.iter().cloned());
    inner.seen.fetched.extend(request.fetched);
    let gone = inner.faults.results_gone;
    let results = request.want.iter().map(|key| {
        let found = inner.events.iter().filter(|event| event.upload == key.upload && !gone);
        let mut found = found.filter_map(|event| match &event.kind {
            EventKind::Result { index, outcome, sealed } if *index == key.index => Some((*outcome, sealed.clone())),
            _ => None,
        });
        match found.next_back() {
            Some((outcome, sealed)) => {
                let sha256 = match &sealed {
                    Some(SealedResult::Inline(bytes)) => Some(Digest::of(&bytes.0).to_string()),
                    _ => None,
                };
                Item::Ok(FetchedResult { outcome, sealed, sha256, kept: true })
            }
            None => Item::Error(ErrorBody { code: ErrorCode::NotFound, message: "no such result".into(), hint: None }),
        }
    });
    Json(FetchAnswer { results: results.collect(), reset: false }).into_response()
}

pub(super) async fn events(State(fake): State<Fake>, Query(query): Query<EventQuery>) -> Json<EventPage> {
    let mut inner = fake.lock();
    inner.seen.read_again += u32::from(query.limit == Some(1));
    Json(inner.page(&query))
}

pub(super) async fn stream(State(fake): State<Fake>, Query(query): Query<EventQuery>, headers: HeaderMap) -> Response {
    if fake.lock().faults.no_stream {
        return problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "no streams here");
    }
    let after: i64 = headers["last-event-id"].to_str().unwrap().parse().unwrap();
    let (life, is_foreign) = {
        let mut inner = fake.lock();
        inner.seen.streams += 1;
        let is_foreign = inner.faults.resets > 0;
        inner.faults.resets -= u32::from(is_foreign);
        (inner.life, is_foreign)
    };
    let start = (fake, EventQuery { after, limit: Some(100), ..query });
    let pages = futures::stream::unfold(start, move |(fake, query)| async move {
        loop {
            if fake.lock().life != life || query.after < 0 {
                return None;
            }
            let page = match is_foreign {
                true => EventPage { events: Vec::new(), next: 0, reset: true },
                false => fake.lock().page(&query),
            };
            if !page.events.is_empty() || page.reset {
                let text =
                    format!("event: page\nid: {}\ndata: {}\n\n", page.next, serde_json::to_string(&page).unwrap());
                // After a reset the stream ends, as it should.
                let after = if page.reset && !is_foreign { -1 } else { page.next };
                let mark = page.events.last().and_then(|event| event.mark.clone());
                return Some((Ok::<_, std::io::Error>(Bytes::from(text)), (fake, EventQuery { after, mark, ..query })));
            }
            // The fake's own clock, not the test's: it stands for a database that is polled.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pages)).into_response()
}
