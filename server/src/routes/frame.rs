//! What surrounds every request: its id, its span in the log, the limits on how many and how long, and the shape of
//! errors.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use filemill_api::ErrorCode;
use futures::FutureExt;
use tracing::Instrument;

use super::{App, Refusal, problem};

/// Names the request in answer and log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a request may take, body included; a long poll ends well before.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a request: refuses it when too many are under way, ends it after a minute, survives its panic, logs it without
/// query and headers (they may carry secrets), and gives every error the one shape.
pub(super) async fn frame(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), route);
    async move {
        let begin = Instant::now();
        let response = admit(&app, request, next).await;
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

async fn admit(app: &App, request: Request, next: Next) -> Response {
    let Ok(_place) = app.requests.try_acquire() else {
        return Refusal::new(ErrorCode::Unavailable, "the server has as many requests as it can work on")
            .hint("try again in a second")
            .into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
        Ok(Ok(response)) => response,
        // The panic's own words are in the log already.
        Ok(Err(_)) => Refusal::fault("a handler panicked").into_response(),
        Err(_) => Refusal::new(
            ErrorCode::Unavailable,
            format!("the request took longer than {} s", REQUEST_TIMEOUT.as_secs()),
        )
        .hint("try again; send the body faster or in smaller batches")
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
