//! What a client is told by version 1.

use serde::{Deserialize, Serialize};

use crate::{Item, Outcome, SealedResult};

/// Which events to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct EventQuery {
    /// Only events after this cursor; 0 is the beginning.
    #[serde(default)]
    pub after: i64,
    /// The mark of the event at that cursor ([`Event::mark`]); empty where it is not known. With it the server answers [`EventPage::reset`] where
    /// its database does not have that event; without it, it takes the number's word.
    #[serde(default)]
    pub mark: Option<String>,
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
    /// The cursor that was asked about is not one of this database: it was restored, lost its last commits, or is another one. Nothing is
    /// in the page: read from the beginning, and find out what became of everything that is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// One thing that happened to one of the caller's uploads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Grows with every event of the organisation; there is none twice (but for the jobs of one batch, which only an upload of format 2 has),
    /// and none appears behind one that was read.
    pub cursor: i64,
    /// Tells this event from another that had or will have its cursor in another life of the database: a random number, 16 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
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

/// Names a result: one file of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultKey {
    /// Id of the upload.
    pub upload: String,
    /// The file's index.
    pub index: u32,
}

/// Asks for results again that came with an event and could not be fetched or checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FetchRequest {
    /// How far the caller has read the events, so that a database that does not have that can say so. Marks nothing as taken in.
    #[serde(default)]
    pub after: i64,
    /// As in [`EventQuery::mark`].
    #[serde(default)]
    pub mark: Option<String>,
    /// These are still to be fetched; at most [`crate::limits::MAX_FETCHED`]. The server keeps them although the caller has read on, as
    /// long as results that were never read.
    #[serde(default)]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_FETCHED }>")]
    pub want: Vec<ResultKey>,
    /// These need not be kept any more; at most [`crate::limits::MAX_FETCHED`].
    #[serde(default)]
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::limits::MAX_FETCHED }>")]
    pub fetched: Vec<ResultKey>,
}

/// Answers [`FetchRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FetchAnswer {
    /// One for each wanted, in the order asked: code `not_found` when there is no such result (any more).
    pub results: Vec<Item<FetchedResult>>,
    /// As [`EventPage::reset`]: then nothing was looked up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// A result that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FetchedResult {
    /// How the job ended; what the server knows.
    pub outcome: Outcome,
    /// What the processor sealed, if anything. A URL is fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedResult>,
    /// SHA-256 of what is inline, as the server has it: whoever got other bytes asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The server keeps it until it is said to be fetched. Not where the caller has [`crate::limits::MAX_UNFETCHED`] of them already.
    #[serde(default)]
    pub kept: bool,
}
