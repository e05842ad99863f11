//! Leases in hand: until when each is known to be held, and how its end reaches whoever works on it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use filemill_api::{LeasedSpan, SpanKey};
use filemill_runtime::Cancel;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::in_hand::InHand;
use crate::clock;
use crate::net::{CallError, Major};
use crate::telemetry::{Counters, event};

/// One span under lease.
pub(crate) struct Lease {
    pub(crate) key: SpanKey,
    /// The upload's id, as the server writes it.
    pub(crate) upload: String,
    pub(crate) span: LeasedSpan,
    /// Ends the engine runs of this lease.
    pub(crate) cancel: Cancel,
    /// Ends everything else that works for this lease.
    pub(crate) over: CancellationToken,
    standing: Mutex<Standing>,
    changed: Condvar,
    progress: AtomicU32,
    /// Jobs that have not been run (or given up).
    open_jobs: AtomicU32,
    /// Completions that the server has not answered yet.
    completing: AtomicU32,
    settled: Notify,
    /// A result of it could not be stored, because storage does not answer this node.
    lacks_storage: AtomicBool,
    /// Only version 2 of the API has words for its results.
    is_of_version_2: AtomicBool,
    in_hand: Arc<InHand>,
    /// Whether its jobs are not counted as in hand, because they wait for something that keeps no slot busy.
    aside: Mutex<bool>,
}

struct Standing {
    /// On [`clock::now`]: until then no other processor can have it.
    held_until: Duration,
    /// On [`clock::now`]: since when something of it waits for a server of version 2 of the API.
    waits_since: Option<Duration>,
    ended: Option<End>,
}

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every job of it is completed.
    Done,
    /// It has passed to another processor.
    Lost,
    /// The uploader cancelled it.
    Cancelled,
    /// It was handed back.
    Returned,
}

/// All leases in hand.
pub(crate) struct Leases {
    by_span: Mutex<HashMap<i64, Arc<Lease>>>,
    in_hand: Arc<InHand>,
    counters: Arc<Counters>,
}

/// Waits for what `leases` need before they can keep a slot busy. If that takes a while, other jobs are asked for meanwhile: a
/// release that takes a minute to compile leaves no slot empty. Cancel safe.
pub(crate) async fn aside<T>(leases: &[Arc<Lease>], what: impl Future<Output = T>) -> T {
    /// Takes them back, also where the wait is called off.
    struct Back<'a>(&'a [Arc<Lease>]);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            self.0.iter().for_each(|lease| lease.take_back());
        }
    }
    let mut what = pin!(what);
    if let Poll::Ready(at_once) = futures::poll!(&mut what) {
        return at_once;
    }
    leases.iter().for_each(|lease| lease.set_aside());
    let _back = Back(leases);
    what.await
}

impl Leases {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { by_span: Mutex::default(), in_hand: Arc::default(), counters }
    }

    /// Takes up a leased span, held until `held_until`; `None` if it is in hand already.
    pub(crate) fn take_up(&self, upload: &str, span: LeasedSpan, held_until: Duration) -> Option<Arc<Lease>> {
        let key = SpanKey { span: span.span, fence: span.fence };
        let mut by_span = self.lock();
        if let Some(before) = by_span.get(&key.span) {
            // Of another upload it is of another life of the server's database, which gave the span's number again.
            if before.upload == upload && before.key.fence >= key.fence {
                return None;
            }
            // The span came back to us under a new claim: whoever works under the old one must stop.
            before.end(End::Lost);
        }
        // A span holds at most 64 jobs.
        let jobs = span.jobs.len() as u32;
        self.in_hand.add(jobs);
        let lease = Arc::new(Lease {
            key,
            upload: upload.to_owned(),
            span,
            cancel: Cancel::default(),
            over: CancellationToken::new(),
            standing: Mutex::new(Standing { held_until, waits_since: None, ended: None }),
            changed: Condvar::new(),
            progress: AtomicU32::new(0),
            open_jobs: AtomicU32::new(jobs),
            completing: AtomicU32::new(0),
            settled: Notify::new(),
            lacks_storage: AtomicBool::new(false),
            is_of_version_2: AtomicBool::new(false),
            in_hand: Arc::clone(&self.in_hand),
            aside: Mutex::new(false),
        });
        by_span.insert(key.span, Arc::clone(&lease));
        Some(lease)
    }

    /// Every lease in hand.
    pub(crate) fn all(&self) -> Vec<Arc<Lease>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn find(&self, key: SpanKey) -> Option<Arc<Lease>> {
        self.lock().get(&key.span).filter(|lease| lease.key == key).cloned()
    }

    /// Ends a lease and forgets it; says whether it was still going.
    pub(crate) fn end(&self, lease: &Lease, end: End) -> bool {
        let mut by_span = self.lock();
        if by_span.get(&lease.key.span).is_some_and(|found| found.key == lease.key) {
            by_span.remove(&lease.key.span);
        }
        drop(by_span);
        lease.end(end)
    }

    /// A lease has passed to another processor, or is no more: everything of it is discarded.
    pub(crate) fn lost(&self, lease: &Lease) {
        if self.end(lease, End::Lost) {
            self.counters.leases_lost.add(1);
            event!("lease lost", upload = %lease.upload, run = lease.key.span, fence = lease.key.fence);
        }
    }

    /// Takes it from an answer to a call in `least` or a later version of the API whether there is a server of version 2. While there is none,
    /// each lease whose results take that version waits for it. One that is away may be on its way from one version to the other.
    pub(crate) fn hear_version<T>(&self, least: Major, answer: &Result<T, CallError>) {
        let waits_since = match answer {
            Ok(_) | Err(CallError::Away(_)) if least == Major::Two => None,
            Err(CallError::OlderServer) => Some(clock::now()),
            _ => return,
        };
        for lease in self.lock().values().filter(|lease| lease.least() == Major::Two) {
            match waits_since {
                None => lease.lock().waits_since = None,
                // What runs for an hour may have nothing to say before there is one again.
                Some(_) if lease.open_jobs() as usize == lease.span.jobs.len() => {}
                Some(now) => lease.waits_for_version_2(now),
            }
        }
    }

    /// Ends a lease that has waited for a server of version 2 for as long as a lease lasts, and says whether it did. One of version 1 may know
    /// the lease and confirm it for ever, while what waits here keeps slots and room from the work that it does give.
    pub(super) fn end_if_in_vain(&self, lease: &Lease, lasts: Duration) -> bool {
        let since = lease.lock().waits_since;
        let in_vain = since.is_some_and(|since| clock::now().saturating_sub(since) >= lasts);
        if in_vain && lease.ended().is_none() {
            tracing::warn!(
                upload = %lease.upload,
                run = lease.key.span,
                "a lease is given up: its results take version 2 of the API, which the server has not had for {} s; it gives the jobs \
                 out again when the lease has run out (hint: update the server)",
                lasts.as_secs()
            );
            self.lost(lease);
        }
        in_vain
    }

    pub(super) fn in_hand(&self) -> &InHand {
        &self.in_hand
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Lease>>> {
        self.by_span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The server said that the lease is held until `held_until`.
    pub(crate) fn confirm(&self, held_until: Duration) {
        let mut standing = self.lock();
        standing.held_until = standing.held_until.max(held_until);
        drop(standing);
        self.changed.notify_all();
    }

    /// Why it ended; `None` while it has not.
    pub(crate) fn ended(&self) -> Option<End> {
        self.lock().ended
    }

    /// Waits until it is certain whether the lease is held, and says so. Blocks.
    ///
    /// It is uncertain after the node was frozen or cut off for longer than the lease: then nothing new is begun before
    /// the server has answered a report.
    pub(crate) fn wait_held(&self) -> bool {
        let mut standing = self.lock();
        loop {
            if standing.ended.is_some() {
                return false;
            }
            if clock::now() < standing.held_until {
                return true;
            }
            standing = self.changed.wait(standing).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, end: End) -> bool {
        let mut standing = self.lock();
        if standing.ended.is_some() {
            return false;
        }
        standing.ended = Some(end);
        drop(standing);
        self.cancel.cancel();
        self.over.cancel();
        self.changed.notify_all();
        let mut aside = self.lock_aside();
        let open = self.open_jobs.swap(0, Ordering::Relaxed);
        if std::mem::take(&mut *aside) {
            self.in_hand.forget_aside(open);
        } else {
            self.in_hand.remove(open);
        }
        true
    }

    fn lock_aside(&self) -> MutexGuard<'_, bool> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does not count its jobs as in hand for now, unless there are too many such.
    fn set_aside(&self) {
        let mut aside = self.lock_aside();
        if !*aside {
            *aside = self.in_hand.set_aside(self.open_jobs());
        }
    }

    /// Counts them again.
    fn take_back(&self) {
        let mut aside = self.lock_aside();
        if std::mem::take(&mut *aside) {
            self.in_hand.take_back(self.open_jobs());
        }
    }

    /// One of its jobs was run or given up.
    pub(crate) fn job_ended(&self) {
        let before = self.open_jobs.try_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
        if before.is_ok() {
            self.in_hand.remove(1);
        }
        self.set_progress(0);
    }

    /// Jobs that were neither run nor given up.
    pub(crate) fn open_jobs(&self) -> u32 {
        self.open_jobs.load(Ordering::Relaxed)
    }

    /// How far the job that runs is, 0 to 1000.
    pub(crate) fn set_progress(&self, per_mille: u32) {
        let jobs = self.span.jobs.len().max(1) as u32;
        let done = jobs.saturating_sub(self.open_jobs());
        self.progress.store(((done * 1000 + per_mille.min(1000)) / jobs).min(1000), Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> u32 {
        self.progress.load(Ordering::Relaxed)
    }

    /// A completion of it is on its way to the server.
    pub(crate) fn completion_sent(&self) {
        self.completing.fetch_add(1, Ordering::SeqCst);
    }

    /// `n` completions were settled, whichever way.
    pub(crate) fn completions_settled(&self, n: u32) {
        if self.completing.fetch_sub(n, Ordering::SeqCst) == n {
            self.settled.notify_one();
        }
    }

    /// Waits until the server has answered every completion that was sent, or the lease has ended. For one caller; cancel safe.
    pub(crate) async fn settled(&self) {
        while self.completing.load(Ordering::SeqCst) > 0 && !self.over.is_cancelled() {
            tokio::select! {
                () = self.settled.notified() => {}
                () = self.over.cancelled() => {}
            }
        }
    }

    /// Storage does not answer this node, so that a result of it cannot be stored.
    pub(crate) fn storage_is_away(&self) {
        self.lacks_storage.store(true, Ordering::SeqCst);
    }

    pub(crate) fn lacks_storage(&self) -> bool {
        self.lacks_storage.load(Ordering::SeqCst)
    }

    /// Its upload is of a format that only version 2 of the API knows.
    pub(crate) fn needs_version_2(&self) {
        self.is_of_version_2.store(true, Ordering::SeqCst);
    }

    /// Something of it waits for a server of version 2, since `now` if nothing did before.
    pub(crate) fn waits_for_version_2(&self, now: Duration) {
        self.lock().waits_since.get_or_insert(now);
    }

    /// The oldest version of the API that has words for what is said of it.
    pub(crate) fn least(&self) -> Major {
        if self.is_of_version_2.load(Ordering::SeqCst) { Major::Two } else { Major::One }
    }

    /// When the lease passes to another unless it is reported, on [`clock::now`].
    pub(crate) fn held_until(&self) -> Duration {
        self.lock().held_until
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::leases::in_hand::ASIDE_MAX;

    fn take_up(leases: &Leases, span: i64, jobs: u32) -> Arc<Lease> {
        let (release, jobs) = (String::new(), (0..jobs).collect());
        let span =
            LeasedSpan { span, fence: 1, release, jobs, first_chunk: 0, last_chunk: 0, attempt: 1, alone: false };
        leases.take_up("upload", span, Duration::MAX).expect("it is new")
    }

    #[tokio::test]
    async fn jobs_that_wait_for_their_release_keep_no_slot_from_others() {
        let leases = Leases::new(Arc::default());
        let waits = [take_up(&leases, 1, 2), take_up(&leases, 2, 3)];
        take_up(&leases, 3, 1);
        aside(&waits, ready(())).await;
        assert_eq!(leases.in_hand().jobs(), 6);
        {
            let mut waiting = pin!(aside(&waits, pending::<()>()));
            assert!(futures::poll!(&mut waiting).is_pending());
            assert_eq!(leases.in_hand().jobs(), 1);
            assert!(leases.end(&waits[0], End::Lost), "while it waits");
            assert_eq!(leases.in_hand().jobs(), 1);
        }
        assert_eq!(leases.in_hand().jobs(), 4, "the other's jobs can run now");
        leases.end(&waits[1], End::Lost);
        assert_eq!(leases.in_hand().jobs(), 1);
        assert_eq!(leases.in_hand().aside(), 0);
    }

    #[test]
    fn a_lease_waits_for_version_2_from_when_it_is_missed_until_it_is_there() {
        let leases = Leases::new(Arc::default());
        let [old, begun, untouched] = [1, 2, 3].map(|span| take_up(&leases, span, 2));
        [&begun, &untouched].into_iter().for_each(|lease| lease.needs_version_2());
        [&old, &begun].into_iter().for_each(|lease| lease.job_ended());
        let waits = || [&old, &begun, &untouched].map(|lease| lease.lock().waits_since.is_some());
        leases.hear_version(Major::Two, &Err::<(), _>(CallError::OlderServer));
        assert_eq!(waits(), [false, true, false]);
        leases.hear_version(Major::One, &Ok(()));
        assert_eq!(waits(), [false, true, false], "by version 1 either answers");
        assert!(!leases.end_if_in_vain(&begun, Duration::from_secs(3600)), "not yet");
        leases.hear_version(Major::Two, &Ok(()));
        assert_eq!(waits(), [false; 3]);
        assert!(!leases.end_if_in_vain(&begun, Duration::ZERO), "it does not wait any more");
        leases.hear_version(Major::Two, &Err::<(), _>(CallError::OlderServer));
        assert!(leases.end_if_in_vain(&begun, Duration::ZERO));
        assert_eq!((begun.ended(), untouched.ended(), old.ended()), (Some(End::Lost), None, None));
    }

    #[tokio::test]
    async fn no_more_jobs_wait_beside_than_may_be_leased_at_once() {
        let leases = Leases::new(Arc::default());
        let waits: Vec<_> = (0..17).map(|span| take_up(&leases, span, 64)).collect();
        let mut waiting = pin!(aside(&waits, pending::<()>()));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(leases.in_hand().jobs(), 17 * 64 - ASIDE_MAX);
    }
}
