//! What a client is told: pages of events, and a stream of such pages.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use filemill_api::limits::MAX_EVENTS;
use filemill_api::{Base64, ErrorBody, ErrorCode, Event, EventKind, EventPage, EventQuery, SealedResult, paths};
use futures::Stream;
use serde::Serialize;
use tokio::time::Instant;

use crate::accounts::Caller;
use crate::callers::Permit;
use crate::http::app::App;
use crate::http::auth::User;
use crate::http::body::QueryParts;
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::sign::get;
use crate::queue::{Device, FEW_EVENTS, Mark, Position, RecordedEvent, RecordedEvents, RecordedKind, RecordedResult};
use crate::storage::Signer;

/// What a page takes while it is made, at most. One of few events takes no more than a caller has in any case.
const PAGE_ROOM_BYTES: usize = 3 << 20;
/// Most events in one message of a stream.
const STREAM_PAGE: u32 = 256;
/// A comment is sent this often when nothing happens, so that a dead connection is noticed on both ends.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stream that has nothing to say goes on before it asks again whether its token still holds.
const TOKEN_RECHECK: Duration = Duration::from_secs(10);

/// A page of the caller's events behind a cursor. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get,
    path = paths::EVENTS,
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
    page_as::<EventPage>(&caller, &app, &ticket, &query).await
}

/// A page in the words of one version.
pub(in crate::http) trait Page: Serialize + From<EventPage> {
    /// Leaves out what would be more than so many events in these words, but for the first.
    fn cut(_recorded: &mut RecordedEvents, _limit: u32) {}
}

impl Page for EventPage {}

/// The same, in the words of whichever version it was asked.
pub(in crate::http) async fn page_as<A: Page>(
    caller: &Caller,
    app: &App,
    ticket: &Ticket,
    query: &EventQuery,
) -> Result<Response, Refusal> {
    let position = position(query.after, query.mark.as_deref(), query.device.as_deref())?;
    let room = ticket.reserve_some(app, PAGE_ROOM_BYTES).await?;
    let limit = fitting(&room, query.limit);
    let mut recorded = app.queue.events_behind(caller, position, limit).await?;
    A::cut(&mut recorded, limit.unwrap_or(MAX_EVENTS).min(MAX_EVENTS));
    ticket.answer(room, &A::from(signed(app, recorded).await?))
}

/// The caller's events behind a cursor, as server-sent events named `page`: the data of each is a page, its id the
/// cursor to go on from, with its mark. A page that says `reset` is the last one. It stays open until the server stops or the token is revoked. Changes nothing.
///
/// Every message is a query over rows; being woken only says when to ask, so that nothing is lost between two.
///
/// Scope `user`.
#[utoipa::path(
    get, path = paths::EVENT_STREAM, tag = "events",
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
    stream_as::<EventPage>(caller, app, ticket, &query, &headers)
}

/// The same, in the words of whichever version it was asked.
pub(in crate::http) fn stream_as<A: Page + Send + 'static>(
    caller: Caller,
    app: App,
    ticket: Ticket,
    query: &EventQuery,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let position = match headers.get("last-event-id") {
        Some(value) => {
            let text = value.to_str().map_err(|_| no_cursor())?;
            last_event(text, query.mark.as_deref(), query.device.as_deref())?
        }
        None => position(query.after, query.mark.as_deref(), query.device.as_deref())?,
    };
    let limit = query.limit.unwrap_or(STREAM_PAGE).min(STREAM_PAGE);
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((head, Body::from_stream(pages::<A>(app, caller, ticket, position, limit))).into_response())
}

fn pages<A: Page + Send + 'static>(
    app: App,
    caller: Caller,
    ticket: Ticket,
    position: Position,
    limit: u32,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    async_stream::stream! {
        // Before the first query: what happens from now on wakes it.
        let mut listener = app.queue.watch_events(&caller);
        let mut checked = Instant::now();
        // Nothing was sent yet: the caller goes on from where it says.
        let mut last: Option<RecordedEvent> = None;
        let mut said = Instant::now();
        while !app.stop.is_cancelled() {
            if checked.elapsed() > TOKEN_RECHECK {
                if ticket.still_holds(&app).await.is_err() {
                    break;
                }
                checked = Instant::now();
            }
            // A client whose stream ends comes again, and is then told why it cannot. Its pages wait here until it has read the others.
            let Ok(mut room) = ticket.reserve_some(&app, PAGE_ROOM_BYTES).await else { break };
            let fitting = fitting(&room, Some(limit));
            let recorded = match &last {
                Some(last) => app.queue.events_on(&caller, position.device, last, fitting).await,
                None => app.queue.events_behind(&caller, position, fitting).await,
            };
            let Ok(mut recorded) = recorded else { break };
            if recorded.events.is_empty() && !recorded.reset {
                drop(room);
                if said.elapsed() >= KEEP_ALIVE {
                    said = Instant::now();
                    yield Ok(Bytes::from_static(b":\n\n"));
                }
                let woken = tokio::time::timeout(TOKEN_RECHECK.min(KEEP_ALIVE / 2), listener.changed());
                if app.stop.run_until_cancelled(woken).await.is_none() {
                    break;
                }
                continue;
            }
            A::cut(&mut recorded, fitting.unwrap_or(limit));
            // Whoever had the token a while ago is told nothing more.
            if ticket.still_holds(&app).await.is_err() {
                break;
            }
            last = recorded.events.last_mut().map(|last| RecordedEvent {
                // Its place only: what it brings goes to the caller.
                kind: RecordedKind::ChunksMissing { sequences: Vec::new() },
                upload: String::new(),
                cursor: last.cursor,
                mark: last.mark,
            });
            let Ok(page) = signed(&app, recorded).await else { break };
            let reset = page.reset;
            let id = last.as_ref().map_or_else(|| "0".to_owned(), |last| format!("{}-{:016x}", last.cursor, last.mark));
            said = Instant::now();
            match message(&id, &A::from(page)) {
                Ok(bytes) => {
                    room.set(bytes.len());
                    // The room is free when the last of it has been written.
                    yield Ok(Bytes::from_owner(Message { bytes, _room: room }));
                }
                Err(error) => {
                    tracing::error!(%error, "a page of events could not be written");
                    break;
                }
            }
            if reset {
                break;
            }
        }
    }
}

/// How many events a page may have in this room.
fn fitting(room: &Permit, limit: Option<u32>) -> Option<u32> {
    if room.held() >= PAGE_ROOM_BYTES { limit } else { Some(limit.unwrap_or(FEW_EVENTS).min(FEW_EVENTS)) }
}

/// A page as a server-sent event. Its JSON has no line breaks.
fn message<A: Serialize>(id: &str, page: &A) -> serde_json::Result<Vec<u8>> {
    let mut bytes = format!("event: page\nid: {id}\ndata: ").into_bytes();
    serde_json::to_writer(&mut bytes, page)?;
    bytes.extend_from_slice(b"\n\n");
    Ok(bytes)
}

/// A message on its way, and its room.
struct Message {
    bytes: Vec<u8>,
    _room: Permit,
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where a caller says that it is.
pub(in crate::http) fn position(after: i64, mark: Option<&str>, device: Option<&str>) -> Result<Position, Refusal> {
    let mark = match mark {
        None => Mark::Unsaid,
        Some("") => Mark::Unknown,
        Some(text) => Mark::Known(read_mark(text).ok_or_else(|| bad_cursor("`mark` is not 16 hex digits"))?),
    };
    let device = match device {
        None => None,
        Some(text) => Some(Device::parse(text).ok_or_else(|| {
            Refusal::new(ErrorCode::BadRequest, "`device` is not 32 lower-case hex digits")
                .hint("make it once, at random, and send it again each time")
        })?),
    };
    Ok(Position { after, mark, device })
}

/// A cursor, alone or with `-` and its mark; alone, the mark may stand in the query.
fn last_event(text: &str, mark: Option<&str>, device: Option<&str>) -> Result<Position, Refusal> {
    let (cursor, mark) = match text.split_once('-') {
        Some((cursor, mark)) if !cursor.is_empty() => {
            read_mark(mark).ok_or_else(no_cursor)?;
            (cursor, Some(mark))
        }
        _ => (text, mark),
    };
    position(cursor.parse().map_err(|_| no_cursor())?, mark, device)
}

fn no_cursor() -> Refusal {
    bad_cursor("the header `last-event-id` is not a cursor")
}

fn read_mark(text: &str) -> Option<i64> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok().map(u64::cast_signed)).flatten()
}

fn bad_cursor(message: &str) -> Refusal {
    Refusal::new(ErrorCode::BadRequest, message)
        .hint("send back the id of the last event, or nothing to begin at the beginning")
}

async fn signed(app: &App, recorded: RecordedEvents) -> Result<EventPage, Refusal> {
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let events = recorded.events.into_iter().map(|event| sign(&signer, event)).collect::<Result<_, _>>()?;
    Ok(EventPage { events, next: recorded.next, reset: recorded.reset })
}

fn sign(signer: &Signer, event: RecordedEvent) -> Result<Event, ErrorBody> {
    let kind = match event.kind {
        RecordedKind::Results { jobs, sealed } => {
            let sealed = sealed.map(|sealed| sign_result(signer, sealed)).transpose()?;
            EventKind::Results { jobs, sealed }
        }
        RecordedKind::ChunksMissing { sequences } => EventKind::ChunksMissing { sequences },
    };
    Ok(Event { cursor: event.cursor, mark: Some(format!("{:016x}", event.mark)), upload: event.upload, kind })
}

/// A sealed result as its reader gets it: a large one by a fresh URL.
pub(in crate::http) fn sign_result(signer: &Signer, sealed: RecordedResult) -> Result<SealedResult, ErrorBody> {
    Ok(match sealed {
        RecordedResult::Inline(bytes) => SealedResult::Inline(Base64(bytes)),
        RecordedResult::Object(object) => SealedResult::Object(get(signer, &object)?),
    })
}
