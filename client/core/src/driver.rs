//! Drives one activity: files come in, uploads go out, results come back, until nothing is left to wait for.

mod conclude;
mod follow;
mod judged;
mod keep;
mod left_out;
mod pause;
mod reconcile;
mod refetch;
mod ruled;
mod select;
mod shared;
mod state;
mod target;
mod unassigned;
mod unkept;
mod unsent;
mod uploads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::pack::Patience;
use crate::source::Found;
use crate::walk::{MET_AT_ONCE, Met};
use select::Handed;
pub(crate) use shared::{Kind, Shared};
use shared::{Request, sleep_until};
pub(crate) use state::Driver;
use state::WEIGHT_MAX;
pub(crate) use unkept::Unkept;

/// A bundle is closed when nothing came for this long.
const BUNDLE_PAUSE: Duration = Duration::from_millis(200);
/// Or when its first file has waited for so long: files that come all the time, a few at once, are not to wait for each other.
const BUNDLE_WAIT: Duration = Duration::from_millis(500);
/// Uploads under way of this weight double that wait: while the server is slow, or away, bundles get longer instead of more.
const WEIGHT_PER_DOUBLING: usize = 8;
/// At most so often.
const DOUBLINGS_MAX: usize = 6;
/// Files that changed and wait to be sent again; while there are more, no new ones are taken.
const LATER_MAX: usize = 8192;
/// How long the end of an activity waits for uploads whose results are all there.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The same for an activity that was stopped.
const LAST_WORDS_STOPPED: Duration = Duration::from_secs(1);

impl Driver {
    /// Runs until `found` has ended and everything has its result, or the activity is stopped.
    ///
    /// # Errors
    ///
    /// What concerns all files: [`Error::Unauthenticated`], errors of the journal, … Nothing is lost: the journal knows
    /// what to go on with, and so it does of uploads that storage does not take. [`Error::Stopped`] if it was stopped before.
    pub(crate) async fn run(mut self, found: mpsc::Receiver<Vec<Met>>) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let position = std::mem::take(&mut self.position);
        let stop = shared.stop.child_token();
        let (requests, mut requested) = mpsc::channel(64);
        let (selected, mut new_files) = mpsc::channel(4);
        let (give_back, given_back) = mpsc::channel(1);
        let mut parts = JoinSet::new();
        parts.spawn(follow::follow(Arc::clone(&shared), position, requests.clone(), stop.clone()));
        parts.spawn(refetch::refetch(Arc::clone(&shared), stop.clone()));
        parts.spawn(reconcile::reconcile(Arc::clone(&shared), requests.clone(), stop.clone()));
        let ways = select::Ways { met: found, given_back, selected, requests };
        parts.spawn(keep::keep_later(Arc::clone(&shared), stop.clone()));
        parts.spawn(select::select(Arc::clone(&shared), ways, stop.clone()));

        let result = tokio::select! {
            result = self.work(&mut parts, &mut requested, &mut new_files, &give_back) => result,
            // Whatever it waits for: a file that lies on a disk that does not answer is looked at, too.
            () = shared.stop.cancelled() => Err(Error::Stopped),
        };
        stop.cancel();
        while parts.join_next().await.is_some() {}
        self.transfers.shutdown().await;
        if let Some(export) = &shared.export {
            if !shared.unkept.is_empty() {
                shared.keep_waiting(export).await?;
            }
            if self.kind != Kind::Watch && result.is_ok() && !shared.unkept.is_none() {
                return Err(Error::NotKept { folder: export.folder().to_owned() });
            }
        }
        // Whoever stopped it does not want to wait for what the server would find out by itself.
        let limit = if shared.stop.is_cancelled() { LAST_WORDS_STOPPED } else { LAST_WORDS };
        let _ = tokio::time::timeout(limit, async { while self.chores.join_next().await.is_some() {} }).await;
        result.and(self.unsent.map_or(Ok(()), Err))
    }

    async fn work(
        &mut self,
        parts: &mut JoinSet<Result<(), Error>>,
        requested: &mut mpsc::Receiver<Request>,
        new_files: &mut mpsc::Receiver<Handed>,
        give_back: &mpsc::Sender<Vec<Found>>,
    ) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let mut pending = shared.pending.subscribe();
        let (mut all_selected, mut is_selecting) = (false, true);
        let mut last_words: Option<Instant> = None;
        loop {
            for (target, bundle) in self.packers.closed(all_selected && !self.gave_back, self.patience()) {
                self.begin(target, bundle).await?;
            }
            self.start_held().await?;
            self.assign_again().await?;
            // Uploads among them are resumed at once.
            self.start_later().await?;
            self.start_resumes().await?;
            if all_selected && *pending.borrow_and_update() == 0 {
                let until = *last_words.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                if self.active.is_empty() || Instant::now() >= until {
                    return Ok(());
                }
            }
            let wake = self.wake_at().into_iter().chain(last_words).min();
            let room = is_selecting
                && self.held_until.is_none()
                && self.has_room_unassigned()
                && self.weight() < WEIGHT_MAX
                && self.later.len() < LATER_MAX;
            tokio::select! {
                files = new_files.recv(), if room => match files {
                    Some(Handed::Files(files)) => for file in files {
                        self.take_in(file).await?;
                    },
                    Some(Handed::AllMet) => all_selected = true,
                    // Why, that part says itself.
                    None => is_selecting = false,
                },
                // Never waited for alone: whoever takes them may be waiting for this loop.
                permit = give_back.reserve(), if !self.given_back.is_empty() => {
                    let from = self.given_back.len().saturating_sub(MET_AT_ONCE);
                    permit.map_err(|_| Error::Stopped)?.send(self.given_back.split_off(from));
                    self.gave_back = true;
                }
                Some(Request::Resume(upload)) = requested.recv() => self.asked_to_resume(upload),
                Some(bundle) = self.judging.join_next() => self.judged(bundle.map_err(|_| Error::Stopped)?).await?,
                Some(ended) = self.transfers.join_next() => {
                    let (upload, end) = ended.map_err(|_| Error::Stopped)?;
                    self.ended(upload, end).await?;
                }
                Some(part) = parts.join_next() => part.map_err(|_| Error::Stopped)??,
                _ = pending.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    fn patience(&self) -> Patience {
        let doublings = (self.weight() / WEIGHT_PER_DOUBLING).min(DOUBLINGS_MAX);
        Patience { pause: BUNDLE_PAUSE, wait: BUNDLE_WAIT * (1 << doublings) }
    }

    /// When something is to be done that nobody asks for.
    fn wake_at(&self) -> Option<Instant> {
        let bundle = self.packers.due(self.patience());
        let later = self.later.iter().map(|(at, _)| *at).min();
        bundle.into_iter().chain(later).chain(self.held_until).chain(self.look_again).min()
    }
}
