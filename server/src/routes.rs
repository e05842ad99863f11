//! The HTTP API: who may call what, and what it sets in motion. A handler authenticates (its extractors do), asks the
//! rules, presigns what they name, and answers; it decides nothing itself.

mod auth;
mod body;
mod caller;
mod engines;
mod events;
mod frame;
mod leases;
mod openapi;
mod problem;
mod releases;
mod results;
mod status;
mod texts;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use filemill_api::{ErrorCode, paths};
use tokio_util::sync::CancellationToken;

use crate::bounds::Bounds;
use crate::callers::Callers;
use crate::plan::Plan;
use crate::rules::Rules;
use crate::storage::Storage;

pub use openapi::document;
pub(crate) use problem::{Refusal, fault};

/// What every handler has.
pub(crate) type App = Arc<Parts>;

/// The parts a handler is made of.
pub(crate) struct Parts {
    /// What may happen to uploads and jobs.
    rules: Rules,
    /// Signs URLs.
    storage: Storage,
    /// What an organisation may use.
    plan: Plan,
    /// Ends long polls and event streams.
    stop: CancellationToken,
    /// What is held for whom.
    callers: Callers,
    /// How much that may be.
    bounds: Bounds,
    /// When the database was asked last whether it answers, and what came.
    health: status::Health,
}

/// The whole API, ready to be served.
pub(crate) fn router(rules: Rules, storage: Storage, plan: Plan, bounds: Bounds, stop: CancellationToken) -> Router {
    let callers = Callers::new(&bounds);
    let app = Arc::new(Parts { rules, storage, plan, stop, callers, bounds, health: status::Health::default() });
    Router::new()
        .route(paths::UPLOADS, post(uploads::open).get(uploads::list))
        .route(paths::UPLOAD, get(uploads::show))
        .route(paths::ADVANCE, post(uploads::advance))
        .route(paths::CANCEL, post(uploads::cancel))
        .route(paths::EVENTS, get(events::page))
        .route(paths::EVENT_STREAM, get(events::stream))
        .route(paths::RELEASES, get(releases::list))
        .route(paths::COMPONENT, get(releases::component))
        .route(paths::DESCRIPTION, get(releases::description).put(releases::describe))
        .route(paths::ENGINES, put(engines::offer))
        .route(paths::POOLS, get(releases::pools).post(releases::publish_pool))
        .route(paths::WHOAMI, get(status::whoami))
        .route(paths::LEASES, post(leases::lease))
        .route(paths::LEASE_CHUNKS, post(leases::chunks))
        .route(paths::LEASE_REPORT, post(leases::report))
        .route(paths::LEASE_RETURN, post(leases::give_back))
        .route(paths::LEASE_MISSING, post(leases::missing))
        .route(paths::RESULTS, post(results::complete))
        .route(paths::RESULT_URLS, post(results::urls))
        .route(paths::FETCH, post(results::fetch))
        .route(paths::HEALTH, get(status::health))
        .route(paths::HEALTH_V1, get(status::health))
        .route(paths::OPENAPI, get(openapi::serve))
        .fallback(async || {
            Refusal::new(ErrorCode::NotFound, "there is nothing at this path")
                .hint("`/v1/openapi.json` lists what there is")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(ErrorCode::BadRequest, "this path does not take this method")
                .with_status(StatusCode::METHOD_NOT_ALLOWED)
                .hint("`/v1/openapi.json` lists what it takes")
        })
        .layer(from_fn_with_state(Arc::clone(&app), frame::frame))
        .with_state(app)
}
