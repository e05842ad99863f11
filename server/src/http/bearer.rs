//! The token that a request carries.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use filemill_api::ErrorCode;

use super::problem::Refusal;

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
