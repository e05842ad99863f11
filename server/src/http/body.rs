//! Reads what a caller sends: bodies, path parts and queries, each refused in the one shape.

use std::marker::PhantomData;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use filemill_api::ErrorCode;
use filemill_api::limits::{
    MAX_BODY_BYTES, MAX_DESCRIPTION_BYTES, MAX_JOIN_BODY_BYTES, MAX_MEDIUM_BODY_BYTES, MAX_SMALL_BODY_BYTES,
};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::app::App;
use super::caller::Ticket;
use super::problem::Refusal;
use super::texts::{MAX_TEXT_BYTES, has_overlong};
use crate::shown::shown_error;

/// Least room that is taken for a body, and up to which it is free again when it is understood.
const FIRST_BYTES: usize = 1 << 10;
const SMALL_BYTES: usize = 64 << 10;
const DESCRIBED: &str = "`/v2/openapi.json` describes what this call takes";

/// How long a body may be: what the lists of its call may hold takes no more.
pub(super) trait Size {
    /// In bytes.
    const MOST: usize;
}

/// At most [`MAX_BODY_BYTES`].
pub(super) struct Large;
/// At most [`MAX_MEDIUM_BODY_BYTES`].
pub(super) struct Medium;
/// At most [`MAX_SMALL_BODY_BYTES`].
pub(super) struct Small;
/// At most [`MAX_JOIN_BODY_BYTES`]: what somebody sends who has no token.
pub(super) struct Tiny;

impl Size for Large {
    const MOST: usize = MAX_BODY_BYTES;
}

impl Size for Medium {
    const MOST: usize = MAX_MEDIUM_BODY_BYTES;
}

impl Size for Small {
    const MOST: usize = MAX_SMALL_BODY_BYTES;
}

impl Size for Tiny {
    const MOST: usize = MAX_JOIN_BODY_BYTES;
}

/// A JSON body, as long as its call needs.
///
/// It is an extractor's last: by then the caller is known, so that nobody without a token gets memory, but for a one-time code's. Each gets
/// room as it comes, of its caller's own, whatever its head announces.
pub(super) struct JsonBody<T, L> {
    pub(super) value: T,
    size: PhantomData<fn() -> L>,
}

/// A JSON body of at most [`MAX_DESCRIPTION_BYTES`], kept as it is written. Whether it is JSON is for whoever takes it.
pub(super) struct JsonText(pub(super) String);

impl<T: DeserializeOwned, L: Size> FromRequest<App> for JsonBody<T, L> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        read(request, app, L::MOST, |bytes| {
            if has_overlong(bytes) {
                let message = format!("a text in the body is longer than {MAX_TEXT_BYTES} bytes");
                return Err(Refusal::new(ErrorCode::BadRequest, message)
                    .with_status(StatusCode::PAYLOAD_TOO_LARGE)
                    .hint(DESCRIBED));
            }
            serde_json::from_slice(bytes).map(|value| Self { value, size: PhantomData }).map_err(|error| {
                let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
                Refusal::new(ErrorCode::BadRequest, says(&error)).with_status(status).hint(DESCRIBED)
            })
        })
        .await
    }
}

impl FromRequest<App> for JsonText {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        read(request, app, MAX_DESCRIPTION_BYTES, |bytes| {
            let text = std::str::from_utf8(bytes);
            text.map(|text| Self(text.to_owned()))
                .map_err(|_| Refusal::new(ErrorCode::BadRequest, "the body is not UTF-8"))
        })
        .await
    }
}

/// Reads a JSON body of at most `max_bytes`, and hands it on while its room is held.
async fn read<T>(
    request: Request,
    app: &App,
    max_bytes: usize,
    take: impl FnOnce(&[u8]) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let is_json =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|text| {
            let mut parts = text.split(';').map(str::trim);
            parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) && parts.all(is_utf8)
        });
    if !is_json {
        return Err(Refusal::new(ErrorCode::BadRequest, "the body must be JSON, in UTF-8")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .hint("send `content-type: application/json`"));
    }
    let announced: Option<usize> =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let most = announced.unwrap_or(max_bytes);
    if most > max_bytes {
        return Err(too_large(max_bytes));
    }
    let ticket = request.extensions().get::<Ticket>().cloned().ok_or_else(|| Refusal::fault("a body of nobody's"))?;
    // Here the caller is waited for, which has to keep the lowest rate; its connection ends otherwise.
    let stopped = ticket.clock.stop();
    let mut room = app.callers.body(&ticket.account, ticket.kind);
    let mut bytes = Vec::new();
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::new(ErrorCode::BadRequest, "the body did not arrive in full"))?;
        let length = bytes.len() + piece.len();
        if length > most {
            return Err(too_large(max_bytes));
        }
        if length > bytes.capacity() {
            let larger = (bytes.capacity() * 2).max(length).max(FIRST_BYTES).min(most);
            // Nobody waits with a small one: as many of them may come at once as a caller has places.
            let has_room = if max_bytes <= SMALL_BYTES { room.grow_now(larger) } else { room.grow(larger).await };
            if !has_room {
                return Err(Refusal::new(
                    ErrorCode::Unavailable,
                    "other bodies of this caller take all the room it has",
                )
                .hint("send them one after the other, or in smaller batches"));
            }
            bytes.reserve_exact(larger - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() <= SMALL_BYTES {
        drop(stopped);
        // A body may take hours.
        ticket.still_holds(app).await?;
        return take(&bytes);
    }
    // What becomes of it takes more room than itself, until the call is answered.
    let turn = app.callers.work(&ticket.account, ticket.kind, bytes.len()).await.ok_or_else(|| {
        Refusal::new(ErrorCode::Unavailable, "too many large bodies are worked on")
            .hint("send them one after the other, or in smaller batches")
    })?;
    drop(stopped);
    ticket.still_holds(app).await?;
    let taken = take(&bytes);
    ticket.while_worked_on((room, turn));
    taken
}

/// Whether this parameter of a media type names no other encoding.
fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return true };
    !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
}

/// What a parser found, without all that it found it in.
fn says(error: &serde_json::Error) -> String {
    let text = format!("the body is not what this call takes: {}", shown_error(error));
    if text.ends_with('…') { format!("{text} (line {}, column {})", error.line(), error.column()) } else { text }
}

/// The parts of the path that the route names.
pub(super) struct PathParts<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for PathParts<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let found: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, app).await;
        found
            .map(|Path(value)| Self(value))
            .map_err(|error| Refusal::new(ErrorCode::BadRequest, lower(&shown_error(&error.body_text()))))
    }
}

/// The query.
pub(super) struct QueryParts<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for QueryParts<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let found: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, app).await;
        found.map(|Query(value)| Self(value)).map_err(|error| {
            Refusal::new(ErrorCode::BadRequest, lower(&shown_error(&error.body_text()))).hint(DESCRIBED)
        })
    }
}

fn too_large(max_bytes: usize) -> Refusal {
    let refusal = Refusal::new(ErrorCode::BadRequest, format!("the body is larger than {max_bytes} bytes"))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE);
    if max_bytes != MAX_DESCRIPTION_BYTES { refusal.hint("send it in smaller batches") } else { refusal }
}

/// The framework's texts begin with a capital.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
