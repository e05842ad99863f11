//! Why an object was not fetched or stored.

use crate::origins::ForeignUrl;

/// Why an object was not fetched or stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The URL is not one to follow. No request was made.
    #[error(transparent)]
    Foreign(#[from] ForeignUrl),
    /// The headers that the server says were signed cannot be sent with this body. No request was made.
    #[error("the server presigned a request that cannot be made: {0}")]
    Unusable(String),
    /// Storage itself sends the request elsewhere. It was not followed.
    #[error("storage redirects the request, which is never followed ({0})")]
    Redirect(String),
    /// The URL does not hold any more, or never did: another may.
    #[error("storage refuses the presigned URL: {detail}")]
    Refused {
        /// What storage says.
        detail: String,
        /// It is the URL's time that is over.
        expired: bool,
    },
    /// There is no such object.
    #[error("the object is not there ({0})")]
    NotFound(String),
    /// It is announced as longer than such an object may be. No request was made.
    #[error("the object is not the one that was stored: {0}")]
    TooLong(String),
    /// It does not have the length that was announced: not what was stored, or damaged on its way.
    #[error("the object is not the one that was stored: {0}")]
    Other(String),
    /// Storage cannot be reached or is out of order, or something answers in its place: it says nothing of the object or its URL, and may
    /// be over soon.
    #[error("storage cannot be used: {0}")]
    Away(String),
}
