//! Results on their way in, and those that are asked for again.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use filemill_api::v1::{CompleteRequest, FetchAnswer, FetchRequest, ResultUrlRequest};
use filemill_api::{CompleteAnswer, ResultUrls, paths};

use crate::http::app::App;
use crate::http::auth::{Processor, Reports, Results, User};
use crate::http::body::{JsonBody, Large, Medium, Small};
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::queue::results;

/// Records results, lease by lease; a job that has one keeps it. The last of an upload also dooms its chunks.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::v1::RESULTS,
    tag = "results",
    request_body = CompleteRequest,
    responses((status = OK, body = CompleteAnswer)),
)]
pub(in crate::http) async fn complete(
    own: Processor<Results>,
    State(app): State<App>,
    body: JsonBody<CompleteRequest, Large>,
) -> Result<Json<CompleteAnswer>, Refusal> {
    Ok(Json(app.queue.complete(&own, body.value.into()).await?))
}

/// Signs PUTs for results that are too large to go inline. Changes nothing.
///
/// Scope `processor`; only under leases that hold, in the token's pool.
#[utoipa::path(
    post,
    path = paths::v1::RESULT_URLS,
    tag = "results",
    request_body = ResultUrlRequest,
    responses((status = OK, body = ResultUrls)),
)]
pub(in crate::http) async fn urls(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<ResultUrlRequest, Small>,
) -> Result<Json<ResultUrls>, Refusal> {
    results::urls_of(&own, &app, body.value.into()).await
}

/// Gives results again that the caller could not fetch or check when it read their events, with fresh URLs, and keeps them until it says
/// that they are fetched. Marks no event as taken in.
///
/// Scope `user`; each result has to be one of the caller's own.
#[utoipa::path(
    post,
    path = paths::v1::FETCH,
    tag = "results",
    request_body = FetchRequest,
    responses((status = OK, body = FetchAnswer)),
)]
pub(in crate::http) async fn fetch(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<FetchRequest, Medium>,
) -> Result<Response, Refusal> {
    let request = body.value;
    let wanted = request.want.clone();
    results::fetch_as(&caller, &app, &ticket, request.into(), |answer| FetchAnswer::from_v2(answer, &wanted)).await
}
