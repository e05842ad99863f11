//! Leasing: each server has one leasing task, which takes for all its nodes what they can run, in fair shares, and hands it out.
//!
//! It looks when a node asks, when something became ready in this process, and once a second for what came through
//! another server. A look is one transaction for all nodes of a class.

mod allot;
mod describe;
mod order;
mod remainder;
mod take;
mod waiting;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use filemill_api::{ErrorBody, SpanKey};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use self::allot::Wish;
use self::waiting::Classes;
pub(super) use self::waiting::NodeClass;
use super::core::Core;
use super::fair_share::FairShares;
use super::masks;
use super::requeue::Why;
use super::types::Leased;
use crate::refusal::from_store;
use crate::retry::retried;
use crate::store::queue::{Candidate, lo_of};
use crate::store::{StoreError, Tx};

/// Nodes that wait in the queue before the next one waits outside.
const QUEUE: usize = 1024;
/// How often to look for what came through another server.
const BACKSTOP: Duration = Duration::from_secs(1);

/// One node's request.
pub(super) struct LeaseAsk {
    pub(super) nodes: NodeClass,
    pub(super) wish: Wish,
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Leased, ErrorBody>>,
}

/// Starts the leasing task, which runs until `stop`.
pub(super) fn start(core: Arc<Core>, tracker: &TaskTracker, stop: CancellationToken) -> mpsc::Sender<LeaseAsk> {
    let (queue, asked) = mpsc::channel(QUEUE);
    let desk = Desk {
        core,
        asked,
        waiting: Vec::new(),
        not_looked: false,
        classes: Classes::default(),
        shares: FairShares::default(),
    };
    tracker.spawn(desk.run(stop));
    queue
}

/// Where nodes wait.
struct Desk {
    core: Arc<Core>,
    asked: mpsc::Receiver<LeaseAsk>,
    waiting: Vec<LeaseAsk>,
    /// Some of them came during a look, for which they were too late.
    not_looked: bool,
    /// For each class of nodes, who has what waiting for them.
    classes: Classes,
    shares: FairShares,
}

impl Desk {
    async fn run(mut self, stop: CancellationToken) {
        self.core.catalog.keep_up_with_needs().await;
        let mut backstop = interval(BACKSTOP);
        backstop.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.waiting.iter().map(|ask| ask.deadline).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Before whoever asks: somebody may do so all the time.
                _ = backstop.tick() => {
                    self.core.catalog.keep_up_with_needs().await;
                    self.look_again();
                }
                () = std::future::ready(()), if self.not_looked => {}
                ask = self.asked.recv() => match ask {
                    Some(ask) => self.waiting.push(ask),
                    None => break,
                },
                () = self.core.ready.notified() => {}
                () = self.core.catalog.undescribed() => {}
                // In the far future when nobody waits: the branch is then disabled.
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
            while let Ok(ask) = self.asked.try_recv() {
                self.waiting.push(ask);
            }
            self.not_looked = false;
            self.waiting.retain(|ask| !ask.answer.is_closed());
            self.serve().await;
            self.ask_for_descriptions();
            self.dismiss();
        }
        for ask in self.waiting {
            let _gone = ask.answer.send(Ok(self.core.nothing()));
        }
    }

    /// Other servers may have made something ready: looks through the database next time. And forgets what is over.
    fn look_again(&mut self) {
        self.classes.look_again();
        let classes = &self.classes;
        self.shares.compact(|pool| classes.has_pool(pool), |pool, id| classes.is_waiting(pool, id));
    }

    /// Leases for every class of nodes that wait.
    async fn serve(&mut self) {
        self.wake();
        let mut classes: HashMap<NodeClass, Vec<LeaseAsk>> = HashMap::new();
        for ask in self.waiting.drain(..) {
            classes.entry(ask.nodes.clone()).or_default().push(ask);
        }
        for (nodes, asks) in classes {
            let mut asks = asks;
            while !asks.is_empty() {
                let (waiting, again) = self.look(&nodes, asks).await;
                asks = waiting;
                if !again {
                    break;
                }
            }
            self.waiting.append(&mut asks);
        }
    }

    /// Takes in what became ready in this process.
    fn wake(&mut self) {
        let catalog = &self.core.catalog;
        self.classes.learn(catalog.need_changes(), |abilities| catalog.met_by(abilities));
        let woken = std::mem::take(&mut *self.core.woken.lock().unwrap_or_else(PoisonError::into_inner));
        self.classes.wake(&woken, &self.shares);
    }

    /// Who asked meanwhile of this class, and wants nothing that was not looked for: an `idle` one wants partial runs.
    fn take_along(&mut self, nodes: &NodeClass, idle: bool, asks: &mut Vec<LeaseAsk>) {
        while let Ok(ask) = self.asked.try_recv() {
            if ask.nodes == *nodes && (idle || ask.wish.idle == 0) {
                asks.push(ask);
            } else {
                self.not_looked = true;
                self.waiting.push(ask);
            }
        }
    }

    /// Begins what leases for a class, if it has something waiting.
    async fn begin(&mut self, nodes: &NodeClass, idle: bool) -> Result<Option<Tx>, StoreError> {
        let class = self.classes.of(nodes, |abilities| self.core.catalog.met_by(abilities));
        class.find(&self.core, &nodes.pool, self.shares.of(&nodes.pool), idle).await?;
        if class.is_empty(idle) {
            return Ok(None);
        }
        self.core.store.begin().await.map(Some)
    }

    /// Looks once for the nodes of one class; answers who still waits, and whether another look may bring more.
    async fn look(&mut self, nodes: &NodeClass, mut asks: Vec<LeaseAsk>) -> (Vec<LeaseAsk>, bool) {
        let idle = asks.iter().any(|ask| ask.wish.idle > 0);
        let Some(begun) = self.begin(nodes, idle).await.transpose() else { return (asks, false) };
        self.take_along(nodes, idle, &mut asks);
        self.wake();
        let wishes: Vec<_> = asks.iter().map(|ask| ask.wish.clone()).collect();
        let class = self.classes.of(nodes, |abilities| self.core.catalog.met_by(abilities));
        let shares = self.shares.of(&nodes.pool);
        let look = async {
            let mut begun = Some(begun?);
            let class = &*class;
            retried(|| {
                let begun = begun.take();
                async {
                    let tx = match begun {
                        Some(begun) => begun,
                        None => self.core.store.begin().await?,
                    };
                    self.core.take(tx, &nodes.pool, &wishes, shares, class).await
                }
            })
            .await
        };
        let look = match look.await {
            Ok(look) => look,
            Err(error) => {
                for ask in asks {
                    let _gone = ask.answer.send(Err(from_store("lease", &error)));
                }
                return (Vec::new(), false);
            }
        };
        for (owner, cost) in look.charges {
            self.shares.charge(&nodes.pool, owner, class.weights().of(owner.organisation), cost);
        }
        class.go_on(look.ready, look.partial, self.shares.of(&nodes.pool));
        let mut waiting = Vec::new();
        for (ask, mut leased) in asks.into_iter().zip(look.leased) {
            if leased.uploads.is_empty() {
                waiting.push(ask);
                continue;
            }
            // One that never waits is asked with its work.
            leased.describe = self.core.catalog.to_describe(&nodes.pool, &ask.wish.node, class.met());
            if let Err(Ok(leased)) = ask.answer.send(Ok(leased)) {
                self.core.take_back(&nodes.pool, &leased).await;
            }
        }
        (waiting, look.cut)
    }

    /// Answers those who waited long enough.
    fn dismiss(&mut self) {
        let now = Instant::now();
        for ask in self.waiting.extract_if(.., |ask| ask.deadline <= now) {
            let _gone = ask.answer.send(Ok(self.core.nothing()));
        }
    }

    /// Sends nodes that would wait to describe releases instead.
    fn ask_for_descriptions(&mut self) {
        for ask in std::mem::take(&mut self.waiting) {
            let catalog = &self.core.catalog;
            let class = self.classes.of(&ask.nodes, |abilities| catalog.met_by(abilities));
            let describe = catalog.to_describe(&ask.nodes.pool, &ask.wish.node, class.met());
            if describe.is_empty() {
                self.waiting.push(ask);
            } else {
                let _gone = ask.answer.send(Ok(Leased { describe, ..self.core.nothing() }));
            }
        }
    }
}

impl Core {
    /// Returns what a node that has gone will not run.
    pub(super) async fn take_back(&self, pool: &str, leased: &Leased) {
        let leases: Vec<_> = leased
            .uploads
            .iter()
            .flat_map(|work| &work.spans)
            .map(|span| (SpanKey { span: span.span, fence: span.fence }, Why::Untold))
            .collect();
        if let Err(error) = retried(|| self.requeue(pool, &leases)).await {
            // They come back when the leases end.
            let _logged = from_store("take back leases", &error);
        }
    }
}

fn narrow(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// How many jobs are in a candidate.
fn jobs_of(run: &Candidate) -> u32 {
    masks::left(lo_of(run.id), narrow(run.hi), run.gone.cast_unsigned()).count_ones()
}
