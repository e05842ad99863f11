//! One shape for every error, whatever its status.

use serde::{Deserialize, Serialize};

use crate::listed::listed;

listed! {
    /// What a caller may act on. The text beside it is for people.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
    #[serde(rename_all = "snake_case")]
    #[non_exhaustive]
    pub enum ErrorCode {
        /// The request does not have the form the API asks for (400, 413, 415, 422).
        BadRequest = "bad_request",
        /// No token, or one that is unknown or revoked (401).
        Unauthenticated = "unauthenticated",
        /// The token's scope does not cover this call (403).
        Forbidden = "forbidden",
        /// No such thing, or not this caller's (404).
        NotFound = "not_found",
        /// It exists already and differs (409).
        Conflict = "conflict",
        /// The lease has passed to another, or ended; stop working on it (409).
        Fenced = "fenced",
        /// The organisation's plan does not allow more now (429).
        OverQuota = "over_quota",
        /// Not now: the server is starting, stopping or over its capacity (503). Try again.
        Unavailable = "unavailable",
        /// A fault of the server's (500). Try again later.
        Internal = "internal",
    }
    /// A code that this build does not know.
    Unknown = "unknown"
}

impl ErrorCode {
    /// The status of an answer with this code, unless the answer says more exactly what is wrong with the request (413, 415, 422).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::Fenced => 409,
            Self::OverQuota => 429,
            Self::Unavailable => 503,
            Self::Internal | Self::Unknown => 500,
        }
    }
}

/// What went wrong, to what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what happened, to what.
    pub message: String,
    /// For people: what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// What went wrong.
    #[serde(flatten)]
    pub error: ErrorBody,
    /// Names this request in the server's log.
    pub request_id: String,
}

/// One item's answer in a batch: it succeeds or fails by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Item<T> {
    /// It was done, now or before.
    Ok(T),
    /// It was not done.
    Error(ErrorBody),
}

impl<T> Item<T> {
    /// As a `Result`.
    ///
    /// # Errors
    /// The item's own error.
    pub fn into_result(self) -> Result<T, ErrorBody> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Error(error) => Err(error),
        }
    }
}

impl<T> From<Result<T, ErrorBody>> for Item<T> {
    fn from(result: Result<T, ErrorBody>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(error) => Self::Error(error),
        }
    }
}

impl std::fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " (hint: {hint})"))
    }
}
