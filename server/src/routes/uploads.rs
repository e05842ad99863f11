//! Uploads: open, advance, cancel, look.

use axum::Json;
use axum::extract::State;
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvancedUpload, CancelRequest, Cancelled, ErrorBody, Item, JobStates, OpenAnswer,
    OpenRequest, OpenedUpload, SignedPut, Uploads, UploadsQuery,
};

use super::auth::User;
use super::body::{JsonBody, PathParts, QueryParts};
use super::{App, Refusal, fault};
use crate::rules::{Advanced, Object, Opened};
use crate::storage::Signer;

/// Opens uploads. Each is opened by itself, or was before with the same content; its answer says where header and
/// wanted chunks go and what is stored already.
///
/// Scope `user`; an upload belongs to whom the token was made for.
#[utoipa::path(
    post,
    path = "/v1/uploads",
    tag = "uploads",
    request_body = OpenRequest,
    responses((status = OK, body = OpenAnswer)),
)]
pub(super) async fn open(
    State(app): State<App>,
    User(caller): User,
    JsonBody(request): JsonBody<OpenRequest>,
) -> Result<Json<OpenAnswer>, Refusal> {
    let verdicts: Vec<_> = request.uploads.iter().map(|upload| app.plan.admit(upload)).collect();
    let within = request.uploads.into_iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok());
    let request = OpenRequest { uploads: within.map(|(upload, _)| upload).collect() };
    let mut opened = app.rules.open(&caller, request).await?.into_iter();
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let answer = |verdict: Result<(), ErrorBody>| {
        verdict?;
        let opened = opened.next().unwrap_or_else(|| Err(fault("the rules answered too few uploads")))?;
        sign_opened(&signer, opened)
    };
    let uploads = verdicts.into_iter().map(answer).map(Item::from).collect();
    Ok(Json(OpenAnswer { uploads, limits: app.plan.limits() }))
}

/// Records chunks as stored, and signs URLs for the next ones; jobs whose chunks are there become ready.
///
/// Scope `user`; only the caller's own uploads.
#[utoipa::path(
    post,
    path = "/v1/uploads/advance",
    tag = "uploads",
    request_body = AdvanceRequest,
    responses((status = OK, body = AdvanceAnswer)),
)]
pub(super) async fn advance(
    State(app): State<App>,
    User(caller): User,
    JsonBody(request): JsonBody<AdvanceRequest>,
) -> Result<Json<AdvanceAnswer>, Refusal> {
    let advanced = app.rules.advance(&caller, request).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let uploads =
        advanced.into_iter().map(|item| item.and_then(|advanced| sign_advanced(&signer, advanced)).into()).collect();
    Ok(Json(AdvanceAnswer { uploads }))
}

/// Cancels every job of the uploads that has no result yet.
///
/// Scope `user`; only the caller's own uploads.
#[utoipa::path(
    post,
    path = "/v1/uploads/cancel",
    tag = "uploads",
    request_body = CancelRequest,
    responses((status = OK, body = Cancelled)),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    User(caller): User,
    JsonBody(request): JsonBody<CancelRequest>,
) -> Result<Json<Cancelled>, Refusal> {
    Ok(Json(app.rules.cancel(&caller, request).await?))
}

/// The caller's uploads that are not done, in pages. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get,
    path = "/v1/uploads",
    tag = "uploads",
    params(UploadsQuery),
    responses((status = OK, body = Uploads)),
)]
pub(super) async fn list(
    State(app): State<App>,
    User(caller): User,
    QueryParts(query): QueryParts<UploadsQuery>,
) -> Result<Json<Uploads>, Refusal> {
    Ok(Json(app.rules.uploads(&caller, query.after.as_deref()).await?))
}

/// An upload's jobs without a result, each with what it waits for. Changes nothing.
///
/// Scope `user`; only the caller's own.
#[utoipa::path(
    get,
    path = "/v1/uploads/{upload}",
    tag = "uploads",
    params(("upload" = String, Path, description = "id of the upload")),
    responses((status = OK, body = JobStates)),
)]
pub(super) async fn show(
    State(app): State<App>,
    User(caller): User,
    PathParts(upload): PathParts<String>,
) -> Result<Json<JobStates>, Refusal> {
    Ok(Json(app.rules.jobs(&caller, &upload).await?))
}

fn sign_opened(signer: &Signer, opened: Opened) -> Result<OpenedUpload, ErrorBody> {
    Ok(OpenedUpload {
        header: opened.header.as_ref().map(|object| put(signer, object)).transpose()?,
        chunks: puts(signer, &opened.chunks)?,
        stored: opened.stored,
        state: opened.state,
    })
}

fn sign_advanced(signer: &Signer, advanced: Advanced) -> Result<AdvancedUpload, ErrorBody> {
    Ok(AdvancedUpload { chunks: puts(signer, &advanced.chunks)?, state: advanced.state })
}

fn puts(signer: &Signer, objects: &[Object]) -> Result<Vec<SignedPut>, ErrorBody> {
    objects.iter().map(|object| put(signer, object)).collect()
}

/// A PUT of exactly this object.
pub(super) fn put(signer: &Signer, object: &Object) -> Result<SignedPut, ErrorBody> {
    signer.put(&object.key, object.length, &object.sha256).map_err(fault)
}

/// What a batch answers for one object.
pub(super) fn put_item(signer: &Signer, object: Result<Object, ErrorBody>) -> Item<SignedPut> {
    object.and_then(|object| put(signer, &object)).into()
}
