//! Asking again for results that could not be fetched, with pauses that grow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_seal::UploadId;
use filemill_transport::jittered;
use tokio_util::sync::CancellationToken;

use super::shared::{Shared, sleep_until};
use crate::error::Error;
use crate::event::{AwaitedThing, Event};
use crate::inbox::of_first_events;
use crate::journal::Unfetched;

/// How long to wait, at most, before a result is asked for the first time again; twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1800);
/// Results that are looked after at once; the others follow when these are there.
const LOOKED_AFTER: u32 = 1024;

/// Fetches what the journal has as still to be fetched, and what is added, until `stop`.
///
/// # Errors
///
/// What makes going on useless: a revoked token, a full journal.
pub(super) async fn refetch(shared: Arc<Shared>, stop: CancellationToken) -> Result<(), Error> {
    let mut fetcher = Refetcher { shared, schedule: HashMap::new() };
    tokio::select! {
        result = fetcher.run() => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Refetcher {
    shared: Arc<Shared>,
    /// When each is asked for, and how often it was. A batch is asked for with the first of its jobs.
    schedule: Schedule,
}

type Schedule = HashMap<(UploadId, u32), Scheduled>;

struct Scheduled {
    at: Instant,
    times: u32,
    /// It was said that somebody waits for it.
    told: bool,
}

impl Refetcher {
    async fn run(&mut self) -> Result<(), Error> {
        loop {
            let unfetched = self.shared.inbox.journal.unfetched(&self.shared.account, LOOKED_AFTER).await?;
            self.schedule_all(&unfetched).await?;
            let now = Instant::now();
            // What is scheduled beyond these is not asked for before some of them are there.
            let next = next(&self.schedule, &unfetched);
            let is_due = |one: &Unfetched| {
                self.schedule.get(&(one.upload, one.job)).is_some_and(|scheduled| scheduled.at <= now)
            };
            let due = of_first_events(unfetched.into_iter().filter(is_due));
            if !due.is_empty() {
                self.fetch(due).await?;
                continue;
            }
            tokio::select! {
                () = self.shared.inbox.unfetched.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Takes new ones in, and ends with those that another program of this home has fetched.
    async fn schedule_all(&mut self, unfetched: &[Unfetched]) -> Result<(), Error> {
        // Together: what is asked for at once is one request.
        let at = Instant::now() + pause(0);
        for one in unfetched {
            let place = (one.upload, one.job);
            let scheduled = self.schedule.entry(place).or_insert(Scheduled { at, times: 0, told: false });
            // The others are of earlier runs, and nobody waits for them here.
            if scheduled.told || !self.shared.awaited.has(one.upload, one.job) {
                continue;
            }
            scheduled.told = true;
            let places = self.shared.inbox.journal.places(&[place]).await?;
            for file in places.iter().filter(|file| !file.reused) {
                let path = self.shared.named(&file.path);
                let reason = AwaitedThing::Result { detail: one.reason.clone() };
                self.shared.events.tell(Event::Waiting { path, reason }).await;
            }
        }
        if unfetched.len() >= LOOKED_AFTER as usize {
            // Those that are not among them may be there all the same.
            return Ok(());
        }
        let gone: Vec<_> = self
            .schedule
            .keys()
            .filter(|(upload, job)| !unfetched.iter().any(|one| one.upload == *upload && one.job == *job))
            .copied()
            .collect();
        for place in &gone {
            self.schedule.remove(place);
        }
        if !gone.is_empty() {
            for arrival in self.shared.inbox.fetched_elsewhere(&gone).await? {
                self.shared.arrived(arrival).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, due: Vec<Unfetched>) -> Result<(), Error> {
        let again = self.shared.inbox.fetch_again(due).await?;
        // Those that were asked for as often are asked for together again: so are the jobs of a batch.
        let mut at = HashMap::new();
        for (place, _) in again.left {
            if let Some(scheduled) = self.schedule.get_mut(&place) {
                scheduled.times += 1;
                let times = scheduled.times;
                scheduled.at = *at.entry(times).or_insert_with(|| Instant::now() + pause(times));
            }
        }
        for arrival in again.arrivals {
            self.schedule.remove(&(arrival.upload, arrival.job));
            self.shared.arrived(arrival).await?;
        }
        Ok(())
    }
}

/// When the first of these is to be asked for.
fn next(schedule: &Schedule, unfetched: &[Unfetched]) -> Option<Instant> {
    unfetched.iter().filter_map(|one| schedule.get(&(one.upload, one.job))).map(|scheduled| scheduled.at).min()
}

fn pause(times: u32) -> Duration {
    jittered(PAUSE.saturating_mul(1 << times.min(16)).min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_page_wakes_nobody_who_would_not_ask_for_it() {
        let (now, upload) = (Instant::now(), UploadId::random());
        let scheduled = |at| Scheduled { at, times: 0, told: false };
        let later = now + Duration::from_secs(9);
        let schedule = Schedule::from([((upload, 0), scheduled(later)), ((upload, 1), scheduled(now))]);
        let (outcome, reason) = (String::new(), String::new());
        let page = [Unfetched { upload, job: 0, cursor: 1, outcome, reason }];
        assert_eq!(next(&schedule, &page), Some(later));
        assert_eq!(next(&schedule, &[]), None);
    }

    #[test]
    fn pauses_grow_and_vary_up_to_half_an_hour() {
        for times in 0..40 {
            let longest = PAUSE.saturating_mul(1 << times.min(16)).min(PAUSE_MAX);
            let pauses: Vec<_> = (0..50).map(|_| pause(times)).collect();
            assert!(pauses.iter().all(|pause| *pause <= longest && *pause >= longest / 2), "{times}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{times}");
        }
    }
}
