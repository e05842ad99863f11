//! The wire types of Filemill's HTTP API, major 2, and of major 1 in [`v1`].
//!
//! Client, processor and server share these and nothing else; `docs/protocol.md` says what each call does. All of them are
//! plain data: whoever receives one checks it against [`limits`] and its own state.
//!
//! Within a major, fields are added as optional and never change their meaning; unknown fields are ignored.
//!
//! ```
//! use filemill_api::{Item, OpenedUpload};
//!
//! let answer = r#"{"error": {"code": "conflict", "message": "upload `00…` exists with another header"}}"#;
//! let item: Item<OpenedUpload> = serde_json::from_str(answer).unwrap();
//! assert_eq!(item.into_result().unwrap_err().code, filemill_api::ErrorCode::Conflict);
//! ```

pub mod abilities;
mod bounded;
mod date;
mod encoding;
mod engines;
mod error;
mod events;
mod joins;
mod leases;
pub mod limits;
mod listed;
mod outcome;
pub mod paths;
mod releases;
mod requests;
mod uploads;
pub mod v1;

pub use date::unix_seconds_of;
pub use encoding::Base64;
pub use engines::{LOCAL_PREFIX, Offer, OfferAnswer, OfferRequest, OfferState};
pub use error::{ErrorBody, ErrorCode, Item, Problem};
pub use events::{
    Event, EventKind, EventPage, EventQuery, FetchAnswer, FetchRequest, FetchedResult, ResultKey, SealedResult,
};
pub use joins::{
    JOIN_CODE_ALPHABET, JOIN_CODE_CHARACTERS, JoinAnswer, JoinRequest, LoginCode, join_code, join_code_of,
    shown_join_code,
};
pub use leases::{
    ChunkUrl, ChunksAnswer, ChunksRequest, Complete, CompleteAnswer, CompleteRequest, Completed, JobOutcome,
    LeaseAnswer, LeaseReport, LeaseRequest, LeaseReturn, LeasedSpan, LeasedUpload, MissingRequest, ReportAnswer,
    ReportRequest, ResultUrlRequest, ResultUrls, ReturnReason, ReturnRequest, SealedBody, SpanKey, SpanResult, Told,
    WantResult,
};
pub use outcome::{Outcome, OutcomeClass};
pub use releases::{
    ComponentUrl, DescriptionQuery, Pools, PublishPool, Release, Releases, ReleasesQuery, SignedStatement, WhoAmI,
};
pub use requests::{SignedGet, SignedPut};
pub use uploads::{
    AdvanceAnswer, AdvanceRequest, AdvanceUpload, AdvancedUpload, CancelRequest, Cancelled, ChunkWant, FileRange,
    JobStates, OpenAnswer, OpenRequest, OpenTask, OpenUpload, OpenedUpload, StateRange, UploadLimits, UploadState,
    UploadSummary, Uploads, UploadsQuery, WaitReason,
};
