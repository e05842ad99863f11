//! Completed jobs on their way to the server: where they are handed in, and how many may wait.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use filemill_api::{JobOutcome, Outcome};
use tokio::sync::mpsc;

use super::seal::Sealed;
use crate::leases::Lease;
use crate::net::Major;

/// Completions that may wait to be sent; workers wait when there are more.
const WAITING: usize = 1024;

/// Bytes of results that may be on their way, in all, sealed or not yet. Engines that report a MiB each get no more memory than others.
const ROOM_BYTES: usize = 8 << 20;

/// How often whoever waits for room looks whether its lease has ended, which wakes nobody here.
const LOOKED_EVERY: Duration = Duration::from_millis(250);

/// Completed jobs, with the one result that answers them.
pub(crate) struct Done {
    pub(super) lease: Arc<Lease>,
    pub(super) jobs: Vec<JobOutcome>,
    pub(super) sealed: Option<Vec<u8>>,
    pub(super) taken: Vec<Taken>,
}

impl Done {
    pub(super) fn bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, Vec::len)
    }
}

/// Where completed jobs are handed in. What only version 2 of the API has words for goes a way of its own: while the server is one of
/// version 1 it waits, and nothing waits behind it.
pub(crate) struct Completions {
    any: Lane,
    newest: Lane,
}

/// The other ends.
pub(crate) struct Submitted {
    /// Results of which either version has words.
    pub(super) any: mpsc::Receiver<Done>,
    /// Those for which it takes version 2.
    pub(super) newest: mpsc::Receiver<Done>,
}

struct Lane {
    sender: mpsc::Sender<Done>,
    room: Arc<Room>,
}

impl Completions {
    pub(crate) fn channel() -> (Self, Submitted) {
        let ((any, from_any), (newest, from_newest)) = (Lane::new(), Lane::new());
        (Self { any, newest }, Submitted { any: from_any, newest: from_newest })
    }

    /// Room for a result of so many bytes; blocks while too much is on its way. `None` if the lease ended meanwhile: the server would refuse
    /// the result.
    pub(super) fn room(&self, lease: &Lease, bytes: usize) -> Option<Taken> {
        self.lane(lease).room.take(bytes, lease)
    }

    /// Hands in what came of some jobs, sealed, with the room that it takes; blocks while too many are on their way.
    pub(super) fn send(&self, lease: &Arc<Lease>, sealed: Sealed, taken: Vec<Taken>) {
        lease.completion_sent();
        let done = Done { lease: Arc::clone(lease), jobs: sealed.jobs, sealed: Some(sealed.body), taken };
        if let Err(mpsc::error::SendError(done)) = self.lane(lease).sender.blocking_send(done) {
            done.lease.completions_settled(1);
        }
    }

    /// Hands in a job of an upload whose header does not open: there is nobody to seal the reason for.
    pub(super) async fn send_unsealed(&self, lease: &Arc<Lease>, job: u32) {
        lease.completion_sent();
        let jobs = vec![JobOutcome { job, outcome: Outcome::Refused }];
        let done = Done { lease: Arc::clone(lease), jobs, sealed: None, taken: Vec::new() };
        if let Err(mpsc::error::SendError(done)) = self.lane(lease).sender.send(done).await {
            done.lease.completions_settled(1);
        }
    }

    fn lane(&self, lease: &Lease) -> &Lane {
        match lease.least() {
            Major::One => &self.any,
            Major::Two => &self.newest,
        }
    }
}

impl Lane {
    fn new() -> (Self, mpsc::Receiver<Done>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender, room: Arc::default() }, receiver)
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
    /// Waits for so many bytes; more than there are count as all. Blocks. `None` if the lease ended before there were as many.
    fn take(self: &Arc<Self>, bytes: usize, lease: &Lease) -> Option<Taken> {
        let bytes = bytes.min(ROOM_BYTES);
        let mut taken = self.taken_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken + bytes > ROOM_BYTES {
            if lease.ended().is_some() {
                return None;
            }
            (taken, _) = self.freed.wait_timeout(taken, LOOKED_EVERY).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        drop(taken);
        Some(Taken { room: Arc::clone(self), bytes })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.room.taken_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use filemill_api::LeasedSpan;

    use super::*;
    use crate::leases::{End, Leases};

    #[test]
    fn whoever_waits_for_room_is_let_go_when_its_lease_ends() {
        let (release, jobs) = (String::new(), vec![0]);
        let span =
            LeasedSpan { span: 1, fence: 1, release, jobs, first_chunk: 0, last_chunk: 0, attempt: 1, alone: false };
        let leases = Leases::new(Arc::default());
        let lease = leases.take_up("upload", span, Duration::MAX).expect("it is new");
        let room = Arc::new(Room::default());
        let all = room.take(ROOM_BYTES, &lease).expect("it is empty");
        let waiting = std::thread::spawn({
            let (room, lease) = (Arc::clone(&room), Arc::clone(&lease));
            move || room.take(1, &lease).is_none()
        });
        leases.end(&lease, End::Lost);
        assert!(waiting.join().expect("it does not panic"));
        drop(all);
        assert_eq!(*room.taken_bytes.lock().expect("sound"), 0);
    }
}
