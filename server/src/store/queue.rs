//! Statements of the queue: uploads, chunks, runs, leases, events.

mod chunks;
mod devices;
mod events;
mod leases;
mod run_state;
mod runs;
mod tasks;
mod unfetched;
mod uploads;
mod views;

pub(crate) use chunks::ChunkRow;
pub(crate) use events::{EventRow, NewEvent, Place};
pub(crate) use leases::{Candidate, LeaseMark, WaitingMember};
pub(crate) use run_state::RunState;
pub(crate) use runs::{Cut, MAX_PAUSE_MS, NewRun, Requeued, RunRow, lo_of, run_id, upload_of};
pub(crate) use tasks::{NewTaskRelease, TaskRelease};
pub(crate) use unfetched::{ResultAt, ResultRow};
pub(crate) use uploads::{NewUpload, UploadRow};
pub(crate) use views::{ResultPlace, RunView};
