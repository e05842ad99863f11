//! What pools say of themselves.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use filemill_api::{Pools, PublishPool, paths};

use super::LIST_ROOM_BYTES;
use crate::http::app::App;
use crate::http::auth::{Anyone, Offers, Processor};
use crate::http::body::{JsonBody, Medium};
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;

/// The statements about their recipients of the pools that serve the caller's organisation, as they were signed. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = paths::POOLS, operation_id = "pools", tag = "pools", responses((status = OK, body = Pools)))]
pub(in crate::http) async fn list(
    Anyone(caller): Anyone,
    State(app): State<App>,
    ticket: Ticket,
) -> Result<Response, Refusal> {
    let room = ticket.reserve_some(&app, LIST_ROOM_BYTES).await?;
    ticket.answer(room, &app.catalog.pools(&caller).await?)
}

/// Keeps a pool's statement that its root signed, to pass it on; clients check it again, by the root that they pinned.
///
/// Scope `processor`, for the token's pool only.
#[utoipa::path(
    post,
    path = paths::POOLS,
    operation_id = "publish_pool",
    tag = "pools",
    request_body = PublishPool,
    responses((status = NO_CONTENT, description = "it is kept")),
)]
pub(in crate::http) async fn publish(
    own: Processor<Offers>,
    State(app): State<App>,
    body: JsonBody<PublishPool, Medium>,
) -> Result<StatusCode, Refusal> {
    let request = body.value;
    app.catalog.publish_pool_by(&own, &request.pool, request.root.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
