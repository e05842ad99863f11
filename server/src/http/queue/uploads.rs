//! Uploads: open, advance, cancel, look.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use filemill_api::limits::MAX_SIGNED_URLS;
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvancedUpload, CancelRequest, Cancelled, ErrorBody, ErrorCode, Item, JobStates,
    OpenAnswer, OpenRequest, OpenUpload, OpenedUpload, SignedPut, Uploads, UploadsQuery, paths,
};
use serde::Serialize;

use crate::accounts::Caller;
use crate::http::app::App;
use crate::http::auth::User;
use crate::http::body::{JsonBody, Large, PathParts, QueryParts, Small};
use crate::http::caller::Ticket;
use crate::http::problem::{Refusal, fault};
use crate::http::sign::put;
use crate::queue::{Advanced, Opened, STORED_RANGES};
use crate::storage::{Object, Signer};

/// What is taken for a presigned URL with its headers, and for the rest of an item.
const URL_BYTES: usize = 1 << 10;
const ITEM_BYTES: usize = 512;
/// What is taken for a range of stored chunks beyond an upload's first gap: itself, and what it is in JSON.
const RANGE_BYTES: usize = 32;
/// What a list of uploads may take while it is made, and the states of one upload's jobs.
const LIST_ROOM_BYTES: usize = 512 << 10;
const STATES_ROOM_BYTES: usize = 4 << 20;

/// Opens uploads. Each is opened by itself, or was before with the same content; its answer says where header and
/// wanted chunks go and what is stored already.
///
/// Scope `user`; an upload belongs to whom the token was made for.
#[utoipa::path(
    post,
    path = paths::UPLOADS,
    tag = "uploads",
    request_body = OpenRequest,
    responses((status = OK, body = OpenAnswer)),
)]
pub(in crate::http) async fn open(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<OpenRequest, Large>,
) -> Result<Response, Refusal> {
    open_all(&caller, &app, &ticket, body.value).await
}

/// The same, in whichever version it was asked.
pub(in crate::http) async fn open_all(
    caller: &Caller,
    app: &App,
    ticket: &Ticket,
    request: OpenRequest,
) -> Result<Response, Refusal> {
    let mut urls = Urls::default();
    let admit = |upload: &OpenUpload| app.plan.admit(upload).and_then(|()| urls.take(1 + upload.want.len()));
    let verdicts: Vec<_> = request.uploads.iter().map(admit).collect();
    // Between two ranges a chunk is not stored.
    let ranges = request.uploads.iter().map(|upload| upload.chunks as usize / 2).sum::<usize>().min(STORED_RANGES);
    let room = ticket.reserve(app, urls.bytes(verdicts.len()) + ranges * RANGE_BYTES).await?;
    let within = request.uploads.into_iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok());
    let request = OpenRequest { uploads: within.map(|(upload, _)| upload).collect() };
    let mut opened = app.queue.open(caller, request).await?.into_iter();
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let answer = |verdict: Result<(), ErrorBody>| {
        verdict?;
        let opened = opened.next().unwrap_or_else(|| Err(fault("the queue answered too few uploads")))?;
        sign_opened(&signer, opened)
    };
    let uploads = verdicts.into_iter().map(answer).map(Item::from).collect();
    ticket.answer(room, &OpenAnswer { uploads, limits: app.plan.limits() })
}

/// Records chunks as stored, and signs URLs for the next ones; jobs whose chunks are there become ready.
///
/// Scope `user`; only the caller's own uploads.
#[utoipa::path(
    post,
    path = paths::ADVANCE,
    tag = "uploads",
    request_body = AdvanceRequest,
    responses((status = OK, body = AdvanceAnswer)),
)]
pub(in crate::http) async fn advance(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<AdvanceRequest, Large>,
) -> Result<Response, Refusal> {
    let request = body.value;
    let mut urls = Urls::default();
    let verdicts: Vec<_> = request.uploads.iter().map(|upload| urls.take(upload.want.len())).collect();
    let room = ticket.reserve(&app, urls.bytes(verdicts.len())).await?;
    let within = request.uploads.into_iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok());
    let request = AdvanceRequest { uploads: within.map(|(upload, _)| upload).collect() };
    let mut advanced = app.queue.advance(&caller, request).await?.into_iter();
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let answer = |verdict: Result<(), ErrorBody>| {
        verdict?;
        let advanced = advanced.next().unwrap_or_else(|| Err(fault("the queue answered too few uploads")))?;
        sign_advanced(&signer, advanced)
    };
    let uploads = verdicts.into_iter().map(answer).map(Item::from).collect();
    ticket.answer(room, &AdvanceAnswer { uploads })
}

/// Cancels every job of the uploads that has no result yet.
///
/// Scope `user`; only the caller's own uploads.
#[utoipa::path(
    post,
    path = paths::CANCEL,
    tag = "uploads",
    request_body = CancelRequest,
    responses((status = OK, body = Cancelled)),
)]
pub(in crate::http) async fn cancel(
    User(caller): User,
    State(app): State<App>,
    body: JsonBody<CancelRequest, Small>,
) -> Result<Json<Cancelled>, Refusal> {
    let request = body.value;
    Ok(Json(app.queue.cancel(&caller, request).await?))
}

/// The caller's uploads that are not done, in pages. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get,
    path = paths::UPLOADS,
    tag = "uploads",
    params(UploadsQuery),
    responses((status = OK, body = Uploads)),
)]
pub(in crate::http) async fn list(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    QueryParts(query): QueryParts<UploadsQuery>,
) -> Result<Response, Refusal> {
    list_as::<Uploads>(&caller, &app, &ticket, &query).await
}

/// The same, in the words of whichever version it was asked.
pub(in crate::http) async fn list_as<A: Serialize + From<Uploads>>(
    caller: &Caller,
    app: &App,
    ticket: &Ticket,
    query: &UploadsQuery,
) -> Result<Response, Refusal> {
    let room = ticket.reserve_some(app, LIST_ROOM_BYTES).await?;
    ticket.answer(room, &A::from(app.queue.uploads(caller, query.after.as_deref()).await?))
}

/// An upload's jobs without a result, each with what it waits for. Changes nothing.
///
/// Scope `user`; only the caller's own.
#[utoipa::path(
    get,
    path = paths::UPLOAD,
    tag = "uploads",
    params(("upload" = String, Path, description = "id of the upload")),
    responses((status = OK, body = JobStates)),
)]
pub(in crate::http) async fn show(
    User(caller): User,
    State(app): State<App>,
    ticket: Ticket,
    PathParts(upload): PathParts<String>,
) -> Result<Response, Refusal> {
    show_as::<JobStates>(&caller, &app, &ticket, &upload).await
}

/// The same, in the words of whichever version it was asked.
pub(in crate::http) async fn show_as<A: Serialize + From<JobStates>>(
    caller: &Caller,
    app: &App,
    ticket: &Ticket,
    upload: &str,
) -> Result<Response, Refusal> {
    let room = ticket.reserve_some(app, STATES_ROOM_BYTES).await?;
    ticket.answer(room, &A::from(app.queue.jobs(caller, upload).await?))
}

/// The URLs of one answer, which has room for so many.
#[derive(Default)]
struct Urls(usize);

impl Urls {
    /// Counts those of one upload, unless they are beyond what fits: it is for a request of its own then.
    fn take(&mut self, count: usize) -> Result<(), ErrorBody> {
        if self.0 > 0 && self.0 + count > MAX_SIGNED_URLS {
            return Err(ErrorBody {
                code: ErrorCode::Unavailable,
                message: format!("one answer has room for {MAX_SIGNED_URLS} URLs, and this upload's are beyond that"),
                hint: Some("ask again for this upload".to_owned()),
            });
        }
        self.0 += count;
        Ok(())
    }

    /// What an answer with them takes.
    fn bytes(&self, uploads: usize) -> usize {
        self.0 * URL_BYTES + uploads * ITEM_BYTES
    }
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
