//! What a client is told: pages of events, and a stream of such pages.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use filemill_api::{Base64, ErrorBody, ErrorCode, Event, EventKind, EventPage, EventQuery, SealedResult};
use futures::Stream;
use tokio::time::Instant;

use super::auth::{Token, User};
use super::body::QueryParts;
use super::leases::get;
use super::{App, Refusal};
use crate::rules::{Caller, RecordedEvent, RecordedKind, RecordedResult, Scope};
use crate::storage::Signer;

/// Most events in one message of a stream.
const STREAM_PAGE: u32 = 256;
/// A comment is sent this often when nothing happens, so that a dead connection is noticed on both ends.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stream goes on before it asks again whether its token still holds.
const TOKEN_RECHECK: Duration = Duration::from_secs(10);

/// A page of the caller's events behind a cursor. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(EventQuery),
    responses((status = OK, body = EventPage)),
)]
pub(super) async fn page(
    State(app): State<App>,
    User(caller): User,
    QueryParts(query): QueryParts<EventQuery>,
) -> Result<Json<EventPage>, Refusal> {
    Ok(Json(read(&app, &caller, query.after, query.limit).await?))
}

/// The caller's events behind a cursor, as server-sent events named `page`: the data of each is a page, its id the
/// cursor to go on from. It stays open until the server stops or the token is revoked. Changes nothing.
///
/// Every message is a query over rows; being woken only says when to ask, so that nothing is lost between two.
///
/// Scope `user`.
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "events",
    params(
        EventQuery,
        ("last-event-id" = Option<i64>, Header, description = "only events after this cursor; goes before the query"),
    ),
    responses((status = OK, body = EventPage, content_type = "text/event-stream")),
)]
pub(super) async fn stream(
    State(app): State<App>,
    User(caller): User,
    token: Token,
    QueryParts(query): QueryParts<EventQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Refusal> {
    let after = match headers.get("last-event-id") {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Refusal::new(ErrorCode::BadRequest, "the header `last-event-id` is not a cursor")
                .hint("send back the id of the last event, or nothing to begin at the beginning")
        })?,
        None => query.after,
    };
    let limit = query.limit.unwrap_or(STREAM_PAGE).min(STREAM_PAGE);
    Ok(Sse::new(pages(app, caller, token, after, limit)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn pages(
    app: App,
    caller: Caller,
    token: Token,
    mut after: i64,
    limit: u32,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    async_stream::stream! {
        // Before the first query: what happens from now on wakes it.
        let mut listener = app.rules.watch_events(&caller);
        let mut checked = Instant::now();
        while !app.stop.is_cancelled() {
            if checked.elapsed() > TOKEN_RECHECK {
                match token.check(&app).await {
                    Ok(now) if now.require(&[Scope::User]).is_ok() && now.member == caller.member => {}
                    _ => break,
                }
                checked = Instant::now();
            }
            // A client whose stream ends comes again, and is then told why it cannot.
            let Ok(page) = read(&app, &caller, after, Some(limit)).await else { break };
            if page.events.is_empty() {
                let woken = tokio::time::timeout(TOKEN_RECHECK, listener.changed());
                if app.stop.run_until_cancelled(woken).await.is_none() {
                    break;
                }
                continue;
            }
            after = page.next;
            match sse::Event::default().event("page").id(after.to_string()).json_data(&page) {
                Ok(message) => yield Ok(message),
                Err(error) => {
                    tracing::error!(%error, "a page of events could not be written");
                    break;
                }
            }
        }
    }
}

async fn read(app: &App, caller: &Caller, after: i64, limit: Option<u32>) -> Result<EventPage, Refusal> {
    let recorded = app.rules.events(caller, after, limit).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let events = recorded.events.into_iter().map(|event| sign(&signer, event)).collect::<Result<_, _>>()?;
    Ok(EventPage { events, next: recorded.next })
}

fn sign(signer: &Signer, event: RecordedEvent) -> Result<Event, ErrorBody> {
    let kind = match event.kind {
        RecordedKind::Result { index, outcome, sealed } => {
            let sealed = match sealed {
                Some(RecordedResult::Inline(bytes)) => Some(SealedResult::Inline(Base64(bytes))),
                Some(RecordedResult::Object(object)) => Some(SealedResult::Object(get(signer, &object)?)),
                None => None,
            };
            EventKind::Result { index, outcome, sealed }
        }
        RecordedKind::ChunksMissing { sequences } => EventKind::ChunksMissing { sequences },
    };
    Ok(Event { cursor: event.cursor, upload: event.upload, kind })
}
