//! Why a call has no answer.

use filemill_api::ErrorBody;
use reqwest::StatusCode;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Not reached, cut off, or answered by something else than the server.
    #[error("it does not answer: {0}")]
    Away(String),
    /// The server's own answer.
    #[error("it answers {status}: {body}")]
    Refused { status: StatusCode, body: ErrorBody },
    /// Something else answered in the server's place, or something before it, such as a proxy.
    #[error(
        "it answers {0} without a reason that this program can read (hint: check that the address is a filemill server's)"
    )]
    Foreign(StatusCode),
    /// An answer that breaks the protocol.
    #[error("its answer breaks the protocol: {0}")]
    Malformed(String),
    /// The call is one of version 2 alone, and whoever answered does not have it: a server of release 0.1.0, perhaps one of several.
    #[error("it does not have this call, which version 2 of the API has (hint: update the server)")]
    OlderServer,
}

impl CallError {
    /// Whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Away(_) | Self::OlderServer => true,
            Self::Refused { status, .. } | Self::Foreign(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                    // A token may be made valid again, and work in hand is worth the wait.
                    || self.is_unauthorised()
            }
            Self::Malformed(_) => false,
        }
    }

    /// Whether the token is not (or no longer) good.
    pub(crate) fn is_unauthorised(&self) -> bool {
        matches!(
            self,
            Self::Refused { status, .. } | Self::Foreign(status)
                if matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }
}
