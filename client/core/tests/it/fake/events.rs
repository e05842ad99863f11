//! What the fake tells: pages of events, a stream of them, and results that are asked for again.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use filemill_api::{
    ErrorBody, ErrorCode, Event, EventKind, EventPage, EventQuery, FetchAnswer, FetchRequest, FetchedResult, Item,
    SealedResult, v1,
};
use filemill_seal::Digest;

use super::majors::as_one_each;
use super::{Fake, Inner, problem};

impl Inner {
    fn page(&mut self, query: &EventQuery) -> EventPage {
        let EventQuery { after, mark, limit, .. } = query;
        if self.is_foreign(*after, mark.as_deref()) {
            return EventPage { events: Vec::new(), next: 0, reset: true };
        }
        let limit = limit.unwrap_or(100) as usize;
        let mut events: Vec<Event> =
            self.events.iter().filter(|event| event.cursor > *after).take(limit).cloned().collect();
        for event in &mut events {
            if let EventKind::Results { sealed: Some(SealedResult::Inline(bytes)), .. } = &mut event.kind
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

/// A query of version 1, which names no device.
pub(super) fn in_v2(query: v1::EventQuery) -> EventQuery {
    let v1::EventQuery { after, mark, limit } = query;
    EventQuery { after, mark, limit, device: None }
}

pub(super) async fn fetch(State(fake): State<Fake>, Json(request): Json<FetchRequest>) -> Response {
    match fetched(&fake, request) {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => *refusal,
    }
}

pub(super) fn fetched(fake: &Fake, request: FetchRequest) -> Result<FetchAnswer, Box<Response>> {
    let mut inner = fake.lock();
    if inner.faults.old {
        return Err(Box::new(problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is nothing at this path")));
    }
    if inner.faults.refused_fetches > 0 {
        inner.faults.refused_fetches -= 1;
        return Err(Box::new(problem(StatusCode::TOO_MANY_REQUESTS, ErrorCode::OverQuota, "too many requests")));
    }
    if inner.is_foreign(request.after, request.mark.as_deref()) {
        return Ok(FetchAnswer { results: Vec::new(), reset: true });
    }
    inner.seen.devices.insert(request.device.clone());
    inner.seen.wanted.extend(request.want.iter().cloned());
    inner.seen.fetched.extend(request.fetched);
    let (gone, only_wanted) = (inner.faults.results_gone, inner.faults.names_only_wanted);
    let results = request.want.iter().map(|key| {
        let found = inner.events.iter().filter(|event| event.upload == key.upload && !gone);
        let mut found = found.filter_map(|event| match &event.kind {
            EventKind::Results { jobs, sealed } if jobs.iter().any(|one| one.job == key.job) => {
                Some((jobs.clone(), sealed.clone()))
            }
            _ => None,
        });
        match found.next_back() {
            Some((mut jobs, sealed)) => {
                let sha256 = match &sealed {
                    Some(SealedResult::Inline(bytes)) => Some(Digest::of(&bytes.0).to_string()),
                    _ => None,
                };
                jobs.retain(|one| !only_wanted || one.job == key.job);
                Item::Ok(FetchedResult { jobs, sealed, sha256, kept: true })
            }
            None => Item::Error(ErrorBody { code: ErrorCode::NotFound, message: "no such result".into(), hint: None }),
        }
    });
    Ok(FetchAnswer { results: results.collect(), reset: false })
}

pub(super) async fn events(State(fake): State<Fake>, Query(query): Query<EventQuery>) -> Json<EventPage> {
    Json(read(&fake, &query))
}

pub(super) fn read(fake: &Fake, query: &EventQuery) -> EventPage {
    let mut inner = fake.lock();
    inner.seen.devices.insert(query.device.clone());
    inner.seen.read_again += u32::from(query.limit == Some(1));
    inner.page(query)
}

pub(super) async fn stream(state: State<Fake>, Query(query): Query<EventQuery>, headers: HeaderMap) -> Response {
    streamed(state, query, &headers, |page| serde_json::to_string(&page).unwrap())
}

pub(super) async fn stream_v1(state: State<Fake>, Query(query): Query<v1::EventQuery>, headers: HeaderMap) -> Response {
    let write: fn(EventPage) -> String = match state.lock().faults.tells_batches_as_one {
        true => |page| serde_json::to_string(&as_one_each(page)).unwrap(),
        false => |page| serde_json::to_string(&v1::EventPage::from(page)).unwrap(),
    };
    streamed(state, in_v2(query), &headers, write)
}

fn streamed(
    State(fake): State<Fake>,
    query: EventQuery,
    headers: &HeaderMap,
    write: fn(EventPage) -> String,
) -> Response {
    if fake.lock().faults.no_stream {
        return problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "no streams here");
    }
    let after: i64 = headers["last-event-id"].to_str().unwrap().parse().unwrap();
    let (life, is_foreign) = {
        let mut inner = fake.lock();
        inner.seen.streams += 1;
        inner.seen.devices.insert(query.device.clone());
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
                // After a reset the stream ends, as it should.
                let after = if page.reset && !is_foreign { -1 } else { page.next };
                let mark = page.events.last().and_then(|event| event.mark.clone());
                let text = format!("event: page\nid: {}\ndata: {}\n\n", page.next, write(page.clone()));
                return Some((Ok::<_, std::io::Error>(Bytes::from(text)), (fake, EventQuery { after, mark, ..query })));
            }
            // The fake's own clock, not the test's: it stands for a database that is polled.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    ([("content-type", "text/event-stream")], Body::from_stream(pages)).into_response()
}
