//! The OpenAPI document, made from the routes and the wire types.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use filemill_api::{ErrorCode, Problem, limits, paths};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use super::app::App;
use super::auth::Public;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Filemill",
        description = "Files in, private results out. `docs/protocol.md` says what each call does.",
    ),
    components(schemas(Problem)),
    security(("token" = [])),
)]
struct Api;

/// What the document says beside the routes: the bearer token, how each call may be refused, and the bounds that are checked.
pub(super) fn base(major: u8) -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    if major == 1 {
        api.info.title.push_str(", version 1");
    }
    let components = api.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert("token".to_owned(), RefOr::T(bearer));
    for (status, codes) in by_status() {
        components.responses.insert(format!("refused_{status}"), RefOr::T(refused(&codes.join(", "))));
    }
    let limits: serde_json::Map<_, _> = limits::ALL
        .iter()
        .map(|limit| (limit.name.to_owned(), serde_json::json!({ "value": limit.value, "of": limit.what.trim() })))
        .collect();
    api.extensions.get_or_insert_default().insert("x-limits".to_owned(), limits.into());
    api
}

/// Says of a call how it may be refused. Nobody is refused for a token who needs none.
pub(super) fn refusals(operation: &mut Operation, is_public: bool) {
    for (status, _) in by_status().filter(|(status, _)| !is_public || !matches!(status, 401 | 403)) {
        let refused = RefOr::Ref(Ref::from_response_name(format!("refused_{status}")));
        operation.responses.responses.insert(status.to_string(), refused);
    }
    operation.responses.responses.insert("default".to_owned(), RefOr::T(refused("it was refused, or failed")));
}

/// Each status that errors have, with their codes.
fn by_status() -> impl Iterator<Item = (u16, Vec<&'static str>)> {
    let mut statuses = BTreeMap::<u16, Vec<_>>::new();
    for code in ErrorCode::ALL {
        statuses.entry(code.status()).or_default().push(code.code());
    }
    statuses.into_iter()
}

fn refused(description: &str) -> Response {
    let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    ResponseBuilder::new().description(description).content("application/json", problem).build()
}

/// This document. Changes nothing.
///
/// No token.
#[utoipa::path(
    get,
    path = paths::OPENAPI,
    tag = "status",
    responses((status = OK, description = "an OpenAPI 3.1 document", content_type = "application/json")),
)]
pub(super) async fn serve(_public: Public, State(app): State<App>, uri: Uri) -> impl IntoResponse {
    let document = if paths::is_v1(uri.path()) { &app.documents.v1 } else { &app.documents.v2 };
    ([(CONTENT_TYPE, "application/json")], document.clone())
}
