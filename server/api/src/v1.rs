//! Version 1 of those types that version 2 has otherwise, and how each becomes the other: whoever still speaks version 1 does it through
//! this, and nothing else in the system knows of it.
//!
//! Version 1 says *run* where version 2 says span, and names a job by its file's index: that is the job's number where there is one task.
//! What version 1 has no words for (an upload of format 2, a batch of several results) does not become one of its types.

mod events;
mod leases;
mod uploads;

mod from_v1;
mod to_v1;

pub use events::{Event, EventKind, EventPage, EventQuery, FetchAnswer, FetchRequest, FetchedResult, ResultKey};
pub use leases::{
    ChunksRequest, Complete, CompleteRequest, Completion, LeaseAnswer, LeaseReport, LeaseRequest, LeaseReturn,
    LeasedRun, LeasedUpload, MissingRequest, ReportAnswer, ReportRequest, ResultUrlRequest, ReturnRequest, RunKey,
    WantResult,
};
pub use to_v1::NotInVersion1;
pub use uploads::{JobStates, OpenRequest, OpenUpload, StateRange, UploadSummary, Uploads};
