//! Engine releases and pools.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use filemill_api::limits::MAX_DESCRIPTION_BYTES;
use filemill_api::{ComponentUrl, DescriptionQuery, Releases, ReleasesQuery, paths};

use super::LIST_ROOM_BYTES;
use crate::http::app::App;
use crate::http::auth::{Anyone, Offers, Processor, Reads};
use crate::http::body::{JsonText, PathParts, QueryParts};
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::sign::get;

/// The releases that the caller's organisation may use. Changes nothing.
///
/// Any scope.
#[utoipa::path(
    get,
    path = paths::RELEASES,
    tag = "releases",
    params(ReleasesQuery),
    responses((status = OK, body = Releases)),
)]
pub(in crate::http) async fn list(
    Anyone(caller): Anyone,
    State(app): State<App>,
    ticket: Ticket,
    QueryParts(query): QueryParts<ReleasesQuery>,
) -> Result<Response, Refusal> {
    let room = ticket.reserve_some(&app, LIST_ROOM_BYTES).await?;
    ticket.answer(room, &app.catalog.releases(&caller, query.pool.as_deref()).await?)
}

/// Keeps what a release's engine says of itself, to pass it on as the newest word of the token's pool, beside the older ones.
/// Whether to believe it is for the clients: a processor names the document's SHA-256 in each result.
///
/// Scope `processor`.
#[utoipa::path(
    put,
    path = paths::DESCRIPTION,
    tag = "releases",
    params(("digest" = String, Path, description = "SHA-256 of the component, hex")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "the document, an object"),
    responses((status = NO_CONTENT, description = "there is one now")),
)]
pub(in crate::http) async fn describe(
    own: Processor<Offers>,
    State(app): State<App>,
    PathParts(digest): PathParts<String>,
    JsonText(document): JsonText,
) -> Result<StatusCode, Refusal> {
    app.catalog.describe_release(&own, &digest, &document).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a release's engine says of itself, byte for byte as a processor sent it. Changes nothing.
///
/// Any scope.
#[utoipa::path(
    get,
    path = paths::DESCRIPTION,
    tag = "releases",
    params(("digest" = String, Path, description = "SHA-256 of the component, hex"), DescriptionQuery),
    responses((status = OK, description = "the document, an object", content_type = "application/json")),
)]
pub(in crate::http) async fn description(
    Anyone(caller): Anyone,
    State(app): State<App>,
    ticket: Ticket,
    PathParts(digest): PathParts<String>,
    QueryParts(query): QueryParts<DescriptionQuery>,
) -> Result<impl IntoResponse, Refusal> {
    let _making = ticket.reserve(&app, MAX_DESCRIPTION_BYTES).await?;
    Ok(([(CONTENT_TYPE, "application/json")], app.catalog.description(&caller, &digest, &query).await?))
}

/// Signs a GET of the component of a release, or of one that nodes of the token's pool brought. Changes nothing.
///
/// Scope `processor`.
#[utoipa::path(
    get,
    path = paths::COMPONENT,
    tag = "releases",
    params(("digest" = String, Path, description = "SHA-256 of the component, hex")),
    responses((status = OK, body = ComponentUrl)),
)]
pub(in crate::http) async fn component(
    own: Processor<Reads>,
    State(app): State<App>,
    PathParts(digest): PathParts<String>,
) -> Result<Json<ComponentUrl>, Refusal> {
    let object = app.catalog.component(&own, &digest).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ComponentUrl { get: get(&signer, &object)? }))
}
