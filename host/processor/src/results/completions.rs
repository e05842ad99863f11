//! Completed jobs on their way to the server: where they are handed in, and how many may wait.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use filemill_api::Outcome;
use tokio::sync::mpsc;

use super::seal::Sealed;
use crate::leases::Lease;

/// Completions that may wait to be sent; workers wait when there are more.
const WAITING: usize = 1024;

/// Bytes of sealed results that may be on their way, in all. Engines that report a MiB each get no more memory than others.
const ROOM_BYTES: usize = 8 << 20;

/// One completed job.
pub(crate) struct Done {
    pub(super) lease: Arc<Lease>,
    pub(super) index: u32,
    pub(super) outcome: Outcome,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) taken: Option<Taken>,
}

impl Done {
    pub(super) fn bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, Vec::len)
    }
}

/// Where completed jobs are handed in.
pub(crate) struct Completions {
    sender: mpsc::Sender<Done>,
    room: Arc<Room>,
}

impl Completions {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Done>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender, room: Arc::default() }, receiver)
    }

    /// Hands in what came of a job, sealed; blocks while too much is on its way.
    pub(crate) fn send(&self, lease: &Arc<Lease>, index: u32, sealed: Sealed) {
        lease.completion_sent();
        let taken = Some(self.room.take(sealed.body.len()));
        let (lease, outcome, sealed) = (Arc::clone(lease), sealed.outcome, Some(sealed.body));
        if let Err(mpsc::error::SendError(done)) =
            self.sender.blocking_send(Done { lease, index, outcome, sealed, taken })
        {
            done.lease.completions_settled(1);
        }
    }

    /// Hands in a job of an upload whose header does not open: there is nobody to seal the reason for.
    pub(crate) async fn send_unsealed(&self, lease: &Arc<Lease>, index: u32) {
        lease.completion_sent();
        let (lease, outcome) = (Arc::clone(lease), Outcome::Refused);
        let done = Done { lease, index, outcome, sealed: None, taken: None };
        if let Err(mpsc::error::SendError(done)) = self.sender.send(done).await {
            done.lease.completions_settled(1);
        }
    }
}

/// How much of [`ROOM_BYTES`] is taken. Workers wait for it on their own threads, which no semaphore of tokio's can do.
#[derive(Default)]
struct Room {
    taken_bytes: Mutex<usize>,
    freed: Condvar,
}

/// A part of the room, until it is dropped.
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Waits for so many bytes; more than there are count as all. Blocks.
    fn take(self: &Arc<Self>, bytes: usize) -> Taken {
        let bytes = bytes.min(ROOM_BYTES);
        let mut taken = self.taken_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken + bytes > ROOM_BYTES {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        drop(taken);
        Taken { room: Arc::clone(self), bytes }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.taken_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_all();
    }
}
