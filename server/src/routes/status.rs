//! Who is asking, and whether the server can work.

use axum::Json;
use axum::extract::State;
use filemill_api::WhoAmI;

use super::auth::Anyone;
use super::{App, Refusal};

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
    app.rules.health().await?;
    Ok("ok\n")
}
