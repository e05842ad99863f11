//! Errors on their way out: one shape for every status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorBody, ErrorCode, Problem};

/// A refused request. The middleware [`super::middleware`] adds the request's id and writes the body.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: ErrorBody,
    is_bare: bool,
}

/// Marks an answer of which only the head is sent: there is nothing of it to wait for until somebody reads it.
#[derive(Clone)]
pub(super) struct Bare;

impl Refusal {
    /// With the status that goes with the code.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::from(ErrorBody { code, message: message.into(), hint: None })
    }

    /// With another status than the code's own.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Without its body, for those who do not read what they are told.
    pub(super) fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// What the caller is told.
    pub(super) fn into_body(self) -> ErrorBody {
        self.body
    }

    /// A fault of the server's: the cause goes to the log, the caller is told where to look.
    pub(crate) fn fault(cause: impl std::fmt::Display) -> Self {
        Self::from(fault(cause))
    }
}

/// A caller has as many requests under way as it may.
pub(super) fn full() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "as many requests of this caller are under way as it may have")
        .hint("wait for their answers, then ask again")
}

/// As [`Refusal::fault`], for one item of a batch.
pub(crate) fn fault(cause: impl std::fmt::Display) -> ErrorBody {
    tracing::error!(%cause, "the request failed");
    ErrorBody {
        code: ErrorCode::Internal,
        message: "the server failed to do this".to_owned(),
        hint: Some("try again; if it stays so, give the operator the request's id".to_owned()),
    }
}

impl From<ErrorBody> for Refusal {
    fn from(body: ErrorBody) -> Self {
        // The list has none that is not a status.
        let status = StatusCode::from_u16(body.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, body, is_bare: false }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self.body);
        if self.is_bare {
            response.extensions_mut().insert(Bare);
        }
        response
    }
}

/// Gives an unsuccessful response its body. One that came without a [`Refusal`] (from the framework) gets a text by its
/// status.
pub(super) fn write(response: Response, request_id: &str) -> Response {
    let status = response.status();
    if status.is_success() || status.is_informational() || status.is_redirection() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let error = parts.extensions.remove::<ErrorBody>().unwrap_or_else(|| ErrorBody {
        code: if status.is_server_error() { ErrorCode::Internal } else { ErrorCode::BadRequest },
        message: status.canonical_reason().unwrap_or("the request was refused").to_lowercase(),
        hint: None,
    });
    if status == StatusCode::UNAUTHORIZED {
        parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // Those of the body that is replaced.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    if parts.extensions.get::<Bare>().is_some() {
        return (status, parts.headers).into_response();
    }
    let problem = Problem { error, request_id: request_id.to_owned() };
    (status, parts.headers, axum::Json(problem)).into_response()
}
