//! Uploads: open, look.

use axum::extract::State;
use axum::response::Response;
use filemill_api::v1::{JobStates, OpenRequest, Uploads};
use filemill_api::{OpenAnswer, UploadsQuery, paths};

use crate::http::app::App;
use crate::http::auth::User;
use crate::http::body::{JsonBody, Large, PathParts, QueryParts};
use crate::http::caller::Ticket;
use crate::http::problem::Refusal;
use crate::http::queue::uploads;

/// Opens uploads. Each is opened by itself, or was before with the same content; its answer says where header and
/// wanted chunks go and what is stored already.
///
/// Scope `user`; an upload belongs to whom the token was made for.
#[utoipa::path(
    post,
    path = paths::v1::UPLOADS,
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
    uploads::open_all(&caller, &app, &ticket, body.value.into()).await
}

/// The caller's uploads that are not done, in pages. Changes nothing.
///
/// Scope `user`.
#[utoipa::path(
    get,
    path = paths::v1::UPLOADS,
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
    uploads::list_as::<Uploads>(&caller, &app, &ticket, &query).await
}

/// An upload's jobs without a result, each with what it waits for. Changes nothing.
///
/// Scope `user`; only the caller's own.
#[utoipa::path(
    get,
    path = paths::v1::UPLOAD,
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
    uploads::show_as::<JobStates>(&caller, &app, &ticket, &upload).await
}
