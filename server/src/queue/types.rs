//! What the queue is asked by and answers with, where the wire types do not fit: it names objects, a route presigns them.

use std::fmt;

use filemill_api::{JobOutcome, UploadState};

use crate::refusal::is_hex;
use crate::storage::Object;

/// An upload that is open; the answer to `open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The header to store; absent when it was confirmed before.
    pub header: Option<Object>,
    /// The wanted chunks, in the order asked.
    pub chunks: Vec<Object>,
    /// Chunks that count as stored, as sorted ranges `[first, last]`: all before the first gap, and beyond it as far as the request has
    /// no more than [`super::STORED_RANGES`] of them.
    pub stored: Vec<(u32, u32)>,
    /// What the upload is doing.
    pub state: UploadState,
}

/// An upload that went on; the answer to `advance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// The wanted chunks, in the order asked.
    pub chunks: Vec<Object>,
    /// What the upload is doing.
    pub state: UploadState,
}

/// Work for a node; the answer to `lease`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// By upload. Empty: nothing came in time.
    pub uploads: Vec<LeasedUploadWork>,
    /// For how long.
    pub lease_ms: u32,
    /// Digests of releases that the node is asked to describe.
    pub describe: Vec<String>,
    /// What the node told once and the database does not have.
    pub lacks: Vec<String>,
}

/// One upload some of whose jobs were leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedUploadWork {
    /// Its id.
    pub upload: String,
    /// The sealed header.
    pub header: Object,
    /// Number of chunks of the whole upload.
    pub chunks_expected: u32,
    /// The first chunks of the leased spans that are stored (sequence, object), in order of sequence.
    pub chunks: Vec<(u32, Object)>,
    /// The spans.
    pub spans: Vec<filemill_api::LeasedSpan>,
}

/// How far a reader of events says that it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last event's cursor; 0: the beginning.
    pub after: i64,
    /// What it says of that event's mark.
    pub mark: Mark,
    /// Which device it is, if it says so.
    pub device: Option<Device>,
}

/// A device of a member: a random number that the client made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device(u128);

impl Device {
    /// Reads its name: 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_hex(text, 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a reader says of an event's mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing: it does not know that there are marks.
    #[default]
    Unsaid,
    /// That it does not know it.
    Unknown,
    /// This.
    Known(i64),
}

/// Events in the order of their cursors; the answer to `events`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedEvents {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// Read on after this cursor.
    pub next: i64,
    /// The position is not one of this database: there are no events in this.
    pub reset: bool,
}

/// One event of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place in the organisation's order.
    pub cursor: i64,
    /// Random; 0 for events from before there were marks.
    pub mark: i64,
    /// Id of the upload.
    pub upload: String,
    /// What happened.
    pub kind: RecordedKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedKind {
    /// Jobs ended.
    Results {
        /// The jobs, ascending, with how each ended.
        jobs: Vec<JobOutcome>,
        /// What the processor sealed of them, if anything.
        sealed: Option<RecordedResult>,
    },
    /// Chunks must be sent again.
    ChunksMissing {
        /// Their sequence numbers.
        sequences: Vec<u32>,
    },
}

/// Where a sealed result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedResult {
    /// Here.
    Inline(Vec<u8>),
    /// In storage.
    Object(Object),
}

/// What became of results that were asked for again; the answer to `fetch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Of each that was wanted, in order.
    pub results: Vec<Result<FoundResult, filemill_api::ErrorBody>>,
    /// The caller's position is not one of this database: nothing was looked up.
    pub reset: bool,
}

/// A recorded result that was asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundResult {
    /// All jobs that it answers, ascending, with how each ended.
    pub jobs: Vec<JobOutcome>,
    /// What the processor sealed, if anything.
    pub sealed: Option<RecordedResult>,
    /// It is kept until it is said to be fetched.
    pub kept: bool,
}
