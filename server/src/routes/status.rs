//! Who is asking, and whether the server can work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorBody, ErrorCode, WhoAmI};

use super::auth::Anyone;
use super::{App, Refusal, caller};

/// How long the database counts as it was.
const HEALTH_REMEMBERED: Duration = Duration::from_millis(200);
/// The same while somebody asks it again.
const HEALTH_KNOWN: Duration = Duration::from_secs(30);

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
    check_stop(&app)?;
    Ok(app.health.ask(&app).await.map(|()| "ok\n")?)
}

/// The same for somebody who has no place, because others of the address do not read their answers: the head only, and nobody waits.
/// What keeps a server running asks from such addresses, too.
pub(super) async fn health_at_once(app: &App) -> Response {
    let healthy = match check_stop(app) {
        Ok(()) => app.health.ask_at_once(app).await.map_err(Refusal::from),
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

/// What the database answered last. Whoever asks often gets that: the question makes no more work than its answer is worth.
#[derive(Default)]
pub(super) struct Health {
    /// Held by who asks.
    asking: tokio::sync::Mutex<()>,
    last: Mutex<Option<(Instant, Result<(), ErrorBody>)>>,
}

impl Health {
    async fn ask(&self, app: &App) -> Result<(), ErrorBody> {
        let _asking = self.asking.lock().await;
        match self.last(HEALTH_REMEMBERED) {
            Some(answer) => answer,
            None => self.look(app).await,
        }
    }

    /// Asks if nobody does; what came last otherwise.
    async fn ask_at_once(&self, app: &App) -> Result<(), ErrorBody> {
        if let Some(answer) = self.last(HEALTH_REMEMBERED) {
            return answer;
        }
        match self.asking.try_lock() {
            Ok(_asking) => self.look(app).await,
            Err(_) => self.last(HEALTH_KNOWN).unwrap_or_else(|| Err(caller::full().into_body())),
        }
    }

    async fn look(&self, app: &App) -> Result<(), ErrorBody> {
        let answer = app.rules.health().await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer.clone()));
        answer
    }

    fn last(&self, within: Duration) -> Option<Result<(), ErrorBody>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(since, _)| since.elapsed() < within).map(|(_, answer)| answer.clone())
    }
}
