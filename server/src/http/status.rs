//! Whether the server can work, and what it has done.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorCode, paths};

use super::app::App;
use super::auth::{Operator, Public};
use super::problem::Refusal;

/// As OpenMetrics 1.0 is sent.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the server can work: it reaches its database, and is not about to stop. Changes nothing.
///
/// No token.
#[utoipa::path(
    get,
    path = paths::HEALTH,
    tag = "status",
    responses((status = OK, description = "it can work")),
)]
pub(super) async fn health(_public: Public, State(app): State<App>) -> Result<&'static str, Refusal> {
    check_stop(&app)?;
    Ok(app.health.ask(&app.maintenance).await.map(|()| "ok\n")?)
}

/// Counters of this server since it started, as OpenMetrics text. Changes nothing.
///
/// Scope `operator`.
#[utoipa::path(
    get,
    path = paths::METRICS,
    tag = "status",
    responses((status = OK, description = "OpenMetrics 1.0", body = String, content_type = "application/openmetrics-text")),
)]
pub(super) async fn metrics(_operator: Operator, State(app): State<App>) -> Result<Response, Refusal> {
    let text = app.usage.text().map_err(Refusal::fault)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// The same for somebody who has no place, because others of the address do not read their answers: the head only, and nobody waits.
/// What keeps a server running asks from such addresses, too.
pub(super) async fn health_at_once(app: &App) -> Response {
    let healthy = match check_stop(app) {
        Ok(()) => app.health.ask_at_once(&app.maintenance).await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    healthy.map_or_else(|refusal| refusal.bare().into_response(), |()| StatusCode::OK.into_response())
}

fn check_stop(app: &App) -> Result<(), Refusal> {
    if app.stop.is_cancelled() {
        return Err(Refusal::new(ErrorCode::Unavailable, "the server is stopping"));
    }
    Ok(())
}
