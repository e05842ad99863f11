//! Reads what a caller sends: bodies, path parts and queries, each refused in the one shape.

use axum::body::to_bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use filemill_api::limits::{MAX_BODY_BYTES, MAX_DESCRIPTION_BYTES};
use filemill_api::{ErrorCode, paths};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::{App, Refusal};

/// What one permit of [`Bodies`] stands for.
const BODY_UNIT_BYTES: usize = 64 << 10;
/// What all bodies of a kind that are being read may take together.
const BODY_PERMITS: usize = (128 << 20) / BODY_UNIT_BYTES;

/// Room for bodies. What processors say has its own, so that no user's slow body can keep a lease from being reported.
pub(super) struct Bodies {
    processors: Semaphore,
    others: Semaphore,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { processors: Semaphore::new(BODY_PERMITS), others: Semaphore::new(BODY_PERMITS) }
    }
}

impl Bodies {
    /// The room for a request of this path, whose caller was found to have the scope that the path asks for.
    fn of(&self, path: &str) -> &Semaphore {
        if path == paths::FETCH {
            return &self.others;
        }
        let processors = [paths::LEASES, paths::RESULTS, paths::POOLS, paths::RELEASES]
            .iter()
            .any(|prefix| path.starts_with(prefix));
        if processors { &self.processors } else { &self.others }
    }
}

/// A JSON body of at most [`MAX_BODY_BYTES`].
///
/// It is an extractor's last: by then the caller is known, so that nobody without a token gets memory. Each waits for its
/// room.
pub(super) struct JsonBody<T>(pub(super) T);

/// A JSON body of at most [`MAX_DESCRIPTION_BYTES`], kept as it is written. Whether it is JSON is for whoever takes it.
pub(super) struct JsonText(pub(super) String);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        read(request, app, MAX_BODY_BYTES, |bytes| {
            serde_json::from_slice(bytes).map(Self).map_err(|error| {
                let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
                Refusal::new(ErrorCode::BadRequest, format!("the body is not what this call takes: {error}"))
                    .with_status(status)
                    .hint("`/v1/openapi.json` describes it")
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
            let kind = text.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        });
    if !is_json {
        return Err(Refusal::new(ErrorCode::BadRequest, "the body must be JSON")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .hint("send `content-type: application/json`"));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length = announced.unwrap_or(max_bytes);
    if length > max_bytes {
        return Err(too_large(max_bytes));
    }
    let permits = u32::try_from(length.div_ceil(BODY_UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
    let _room = app.bodies.of(request.uri().path()).acquire_many(permits).await.map_err(Refusal::fault)?;
    let bytes = to_bytes(request.into_body(), length).await.map_err(|error| {
        if announced.is_none() && format!("{error:?}").contains("LengthLimit") {
            too_large(max_bytes)
        } else {
            Refusal::new(ErrorCode::BadRequest, "the body did not arrive in full")
        }
    })?;
    take(&bytes)
}

/// The parts of the path that the route names.
pub(super) struct PathParts<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for PathParts<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let found: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, app).await;
        found
            .map(|Path(value)| Self(value))
            .map_err(|error| Refusal::new(ErrorCode::BadRequest, lower(&error.body_text())))
    }
}

/// The query.
pub(super) struct QueryParts<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for QueryParts<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let found: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, app).await;
        found
            .map(|Query(value)| Self(value))
            .map_err(|error| Refusal::new(ErrorCode::BadRequest, lower(&error.body_text())))
    }
}

fn too_large(max_bytes: usize) -> Refusal {
    let refusal = Refusal::new(ErrorCode::BadRequest, format!("the body is larger than {max_bytes} bytes"))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE);
    if max_bytes == MAX_BODY_BYTES { refusal.hint("send it in smaller batches") } else { refusal }
}

/// The framework's texts begin with a capital.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
