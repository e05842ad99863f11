//! Results on their way in.

use axum::Json;
use axum::extract::State;
use filemill_api::{CompleteAnswer, CompleteRequest, ResultUrlRequest, ResultUrls};

use super::auth::Processor;
use super::body::JsonBody;
use super::uploads::put_item;
use super::{App, Refusal};

/// Records results, lease by lease; a job that has one keeps it. The last of an upload also dooms its chunks.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = "/v1/results",
    tag = "results",
    request_body = CompleteRequest,
    responses((status = OK, body = CompleteAnswer)),
)]
pub(super) async fn complete(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<CompleteRequest>,
) -> Result<Json<CompleteAnswer>, Refusal> {
    Ok(Json(app.rules.complete(&own, request).await?))
}

/// Signs PUTs for results that are too large to go inline. Changes nothing.
///
/// Scope `processor`; only under leases that hold, in the token's pool.
#[utoipa::path(
    post,
    path = "/v1/results/urls",
    tag = "results",
    request_body = ResultUrlRequest,
    responses((status = OK, body = ResultUrls)),
)]
pub(super) async fn urls(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<ResultUrlRequest>,
) -> Result<Json<ResultUrls>, Refusal> {
    let objects = app.rules.result_urls(&own, request).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ResultUrls { results: objects.into_iter().map(|object| put_item(&signer, object)).collect() }))
}
