//! What surrounds every request: its id, its span in the log, the limits on how many and how long, and the shape of
//! errors.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use filemill_api::{ErrorCode, paths};
use futures::FutureExt;
use tracing::Instrument;

use super::app::App;
use super::caller;
use super::caller::{Clock, Reserved};
use super::problem;
use super::problem::Refusal;
use super::status;
use super::v1;

/// Names the request in answer and log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// An answer up to this long needs no room of its own.
const SMALL_ANSWER_BYTES: usize = 4 << 10;

/// Runs a request: refuses it when too many of its caller are under way, ends it after a minute, survives its panic, logs it without
/// query and headers (they may carry secrets), and gives every error the one shape.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), route);
    async move {
        let begin = Instant::now();
        let mut response = admit(&app, request, next).await;
        v1::mark(&path, &mut response);
        let mut response = problem::write(response, &id);
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let (status, took_us) = (response.status().as_u16(), begin.elapsed().as_micros());
        if response.status().is_server_error() {
            tracing::warn!(status, took_us, "answered");
        } else {
            tracing::debug!(status, took_us, "answered");
        }
        response
    }
    .instrument(span)
    .await
}

/// Works on a request in the place of its caller. What is public has nothing to do with tokens.
async fn admit(app: &App, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_health = path == paths::HEALTH || paths::HEALTH_BESIDE.contains(&path);
    let is_join = matches!(path, paths::JOINS | paths::v1::JOINS);
    if app.routes.is_public(path) && !is_join {
        return match caller::open_place(app, request.extensions().get()) {
            Some(()) => run(&Clock::start(app.bounds.request), request, next).await,
            None if is_health => status::health_at_once(app).await,
            None => problem::full().bare().into_response(),
        };
    }
    let (mut head, body) = request.into_parts();
    let admitted = if is_join { caller::without_token(app, &head) } else { caller::admit(app, &head).await };
    let ticket = match admitted {
        Ok(ticket) => ticket,
        Err(refusal) => return refusal.into_response(),
    };
    head.extensions.insert(ticket.clone());
    if ticket.caller.is_ok() {
        app.usage.count(head.uri.path(), &head.headers);
    }
    let request = Request::from_parts(head, body);
    let response = run(&ticket.clock, request, next).await;
    ticket.worked_on();
    // Small ones take no more than the place that they have. Of others the handler may have made sure before.
    let bytes = response.body().size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if bytes <= SMALL_ANSWER_BYTES || response.extensions().get::<Reserved>().is_some() {
        return response;
    }
    match ticket.account.answer(bytes) {
        Some(room) => {
            ticket.keep(room);
            response
        }
        None => caller::no_room_for_answer().into_response(),
    }
}

async fn run(clock: &Clock, request: Request, next: Next) -> Response {
    let limit = async {
        loop {
            match clock.until() {
                Some(until) if until <= tokio::time::Instant::now() => break,
                Some(until) => tokio::time::sleep_until(until).await,
                None => tokio::time::sleep(clock.time()).await,
            }
        }
    };
    tokio::select! {
        ran = AssertUnwindSafe(next.run(request)).catch_unwind() => match ran {
            Ok(response) => response,
            // The panic's own words are in the log already.
            Err(_) => Refusal::fault("a handler panicked").into_response(),
        },
        () = limit => Refusal::new(
            ErrorCode::Unavailable,
            format!("the request took longer than {} s", clock.time().as_secs()),
        )
        .hint("try again, in smaller batches")
        .into_response(),
    }
}

/// The caller's own id if it is a harmless one, so that both logs can be put together, or a new one.
fn request_id(request: &Request) -> String {
    let harmless = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless);
    given.map_or_else(fresh_id, ToOwned::to_owned)
}

fn fresh_id() -> String {
    let mut bytes = [0; 8];
    // An id that repeats is a nuisance for whoever reads the log, no more.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    HEXLOWER.encode(&bytes)
}
