//! Who is asking.

use axum::Json;
use axum::extract::State;
use filemill_api::{WhoAmI, paths};

use super::app::App;
use super::auth::Anyone;

/// Who the token stands for, and the origins that presigned URLs point to. Changes nothing.
///
/// Any scope.
#[utoipa::path(get, path = paths::WHOAMI, tag = "status", responses((status = OK, body = WhoAmI)))]
pub(super) async fn whoami(Anyone(caller): Anyone, State(app): State<App>) -> Json<WhoAmI> {
    Json(WhoAmI {
        organisation: caller.organisation_name,
        user: caller.member_name,
        scope: caller.scope.name().to_owned(),
        pool: caller.pool,
        server: env!("CARGO_PKG_VERSION").to_owned(),
        storage_origins: vec![app.storage.origin().to_owned()],
    })
}
