//! Engine releases and pools.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use filemill_api::{ComponentUrl, Pools, PublishPool, Releases};

use super::auth::{Anyone, Processor};
use super::body::{JsonBody, PathParts};
use super::leases::get;
use super::{App, Refusal};

/// The releases that the caller's organisation may use. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = "/v1/releases", tag = "releases", responses((status = OK, body = Releases)))]
pub(super) async fn list(State(app): State<App>, Anyone(caller): Anyone) -> Result<Json<Releases>, Refusal> {
    Ok(Json(app.rules.releases(&caller).await?))
}

/// Signs a GET of a release's component. Changes nothing.
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
    _: Processor,
    PathParts(digest): PathParts<String>,
) -> Result<Json<ComponentUrl>, Refusal> {
    let object = app.rules.component(&digest).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ComponentUrl { get: get(&signer, &object)? }))
}

/// The statements of pools about their recipients, as they were signed. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = "/v1/pools", tag = "pools", responses((status = OK, body = Pools)))]
pub(super) async fn pools(State(app): State<App>, _: Anyone) -> Result<Json<Pools>, Refusal> {
    Ok(Json(app.rules.pools().await?))
}

/// Keeps a pool's statement, to pass it on; whether to believe it is for the clients, who hold the pool's root.
///
/// Scope `processor`.
#[utoipa::path(
    post,
    path = "/v1/pools",
    tag = "pools",
    request_body = PublishPool,
    responses((status = NO_CONTENT, description = "it is kept")),
)]
pub(super) async fn publish_pool(
    State(app): State<App>,
    _: Processor,
    JsonBody(request): JsonBody<PublishPool>,
) -> Result<StatusCode, Refusal> {
    app.rules.publish_pool(&request.pool).await?;
    Ok(StatusCode::NO_CONTENT)
}
