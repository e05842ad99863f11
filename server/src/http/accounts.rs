//! Who is asking, and who is let in.

use axum::Json;
use axum::extract::State;
use filemill_api::{JoinAnswer, JoinRequest, WhoAmI, paths};

use super::app::App;
use super::auth::{Anyone, Public};
use super::body::{JsonBody, Tiny};
use super::caller::Ticket;
use super::problem::Refusal;

/// Who the token stands for, and the origins that presigned URLs point to. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = paths::WHOAMI, tag = "status", responses((status = OK, body = WhoAmI)))]
pub(super) async fn whoami(Anyone(caller): Anyone, State(app): State<App>) -> Json<WhoAmI> {
    Json(WhoAmI {
        organisation: caller.organisation_name,
        user: caller.member_name,
        scope: caller.scope.name().to_owned(),
        pool: caller.pool,
        server: env!("CARGO_PKG_VERSION").to_owned(),
        storage_origins: vec![app.storage.origin().to_owned()],
    })
}

/// Redeems a one-time code for the token that it grants. The first who shows a code makes it its own; the same request is answered alike
/// for ten minutes more.
///
/// No token.
#[utoipa::path(
    post,
    path = paths::JOINS,
    tag = "status",
    request_body = JoinRequest,
    responses((status = OK, body = JoinAnswer)),
)]
pub(super) async fn join(
    _public: Public,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<JoinRequest, Tiny>,
) -> Result<Json<JoinAnswer>, Refusal> {
    // As a token that was not seen lately: one caller's guesses are nobody else's wait. Only now, as a body that never ends would hold
    // the place.
    let _place = ticket.place_to_look_up().await?;
    Ok(Json(app.accounts.redeem_join_code(&body.value).await?))
}
