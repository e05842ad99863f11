//! What rules are asked by and answer with, where the wire types do not fit: a rule names objects, a route presigns
//! them.

use std::fmt;

use filemill_api::{Outcome, UploadState};

use crate::storage::ObjectKey;

/// Who is asking, as the token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Row of the organisation.
    pub organisation: i64,
    /// Name of the organisation.
    pub organisation_name: String,
    /// Row of the member the token was made for.
    pub member: i64,
    /// Name of the member: a user or a node.
    pub member_name: String,
    /// What the token may do.
    pub scope: Scope,
    /// The pool that a processor speaks for; nobody else has one.
    pub pool: Option<String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Uploads, and reads what came of it.
    User,
    /// Leases and completes jobs of one pool, of all organisations.
    Processor,
    /// Publishes releases.
    Operator,
}

impl Scope {
    /// As tokens, command line and API write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Processor => "processor",
            Self::Operator => "operator",
        }
    }

    /// The scope called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Processor, Self::Operator].into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whom a pool serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Every organisation.
    Everyone,
    /// These, by name, and no others.
    Organisations(Vec<String>),
}

/// A pool, and whom it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolService {
    /// Its name.
    pub pool: String,
    /// Whom it serves.
    pub serves: Serves,
}

/// A token at its making: the only time its text is known.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Names it for revoking.
    pub id: i64,
    /// The secret, `fm_` + letter of the scope + `_` + 64 hex characters.
    pub text: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// Names it for revoking.
    pub id: i64,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the user or node.
    pub member: String,
    /// What it may do.
    pub scope: Scope,
    /// The pool that a processor's is for.
    pub pool: Option<String>,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

/// An object in storage, as a presigned PUT or GET must name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: ObjectKey,
    /// Its exact length in bytes.
    pub length: u64,
    /// Its SHA-256, hex.
    pub sha256: String,
}

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
    /// Digest of the release, hex.
    pub release: String,
    /// The sealed header.
    pub header: Object,
    /// Number of chunks of the whole upload.
    pub chunks_expected: u32,
    /// The first chunks of the leased runs that are stored (sequence, object), in order of sequence.
    pub chunks: Vec<(u32, Object)>,
    /// The runs.
    pub runs: Vec<filemill_api::LeasedRun>,
}

/// How far a reader of events says that it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last event's cursor; 0: the beginning.
    pub after: i64,
    /// What it says of that event's mark.
    pub mark: Mark,
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
    /// The position is none of this database's: there are no events in this.
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
    /// A job ended.
    Result {
        /// The file's index.
        index: u32,
        /// How.
        outcome: Outcome,
        /// What the processor sealed, if anything.
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
    /// The caller's position is none of this database's: nothing was looked up.
    pub reset: bool,
}

/// A recorded result that was asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundResult {
    /// How the job ended.
    pub outcome: Outcome,
    /// What the processor sealed, if anything.
    pub sealed: Option<RecordedResult>,
    /// It is kept until it is said to be fetched.
    pub kept: bool,
}

/// An engine release to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRelease {
    /// Name of the engine.
    pub engine: String,
    /// The release's version.
    pub version: String,
    /// SHA-256 of the component, hex.
    pub digest: String,
    /// Major of the engine contract.
    pub contract: u32,
    /// Length of the component in bytes.
    pub length: u64,
}

/// What became of a node's offer of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Clients of the pool see it now.
    pub visible: bool,
    /// The component to store first; absent although it is not visible while its object is being deleted.
    pub put: Option<Object>,
}

/// A component that a node brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// For whom.
    pub pool: String,
    /// Where it should be.
    pub object: Object,
}

/// Objects that nobody needs any more; the answer to `doomed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Keys to delete; deleting one that is gone is a success.
    pub keys: Vec<ObjectKey>,
    /// What `forget` removes once they are deleted.
    pub(crate) marks: super::sweep::Marks,
}
