//! Engine releases and pools.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use filemill_api::limits::MAX_DESCRIPTION_BYTES;
use filemill_api::{ComponentUrl, DescriptionQuery, Pools, PublishPool, Releases, ReleasesQuery};

use super::auth::{Anyone, Processor};
use super::body::{JsonBody, JsonText, PathParts, QueryParts};
use super::caller::Ticket;
use super::leases::get;
use super::{App, Refusal};

/// What a list may take while it is made; nearly all are far shorter.
const LIST_ROOM_BYTES: usize = 2 << 20;

/// The releases that the caller's organisation may use. Changes nothing.
///
/// Any scope.
#[utoipa::path(
    get,
    path = "/v1/releases",
    tag = "releases",
    params(ReleasesQuery),
    responses((status = OK, body = Releases)),
)]
pub(super) async fn list(
    State(app): State<App>,
    Anyone(caller): Anyone,
    ticket: Ticket,
    QueryParts(query): QueryParts<ReleasesQuery>,
) -> Result<Response, Refusal> {
    let room = ticket.reserve_some(&app, LIST_ROOM_BYTES).await?;
    ticket.answer(room, &app.rules.releases(&caller, query.pool.as_deref()).await?)
}

/// Keeps what a release's engine says of itself, to pass it on as the newest word of the token's pool, beside the older ones.
/// Whether to believe it is for the clients: a processor names the document's SHA-256 in each result.
///
/// Scope `processor`.
#[utoipa::path(
    put,
    path = "/v1/releases/{digest}/description",
    tag = "releases",
    params(("digest" = String, Path, description = "SHA-256 of the component, hex")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "the document, an object"),
    responses((status = NO_CONTENT, description = "there is one now")),
)]
pub(super) async fn describe(
    State(app): State<App>,
    Processor(own): Processor,
    PathParts(digest): PathParts<String>,
    JsonText(document): JsonText,
) -> Result<StatusCode, Refusal> {
    app.rules.describe_release(&own, &digest, &document).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a release's engine says of itself, byte for byte as a processor sent it. Changes nothing.
///
/// Any scope.
#[utoipa::path(
    get,
    path = "/v1/releases/{digest}/description",
    tag = "releases",
    params(("digest" = String, Path, description = "SHA-256 of the component, hex"), DescriptionQuery),
    responses((status = OK, description = "the document, an object", content_type = "application/json")),
)]
pub(super) async fn description(
    State(app): State<App>,
    Anyone(caller): Anyone,
    ticket: Ticket,
    PathParts(digest): PathParts<String>,
    QueryParts(query): QueryParts<DescriptionQuery>,
) -> Result<impl IntoResponse, Refusal> {
    let _making = ticket.reserve(&app, MAX_DESCRIPTION_BYTES).await?;
    Ok(([(CONTENT_TYPE, "application/json")], app.rules.description(&caller, &digest, &query).await?))
}

/// Signs a GET of the component of a release, or of one that nodes of the token's pool brought. Changes nothing.
///
/// Scope `processor`.
#[utoipa::path(
    get,
    path = "/v1/releases/{digest}/component",
    tag = "releases",
    params(("digest" = String, Path, description = "SHA-256 of the component, hex")),
    responses((status = OK, body = ComponentUrl)),
)]
pub(super) async fn component(
    State(app): State<App>,
    Processor(own): Processor,
    PathParts(digest): PathParts<String>,
) -> Result<Json<ComponentUrl>, Refusal> {
    let object = app.rules.component(&own, &digest).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ComponentUrl { get: get(&signer, &object)? }))
}

/// The statements about their recipients of the pools that serve the caller's organisation, as they were signed. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = "/v1/pools", tag = "pools", responses((status = OK, body = Pools)))]
pub(super) async fn pools(State(app): State<App>, Anyone(caller): Anyone, ticket: Ticket) -> Result<Response, Refusal> {
    let room = ticket.reserve_some(&app, LIST_ROOM_BYTES).await?;
    ticket.answer(room, &app.rules.pools(&caller).await?)
}

/// Keeps a pool's statement that its root signed, to pass it on; clients check it again, by the root that they pinned.
///
/// Scope `processor`, for the token's pool only.
#[utoipa::path(
    post,
    path = "/v1/pools",
    tag = "pools",
    request_body = PublishPool,
    responses((status = NO_CONTENT, description = "it is kept")),
)]
pub(super) async fn publish_pool(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<PublishPool>,
) -> Result<StatusCode, Refusal> {
    app.rules.publish_pool_by(&own, &request.pool, request.root.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
