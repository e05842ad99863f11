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
use crate::http::queue::events;

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
