//! What a processor asks while it works: leases, chunks, reports.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use filemill_api::{
    ChunkUrl, ChunksAnswer, ChunksRequest, ErrorBody, LeaseAnswer, LeaseRequest, LeasedUpload, MissingRequest,
    ReportAnswer, ReportRequest, ReturnRequest, SignedGet,
};

use super::auth::Processor;
use super::body::JsonBody;
use super::caller::Ticket;
use super::{App, Refusal, fault};
use crate::rules::{Leased, LeasedUploadWork, Object};
use crate::storage::Signer;

/// Most chunk URLs of one upload in a lease's first answer; a node asks for the rest as it comes to them.
const FIRST_CHUNKS: usize = filemill_api::limits::MAX_WANTED_CHUNKS;

/// What is taken for a presigned URL with its headers, and for a run.
const URL_BYTES: usize = 1 << 10;
const RUN_BYTES: usize = 512;

/// Leases jobs to the caller's node, waiting for them up to the time it says; empty when none came, or the server
/// stops. May ask the node to describe releases, and does not wait then.
///
/// Scope `processor`, for the token's pool only.
#[utoipa::path(
    post,
    path = "/v1/leases",
    tag = "leases",
    request_body = LeaseRequest,
    responses((status = OK, body = LeaseAnswer)),
)]
pub(super) async fn lease(
    State(app): State<App>,
    Processor(own): Processor,
    ticket: Ticket,
    JsonBody(request): JsonBody<LeaseRequest>,
) -> Result<Response, Refusal> {
    // Dropping the rule's future hands back what it may have leased meanwhile.
    let leased =
        app.stop.run_until_cancelled(app.rules.lease(&own, request)).await.unwrap_or_else(|| Ok(Default::default()))?;
    let urls: usize = leased.uploads.iter().map(|work| 1 + work.chunks.len().min(FIRST_CHUNKS)).sum();
    let runs: usize = leased.uploads.iter().map(|work| work.runs.len()).sum();
    let ready = async {
        let room = ticket.reserve(&app, urls * URL_BYTES + runs * RUN_BYTES).await?;
        Ok((room, app.storage.signer().await.map_err(Refusal::fault)?))
    };
    let (room, signer) = match ready.await {
        Ok(ready) => ready,
        Err(refusal) => {
            // What the node is not told of would be nobody's until its time is over.
            app.rules.take_back(&own, &leased).await;
            return Err(refusal);
        }
    };
    let Leased { uploads, lease_ms, describe, lacks } = leased;
    let uploads = uploads.into_iter().map(|work| sign_work(&signer, work)).collect::<Result<_, _>>()?;
    ticket.answer(room, &LeaseAnswer { uploads, lease_ms, describe, lacks })
}

/// Signs GETs of an upload's stored chunks, waiting for the first of them up to the time asked; empty when it did not
/// come, or the server stops.
///
/// Scope `processor`, and only under a lease that holds, in the token's pool.
#[utoipa::path(
    post,
    path = "/v1/leases/chunks",
    tag = "leases",
    request_body = ChunksRequest,
    responses((status = OK, body = ChunksAnswer)),
)]
pub(super) async fn chunks(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<ChunksRequest>,
) -> Result<Json<ChunksAnswer>, Refusal> {
    let stored =
        app.stop.run_until_cancelled(app.rules.lease_chunks(&own, request)).await.unwrap_or_else(|| Ok(Vec::new()))?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ChunksAnswer { chunks: sign_chunks(&signer, &stored)? }))
}

/// Prolongs the node's leases and records what they are doing; says which to stop working on.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = "/v1/leases/report",
    tag = "leases",
    request_body = ReportRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(super) async fn report(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<ReportRequest>,
) -> Result<Json<ReportAnswer>, Refusal> {
    Ok(Json(app.rules.report(&own, request).await?))
}

/// Ends leases; what is not completed in them goes to others, without blame.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = "/v1/leases/return",
    tag = "leases",
    request_body = ReturnRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(super) async fn give_back(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<ReturnRequest>,
) -> Result<Json<ReportAnswer>, Refusal> {
    Ok(Json(app.rules.give_back(&own, request).await?))
}

/// Ends a lease because stored chunks are not there, or not what they should be; its jobs wait for the uploader to send
/// them again.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = "/v1/leases/missing",
    tag = "leases",
    request_body = MissingRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(super) async fn missing(
    State(app): State<App>,
    Processor(own): Processor,
    JsonBody(request): JsonBody<MissingRequest>,
) -> Result<Json<ReportAnswer>, Refusal> {
    Ok(Json(app.rules.missing(&own, request).await?))
}

fn sign_work(signer: &Signer, work: LeasedUploadWork) -> Result<LeasedUpload, ErrorBody> {
    let first = work.chunks.get(..FIRST_CHUNKS).unwrap_or(&work.chunks);
    Ok(LeasedUpload {
        header: get(signer, &work.header)?,
        chunks: sign_chunks(signer, first)?,
        upload: work.upload,
        release: work.release,
        chunks_expected: work.chunks_expected,
        runs: work.runs,
    })
}

fn sign_chunks(signer: &Signer, chunks: &[(u32, Object)]) -> Result<Vec<ChunkUrl>, ErrorBody> {
    chunks.iter().map(|(sequence, object)| Ok(ChunkUrl { sequence: *sequence, get: get(signer, object)? })).collect()
}

/// A GET of this object.
pub(super) fn get(signer: &Signer, object: &Object) -> Result<SignedGet, ErrorBody> {
    signer.get(&object.key, object.length, &object.sha256).map_err(fault)
}
