//! Engines that nodes bring themselves.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use filemill_api::{ErrorBody, Item, Offer, OfferAnswer, OfferRequest, OfferState, paths};
use futures::future::join_all;

use crate::catalog::Offered;
use crate::http::app::App;
use crate::http::auth::{Offers, Processor};
use crate::http::body::{JsonBody, Large, PathParts};
use crate::http::problem::{Refusal, fault};
use crate::storage::Signer;

/// Replaces the engines that a node offers to the clients of its pool, and signs PUTs for components that are not stored yet, those
/// included that the node says it stored and storage does not hold. One of which storage does not say whether it holds it is not
/// visible, and not signed for. A node that says that it is stopping offers nothing, and counts as gone at once.
///
/// Scope `processor`, for the token's pool only.
#[utoipa::path(
    put,
    path = paths::ENGINES,
    tag = "releases",
    params(("pool" = String, Path, description = "name of the pool")),
    request_body = OfferRequest,
    responses((status = OK, body = OfferAnswer)),
)]
pub(in crate::http) async fn offer(
    own: Processor<Offers>,
    State(app): State<App>,
    PathParts(pool): PathParts<String>,
    body: JsonBody<OfferRequest, Large>,
) -> Result<Json<OfferAnswer>, Refusal> {
    let mut request = body.value;
    let claimed = app.catalog.claimed_as_stored(&own, &request).await?;
    let looks = claimed.iter().map(async |object| app.storage.holds(&object.key, object.length, &object.sha256).await);
    let mut unknown = HashSet::new();
    for (object, there) in claimed.iter().zip(join_all(looks).await) {
        let there = there.unwrap_or_else(|error| {
            tracing::warn!(%error, pool = &*own, digest = object.sha256, "cannot look at a component");
            unknown.insert(object.sha256.as_str());
            false
        });
        // What was looked at is one claim of perhaps several: those of another length are not true.
        let claims = request.engines.iter_mut().filter(|offer| offer.digest == object.sha256);
        claims.for_each(|offer| offer.stored &= there && offer.length == object.length);
    }
    let offered = app.catalog.offer_engines(&own, &pool, &request).await?;
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    let item = |(offer, offered): (&Offer, Result<Offered, ErrorBody>)| {
        let offered = offered.map(|offered| match unknown.contains(offer.digest.as_str()) {
            // It may well be there: the node need not store it again, and says the same again soon.
            true => Offered { put: None, ..offered },
            false => offered,
        });
        match offered.and_then(|offered| sign(&signer, offered)) {
            Ok(state) => Item::Ok(state),
            Err(error) => Item::Error(error),
        }
    };
    Ok(Json(OfferAnswer { engines: request.engines.iter().zip(offered).map(item).collect() }))
}

fn sign(signer: &Signer, offered: Offered) -> Result<OfferState, ErrorBody> {
    let put = offered.put.map(|object| signer.put(&object.key, object.length, &object.sha256));
    Ok(OfferState { visible: offered.visible, put: put.transpose().map_err(fault)? })
}
