//! What a processor asks while it works: leases, chunks, reports.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use filemill_api::v1::{
    ChunksRequest, LeaseAnswer, LeaseRequest, MissingRequest, ReportAnswer, ReportRequest, ReturnRequest,
};
use filemill_api::{ChunksAnswer, paths};

use crate::http::app::App;
use crate::http::auth::{Polls, Processor, Reports};
use crate::http::body::{JsonBody, Medium, Small};
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::queue::leases;

/// Leases jobs to the caller's node, waiting for them up to the time it says; empty when none came, or the server
/// stops. May ask the node to describe releases, and does not wait then.
///
/// Scope `processor`, for the token's pool only.
#[utoipa::path(
    post,
    path = paths::v1::LEASES,
    tag = "leases",
    request_body = LeaseRequest,
    responses((status = OK, body = LeaseAnswer)),
)]
pub(in crate::http) async fn lease(
    own: Processor<Polls>,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<LeaseRequest, Small>,
) -> Result<Response, Refusal> {
    leases::lease_as::<LeaseAnswer>(&own, &app, &ticket, body.value.into()).await
}

/// Signs GETs of an upload's stored chunks, waiting for the first of them up to the time asked; empty when it did not
/// come, or the server stops.
///
/// Scope `processor`, and only under a lease that holds, in the token's pool.
#[utoipa::path(
    post,
    path = paths::v1::LEASE_CHUNKS,
    tag = "leases",
    request_body = ChunksRequest,
    responses((status = OK, body = ChunksAnswer)),
)]
pub(in crate::http) async fn chunks(
    own: Processor<Polls>,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<ChunksRequest, Small>,
) -> Result<Json<ChunksAnswer>, Refusal> {
    leases::chunks_of(&own, &app, &ticket, body.value.into()).await
}

/// Prolongs the node's leases and records what they are doing; says which to stop working on.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::v1::LEASE_REPORT,
    tag = "leases",
    request_body = ReportRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(in crate::http) async fn report(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<ReportRequest, Medium>,
) -> Result<Json<ReportAnswer>, Refusal> {
    Ok(Json(app.queue.report(&own, body.value.into()).await?.into()))
}

/// Ends leases; what is not completed in them goes to others, without blame.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::v1::LEASE_RETURN,
    tag = "leases",
    request_body = ReturnRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(in crate::http) async fn give_back(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<ReturnRequest, Medium>,
) -> Result<Json<ReportAnswer>, Refusal> {
    Ok(Json(app.queue.give_back(&own, body.value.into()).await?.into()))
}

/// Ends a lease because stored chunks are not there, or not what they should be; its jobs wait for the uploader to send
/// them again.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::v1::LEASE_MISSING,
    tag = "leases",
    request_body = MissingRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(in crate::http) async fn missing(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<MissingRequest, Small>,
) -> Result<Json<ReportAnswer>, Refusal> {
    Ok(Json(app.queue.missing(&own, body.value.into()).await?.into()))
}
