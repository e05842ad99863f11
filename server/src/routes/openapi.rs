//! The OpenAPI document, made from the handlers and the wire types.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use filemill_api::Problem;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{engines, events, leases, releases, results, status, uploads};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Filemill",
        description = "Files in, private results out. `docs/protocol.md` says what each call does.",
    ),
    paths(
        uploads::open, uploads::list, uploads::show, uploads::advance, uploads::cancel,
        events::page, events::stream,
        releases::list, releases::component, releases::describe, releases::description, engines::offer, releases::pools, releases::publish_pool,
        leases::lease, leases::chunks, leases::report, leases::give_back, leases::missing,
        results::complete, results::urls, results::fetch,
        status::whoami, status::health, serve,
    ),
    components(schemas(Problem)),
    security(("token" = [])),
    modifiers(&Common),
)]
struct Api;

/// What all calls share: the bearer token, and the one shape of errors.
struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = &mut api.components {
            let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.security_schemes.insert("token".to_owned(), RefOr::T(bearer));
        }
        let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        let refused: Response = ResponseBuilder::new()
            .description("it was refused, or failed")
            .content("application/json", problem)
            .build();
        for path in api.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post, &mut path.put].into_iter().flatten() {
                operation.responses.responses.insert("default".to_owned(), RefOr::T(refused.clone()));
            }
        }
    }
}

/// The document as JSON.
///
/// # Panics
/// Never: it is made of strings, lists and maps.
#[must_use]
pub fn document() -> String {
    Api::openapi().to_pretty_json().unwrap_or_else(|error| unreachable!("{error}"))
}

/// This document. Changes nothing.
///
/// No token.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "status",
    security(()),
    responses((status = OK, description = "an OpenAPI 3.1 document", content_type = "application/json")),
)]
pub(super) async fn serve() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(document);
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
