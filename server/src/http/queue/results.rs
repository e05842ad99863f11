//! Results on their way in, and those that are asked for again.

use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use filemill_api::limits::{MAX_FETCHED, MAX_INLINE_RESULT_BYTES};
use filemill_api::{
    CompleteAnswer, CompleteRequest, ErrorBody, ErrorCode, FetchAnswer, FetchRequest, FetchedResult, Item,
    ResultUrlRequest, ResultUrls, paths,
};
use serde::Serialize;

use super::events::{position, sign_result};
use crate::accounts::Caller;
use crate::http::app::App;
use crate::http::auth::{Processor, Reports, Results, User};
use crate::http::body::{JsonBody, Large, Medium, Small};
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::sign::put_item;
use crate::queue::{FoundResult, RecordedResult};
use crate::storage::Signer;

/// What is taken for a result that is asked for again: itself, and what it is in JSON.
const FETCHED_ROOM_BYTES: usize = 2 * MAX_INLINE_RESULT_BYTES + (32 << 10);

/// Records results, lease by lease; a job that has one keeps it. The last of an upload also dooms its chunks.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::RESULTS,
    tag = "results",
    request_body = CompleteRequest,
    responses((status = OK, body = CompleteAnswer)),
)]
pub(in crate::http) async fn complete(
    own: Processor<Results>,
    State(app): State<App>,
    body: JsonBody<CompleteRequest, Large>,
) -> Result<Json<CompleteAnswer>, Refusal> {
    let request = body.value;
    Ok(Json(app.queue.complete(&own, request).await?))
}

/// Signs PUTs for results that are too large to go inline. Changes nothing.
///
/// Scope `processor`; only under leases that hold, in the token's pool.
#[utoipa::path(
    post,
    path = paths::RESULT_URLS,
    tag = "results",
    request_body = ResultUrlRequest,
    responses((status = OK, body = ResultUrls)),
)]
pub(in crate::http) async fn urls(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<ResultUrlRequest, Small>,
) -> Result<Json<ResultUrls>, Refusal> {
    urls_of(&own, &app, body.value).await
}

/// The same, in whichever version it was asked.
pub(in crate::http) async fn urls_of(
    own: &str,
    app: &App,
    request: ResultUrlRequest,
) -> Result<Json<ResultUrls>, Refusal> {
    let objects = app.queue.result_urls(own, request).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ResultUrls { results: objects.into_iter().map(|object| put_item(&signer, object)).collect() }))
}

/// Gives results again that the caller could not fetch or check when it read their events, with fresh URLs, and keeps them until it says
/// that they are fetched. Marks no event as taken in.
///
/// Scope `user`; each result has to be one of the caller's own.
#[utoipa::path(
    post,
    path = paths::FETCH,
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
    fetch_as(&caller, &app, &ticket, body.value, |answer| answer).await
}

/// The same, in the words of whichever version it was asked.
pub(in crate::http) async fn fetch_as<A: Serialize>(
    caller: &Caller,
    app: &App,
    ticket: &Ticket,
    mut request: FetchRequest,
    answer: impl FnOnce(FetchAnswer) -> A,
) -> Result<Response, Refusal> {
    let position = position(request.after, request.mark.as_deref(), request.device.as_deref())?;
    let wanted = request.want.len();
    let room = ticket.reserve_some(app, FETCHED_ROOM_BYTES * wanted.clamp(1, MAX_FETCHED)).await?;
    if wanted <= MAX_FETCHED {
        request.want.truncate((room.held() / FETCHED_ROOM_BYTES).max(1));
    }
    let fetched = app.queue.fetch(caller, position, &request).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let found = fetched.results.into_iter().map(|found| found.and_then(|found| sign_found(&signer, found)));
    let later = if fetched.reset { 0 } else { wanted - request.want.len() };
    let results = found.chain((0..later).map(|_| Err(no_room_for_result()))).map(Item::from).collect();
    ticket.answer(room, &answer(FetchAnswer { results, reset: fetched.reset }))
}

fn no_room_for_result() -> ErrorBody {
    ErrorBody {
        code: ErrorCode::Unavailable,
        message: "there is no room for this result in the answer now".to_owned(),
        hint: Some("ask again for it".to_owned()),
    }
}

fn sign_found(signer: &Signer, found: FoundResult) -> Result<FetchedResult, ErrorBody> {
    let sha256 = match &found.sealed {
        Some(RecordedResult::Inline(bytes)) => Some(HEXLOWER.encode(digest(&SHA256, bytes).as_ref())),
        _ => None,
    };
    let sealed = found.sealed.map(|sealed| sign_result(signer, sealed)).transpose()?;
    Ok(FetchedResult { jobs: found.jobs, sealed, sha256, kept: found.kept })
}
