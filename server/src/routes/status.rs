//! Who is asking, and whether the server can work.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use filemill_api::{ErrorBody, WhoAmI};
use tokio::sync::Mutex;

use super::auth::Anyone;
use super::{App, Refusal};

/// How long the database counts as it was.
const HEALTH_REMEMBERED: Duration = Duration::from_millis(200);

/// Who the token stands for, and the origins that presigned URLs point to. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = "/v1/whoami", tag = "status", responses((status = OK, body = WhoAmI)))]
pub(super) async fn whoami(State(app): State<App>, Anyone(caller): Anyone) -> Json<WhoAmI> {
    Json(WhoAmI {
        organisation: caller.organisation_name,
        user: caller.member_name,
        scope: caller.scope.name().to_owned(),
        pool: caller.pool,
        server: env!("CARGO_PKG_VERSION").to_owned(),
        storage_origins: vec![app.storage.origin().to_owned()],
    })
}

/// Whether the server can work: it reaches its database, and is not about to stop. Changes nothing.
///
/// No token.
#[utoipa::path(
    get,
    path = "/health",
    tag = "status",
    security(()),
    responses((status = OK, description = "it can work")),
)]
pub(super) async fn health(State(app): State<App>) -> Result<&'static str, Refusal> {
    if app.stop.is_cancelled() {
        return Err(Refusal::new(filemill_api::ErrorCode::Unavailable, "the server is stopping"));
    }
    Ok(app.health.ask(&app).await.map(|()| "ok\n")?)
}

/// What the database answered last. Whoever asks often gets that: the question makes no more work than its answer is worth.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<(Instant, Result<(), ErrorBody>)>>);

impl Health {
    async fn ask(&self, app: &App) -> Result<(), ErrorBody> {
        let mut last = self.0.lock().await;
        if let Some((since, answer)) = &*last
            && since.elapsed() < HEALTH_REMEMBERED
        {
            return answer.clone();
        }
        let answer = app.rules.health().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
