//! What a client is told: results and calls for help, in one order, with a cursor.

use serde::{Deserialize, Serialize};

use crate::{Base64, Outcome, SignedGet};

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct EventQuery {
    /// Only events after this cursor; 0 is the beginning.
    #[serde(default)]
    pub after: i64,
    /// At most this many (default and maximum: [`crate::limits::MAX_EVENTS`]).
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Events in the order of their cursors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// The events; empty: nothing new.
    pub events: Vec<Event>,
    /// Read on after this cursor.
    pub next: i64,
}

/// One thing that happened to one of the caller's uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Grows with every event of the organisation; there is none twice, and none appears behind one that was read.
    pub cursor: i64,
    /// Id of the upload.
    pub upload: String,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A job ended: its one visible result.
    Result {
        /// The file's index.
        index: u32,
        /// How it ended; what the server knows.
        outcome: Outcome,
        /// What the processor sealed; absent where the server itself ended the job (cancelled, quarantined), or the header could not be opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<SealedResult>,
    },
    /// Stored chunks, or the header, are not there, or not what was stored: send them again.
    ChunksMissing {
        /// Their sequence numbers. None: it is the header that is not there; open the upload again.
        sequences: Vec<u32>,
    },
    /// Something that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A sealed result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SealedResult {
    /// The age file itself.
    Inline(Base64),
    /// Where it is; the URL is fresh whenever the event is read.
    Object(SignedGet),
}
