//! Who is calling: a bearer token, and the scope that a handler asks for by the type of its argument.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use filemill_api::ErrorCode;

use super::caller::Ticket;
use super::{App, Refusal};
use crate::rules::{Caller, Scope};

/// A caller whose token has the scope `user`.
pub(super) struct User(pub(super) Caller);

/// A caller whose token has the scope `processor`: the pool that it is for. Which processor does not matter, nor whose token it is;
/// whom the pool serves, its operator says.
pub(super) struct Processor(pub(super) String);

/// A caller with any token.
pub(super) struct Anyone(pub(super) Caller);

impl FromRequestParts<App> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let caller = authenticated(parts)?;
        caller.require(&[Scope::User])?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<App> for Processor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let caller = authenticated(parts)?;
        Ok(Self(caller.processor_pool()?.to_owned()))
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        authenticated(parts).map(Self)
    }
}

impl FromRequestParts<App> for Ticket {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::fault("a request without a place"))
    }
}

/// The token itself, for a stream that asks again whether it still holds.
pub(super) struct Token(String);

impl Token {
    /// Whether it still stands for somebody.
    pub(super) async fn check(&self, app: &App) -> Result<Caller, Refusal> {
        Ok(app.rules.authenticate(&self.0).await?)
    }
}

impl FromRequestParts<App> for Token {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        bearer(&parts.headers).map(|text| Self(text.to_owned()))
    }
}

/// Who it is was found out before, with the place that the request has.
fn authenticated(parts: &Parts) -> Result<Caller, Refusal> {
    let ticket = parts.extensions.get::<Ticket>().ok_or_else(|| Refusal::fault("a request without a place"))?;
    Ok((*ticket.caller).clone()?)
}

/// The token that a request carries.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| {
        Refusal::new(ErrorCode::Unauthenticated, "the request carries no token")
            .hint("send `authorization: Bearer TOKEN`")
    })?;
    // RFC 9110 §11.1: the scheme's name is case-insensitive.
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token.trim()).ok_or_else(|| {
        Refusal::new(ErrorCode::Unauthenticated, "the authorization header holds no bearer token")
            .hint("send `authorization: Bearer TOKEN`")
    })
}
