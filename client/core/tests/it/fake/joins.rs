//! One-time codes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorCode, JoinAnswer, JoinRequest, join_code};

use super::{Fake, TOKEN, problem};

/// The code that is good, and what became of it.
#[derive(Default)]
pub(crate) struct Joins {
    pub(crate) code: Option<String>,
    pub(crate) redeemer: Option<String>,
    /// So many answers are lost.
    pub(crate) lost: u32,
    pub(crate) asked: Vec<JoinRequest>,
    /// What is given in place of a token.
    pub(crate) no_token: Option<String>,
}

pub(super) async fn redeem(State(fake): State<Fake>, Json(request): Json<JoinRequest>) -> Response {
    let mut inner = fake.lock();
    let joins = &mut inner.joins;
    joins.asked.push(request.clone());
    let code = join_code(&request.code);
    if code.is_none() || code != joins.code.as_deref().and_then(join_code) {
        return problem(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is no such one-time code");
    }
    if joins.redeemer.get_or_insert_with(|| request.redeemer.clone()) != &request.redeemer {
        return problem(StatusCode::CONFLICT, ErrorCode::Conflict, "the one-time code has been used");
    }
    if joins.lost > 0 {
        joins.lost -= 1;
        // What a proxy says that was cut off.
        return (StatusCode::BAD_GATEWAY, "").into_response();
    }
    let (organisation, user, scope) = ("acme".into(), "ada".into(), request.scope);
    let token = joins.no_token.clone().unwrap_or_else(|| TOKEN.into());
    Json(JoinAnswer { token, organisation, user, scope, pool: None, login: None }).into_response()
}
