//! The HTTP API: who may call what, and what it sets in motion. A handler authenticates (its extractors do), asks a
//! domain, presigns what they name, and answers; it decides nothing itself.

mod accounts;
mod app;
mod auth;
mod bearer;
mod body;
mod caller;
mod catalog;
mod declared;
mod health;
mod middleware;
mod openapi;
mod problem;
mod queue;
mod routes;
mod sign;
mod status;
mod texts;
mod usage;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use filemill_api::{ErrorCode, paths};
use tokio_util::sync::CancellationToken;

use self::app::{App, Described, Documents, Parts};
use self::catalog::{engines, pools, releases};
use self::declared::{Declared, route};
use self::problem::Refusal;
use self::queue::{events, leases, results, uploads};
use crate::accounts::Plan;
use crate::bounds::Bounds;

pub(crate) use self::app::Below;

/// Every route of version 2. It says of itself whatever is to be known of it: see [`declared`].
fn declared() -> Declared {
    Declared::new(openapi::base(2))
        .with(route!(uploads::open))
        .with(route!(uploads::list))
        .with(route!(uploads::show))
        .with(route!(uploads::advance))
        .with(route!(uploads::cancel))
        .with(route!(events::page))
        .with(route!(events::stream))
        .with(route!(releases::list))
        .with(route!(releases::component))
        .with(route!(releases::description))
        .with(route!(releases::describe))
        .with(route!(engines::offer))
        .with(route!(pools::list))
        .with(route!(pools::publish))
        .with(route!(accounts::whoami))
        .with(route!(accounts::join))
        .with(route!(leases::lease))
        .with(route!(leases::chunks))
        .with(route!(leases::report))
        .with(route!(leases::give_back))
        .with(route!(leases::missing))
        .with(route!(results::complete))
        .with(route!(results::urls))
        .with(route!(results::fetch))
        .with(route!(status::health))
        .with(route!(status::metrics))
        .with(route!(openapi::serve))
}

/// The OpenAPI document, as JSON.
///
/// # Panics
/// Never: it is made of strings, lists and maps.
#[must_use]
pub fn document() -> String {
    document_of(declared())
}

/// That of version 1.
///
/// # Panics
/// As [`document`].
#[must_use]
pub fn document_v1() -> String {
    document_of(v1::declared())
}

fn document_of(declared: Declared) -> String {
    let (_, api, _) = declared.into_parts();
    api.to_pretty_json().unwrap_or_else(|error| unreachable!("{error}"))
}

/// The whole API, ready to be served.
pub(crate) fn router(below: Below, plan: Plan, bounds: Bounds, stop: CancellationToken) -> Router {
    let (router, _, mut routes) = declared().into_parts();
    let (older, _, older_routes) = v1::declared().into_parts();
    routes.join(older_routes);
    let mut router = router.merge(older);
    for path in paths::HEALTH_BESIDE {
        routes.add_public(path);
        router = router.route(path, get(status::health));
    }
    let documents = Documents { v1: Bytes::from(document_v1()), v2: Bytes::from(document()) };
    let described = Described { routes, documents };
    let app: App = Arc::new(Parts::new(below, described, plan, bounds, stop));
    router
        .fallback(async || {
            Refusal::new(ErrorCode::NotFound, "there is nothing at this path")
                .hint("`/v2/openapi.json` lists what there is")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(ErrorCode::BadRequest, "this path does not take this method")
                .with_status(StatusCode::METHOD_NOT_ALLOWED)
                .hint("`/v2/openapi.json` lists what it takes")
        })
        .layer(from_fn_with_state(Arc::clone(&app), middleware::around))
        .with_state(app)
}
