//! The fake by version 1 of the API, as a server of that version speaks it, or one of this version beside version 2.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use filemill_api::{EventKind, EventPage, OpenAnswer, Outcome, Releases, v1};

use super::{Fake, events, open, releases, upload_states, uploads};

/// Which majors the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speaks {
    #[default]
    Both,
    /// As release 0.1.0.
    OnlyOne,
    /// As release 0.1.0, behind a proxy that passes on the paths of version 1 alone, and says of others in its own words that they are not there.
    OnlyOneByProxy,
    /// A load balancer has servers of both kinds behind it, which answer in turn.
    InTurn,
}

pub(super) async fn releases_v1(fake: State<Fake>) -> Json<Releases> {
    let lists_formats = fake.0.lock().faults.lists_formats_in_v1;
    let Json(releases) = releases(fake).await;
    Json(if lists_formats { releases } else { Releases { formats: Vec::new(), ..releases } })
}

pub(super) async fn open_v1(fake: State<Fake>, Json(request): Json<v1::OpenRequest>) -> Json<OpenAnswer> {
    open(fake, Json(request.into())).await
}

pub(super) async fn uploads_v1(fake: State<Fake>) -> Json<v1::Uploads> {
    let Json(uploads) = uploads(fake).await;
    Json(uploads.into())
}

pub(super) async fn upload_v1(State(fake): State<Fake>, Path(id): Path<String>) -> Response {
    match upload_states(&fake, &id) {
        Ok(states) => Json(v1::JobStates::from(states)).into_response(),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn events_v1(State(fake): State<Fake>, Query(query): Query<v1::EventQuery>) -> Json<v1::EventPage> {
    let page = events::read(&fake, &events::in_v2(query));
    let as_one = fake.lock().faults.tells_batches_as_one;
    Json(if as_one { as_one_each(page) } else { page.into() })
}

/// Each batch as a result of its first job.
pub(super) fn as_one_each(mut page: EventPage) -> v1::EventPage {
    for event in &mut page.events {
        if let EventKind::Results { jobs, .. } = &mut event.kind
            && jobs.len() > 1
        {
            jobs.truncate(1);
            jobs[0].outcome = Outcome::Unknown;
        }
    }
    page.into()
}

pub(super) async fn fetch_v1(State(fake): State<Fake>, Json(request): Json<v1::FetchRequest>) -> Response {
    let wanted = request.want.clone();
    match events::fetched(&fake, request.into()) {
        Ok(answer) => Json(v1::FetchAnswer::from_v2(answer, &wanted)).into_response(),
        Err(refusal) => *refusal,
    }
}
