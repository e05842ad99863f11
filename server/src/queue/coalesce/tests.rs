//! Fair shares, short transactions, and what becomes of what is given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;

const ANN: Owner = Owner { organisation: 1, member: 11 };
const BOB: Owner = Owner { organisation: 1, member: 12 };
const EVE: Owner = Owner { organisation: 2, member: 21 };

/// Who asks, what it weighs, and what it keeps in memory.
type Ask = (Owner, usize, Arc<()>);

/// Writes down its transactions, and begins one for each permit.
struct Work {
    begun: AtomicUsize,
    done: Mutex<Vec<Vec<(i64, usize)>>>,
    permits: Semaphore,
    /// Parts that one transaction does at most; 0: all.
    at_most: usize,
    /// A part of this weight breaks its transaction.
    breaks: Option<usize>,
    /// A part of this weight is worked on in three transactions, of which the first two do not finish it.
    long: Option<usize>,
    steps: AtomicUsize,
    /// Whoever begins waits for a permit, as others are writing.
    writer: Semaphore,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            begun: AtomicUsize::new(0),
            done: Mutex::default(),
            permits: Semaphore::new(0),
            at_most: 0,
            breaks: None,
            long: None,
            steps: AtomicUsize::new(0),
            writer: Semaphore::new(1_000_000),
        }
    }
}

impl Coalesced for Arc<Work> {
    type Ask = Ask;
    type Answer = usize;
    type Begun = ();
    const NAME: &'static str = "test";
    const FULL: usize = 100;
    const MOST_QUEUED: Option<usize> = Some(20_000);

    fn weight(ask: &Ask) -> usize {
        ask.1
    }

    async fn begin(&self) -> Result<(), StoreError> {
        self.writer.acquire().await.map_err(|_| sqlx::Error::WorkerCrashed)?.forget();
        Ok(())
    }

    async fn run(&self, (): (), asks: &[Ask]) -> Result<Vec<usize>, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.map_err(|_| sqlx::Error::WorkerCrashed)?.forget();
        if asks.iter().any(|ask| Some(ask.1) == self.breaks) {
            return Err(sqlx::Error::RowNotFound.into());
        }
        if asks.first().is_some_and(|ask| Some(ask.1) == self.long) && self.steps.fetch_add(1, Ordering::SeqCst) < 2 {
            self.done.lock().unwrap().push(Vec::new());
            return Ok(Vec::new());
        }
        let count = if self.at_most == 0 { asks.len() } else { asks.len().min(self.at_most) };
        let asks = &asks[..count];
        self.done.lock().unwrap().push(asks.iter().map(|(owner, weight, _)| (owner.member, *weight)).collect());
        Ok(asks.iter().map(|ask| ask.1).collect())
    }
}

/// A coalescer whose first transaction is under way, so that what is asked next queues up.
struct Bench {
    work: Arc<Work>,
    coalescer: Arc<Coalescer<Arc<Work>>>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Bench {
    async fn new(work: Work) -> Self {
        let (work, tracker, stop) = (Arc::new(work), TaskTracker::new(), CancellationToken::new());
        let coalescer = Arc::new(Coalescer::start(Arc::clone(&work), &tracker, stop.clone()));
        let bench = Self { work, coalescer, tracker, stop };
        bench.ask(EVE, &[1], &Arc::default()).await;
        while bench.work.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        bench
    }

    /// Asks for parts of these weights, and waits until that is queued.
    async fn ask(&self, owner: Owner, weights: &[usize], kept: &Arc<()>) -> JoinHandle<Result<Vec<usize>, ErrorBody>> {
        let asks = weights.iter().map(|&weight| (owner, weight, Arc::clone(kept))).collect();
        let coalescer = Arc::clone(&self.coalescer);
        let queued = self.coalescer.shared.backlog().asked();
        let asked = tokio::spawn(async move { coalescer.ask(owner, asks).await });
        while self.coalescer.shared.backlog().asked() == queued {
            tokio::task::yield_now().await;
        }
        asked
    }

    /// Lets the transactions begin, and answers what each of them did when nothing is left.
    async fn end(self) -> Vec<Vec<(i64, usize)>> {
        self.work.permits.add_permits(1000);
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(Duration::from_secs(30), self.tracker.wait()).await.expect("it ends");
        let done = std::mem::take(&mut *self.work.done.lock().unwrap());
        done[1..].to_vec()
    }
}

#[tokio::test]
async fn what_is_given_up_takes_no_memory_and_no_turn() {
    let bench = Bench::new(Work::default()).await;
    let kept = Arc::default();
    let mut given_up = Vec::new();
    for _ in 0..50 {
        given_up.push(bench.ask(EVE, &[100, 100, 100], &kept).await);
    }
    assert_eq!(Arc::strong_count(&kept), 151);
    for asked in &given_up {
        asked.abort();
    }
    for asked in given_up {
        assert!(asked.await.expect_err("it was given up").is_cancelled());
    }
    assert_eq!(Arc::strong_count(&kept), 1);
    let small = bench.ask(ANN, &[7], &kept).await;
    assert_eq!(bench.end().await, [[(11, 7)]]);
    assert_eq!(small.await.unwrap().unwrap(), [7]);
}

#[tokio::test]
async fn who_asks_for_little_does_not_wait_for_all_that_others_asked_for_before() {
    let bench = Bench::new(Work::default()).await;
    let kept = Arc::default();
    let hers = bench.ask(EVE, &[90; 20], &kept).await;
    let anns = bench.ask(ANN, &[60; 20], &kept).await;
    let bobs = bench.ask(BOB, &[5, 5], &kept).await;
    let done = bench.end().await;
    let place = |member: i64| done.iter().position(|batch| batch.iter().any(|ask| ask.0 == member)).unwrap();
    assert!(place(12) < 4, "a colleague's flood keeps nobody waiting: {done:?}");
    let of = |batches: &[Vec<(i64, usize)>], members: &[i64]| -> usize {
        batches.iter().flatten().filter(|ask| members.contains(&ask.0)).map(|ask| ask.1).sum()
    };
    let (theirs, her) = (of(&done[..10], &[11, 12]), of(&done[..10], &[21]));
    assert!(theirs.abs_diff(her) <= 150, "two members have one organisation's turns: {theirs} {her}");
    for (asked, parts) in [(hers, 20), (anns, 20), (bobs, 2)] {
        assert_eq!(asked.await.unwrap().unwrap().len(), parts);
    }
}

#[tokio::test]
async fn a_batch_is_as_large_as_its_weight_allows() {
    let bench = Bench::new(Work::default()).await;
    let kept = Arc::default();
    for _ in 0..20 {
        bench.ask(ANN, &[4, 6], &kept).await;
    }
    bench.ask(ANN, &[500, 1], &kept).await;
    let weights: Vec<usize> = bench.end().await.iter().map(|batch| batch.iter().map(|ask| ask.1).sum()).collect();
    assert_eq!(weights, [100, 100, 500, 1]);
}

#[tokio::test]
async fn what_is_asked_while_a_transaction_waits_to_begin_goes_along() {
    // One for the bench's own, and none for the next.
    let bench = Bench::new(Work { writer: Semaphore::new(1), ..Work::default() }).await;
    let kept = Arc::default();
    let given_up = bench.ask(BOB, &[9], &kept).await;
    bench.work.permits.add_permits(1);
    while bench.work.done.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // Its second transaction waits to begin by now, or is about to.
    for weight in 1..=3 {
        bench.ask(EVE, &[weight], &kept).await;
    }
    given_up.abort();
    assert!(given_up.await.expect_err("it was given up").is_cancelled());
    bench.work.writer.add_permits(1_000_000);
    assert_eq!(bench.end().await, [[(21, 1), (21, 2), (21, 3)]]);
}

#[tokio::test]
async fn what_is_put_off_is_done_in_the_order_in_which_it_was_asked() {
    let bench = Bench::new(Work { at_most: 3, ..Work::default() }).await;
    let kept = Arc::default();
    let weights: Vec<usize> = (1..=10).collect();
    let (ann, eve) = (bench.ask(ANN, &weights, &kept).await, bench.ask(EVE, &weights, &kept).await);
    let done = bench.end().await;
    assert!(done.iter().all(|batch| batch.len() <= 3), "{done:?}");
    assert_eq!(ann.await.unwrap().unwrap(), weights);
    assert_eq!(eve.await.unwrap().unwrap(), weights);
}

/// FairShares are taken by what is done: were they taken by what is taken up, who is put off would be behind again each time.
#[tokio::test]
async fn who_is_put_off_is_served_beside_somebody_who_asks_again_and_again() {
    for asks_again in [EVE, BOB] {
        let bench = Bench::new(Work { at_most: 1, ..Work::default() }).await;
        let kept = Arc::default();
        let mut again = Vec::new();
        // No more at a time than Ann has parts left after her first turn.
        again.push(bench.ask(asks_again, &[10], &kept).await);
        let anns = bench.ask(ANN, &[10, 10, 10], &kept).await;
        for _ in 0..20 {
            let begun = bench.work.begun.load(Ordering::SeqCst);
            bench.work.permits.add_permits(1);
            while bench.work.begun.load(Ordering::SeqCst) == begun {
                tokio::task::yield_now().await;
            }
            again.push(bench.ask(asks_again, &[10], &kept).await);
        }
        assert!(anns.is_finished(), "{:?}", bench.work.done.lock().unwrap());
        bench.end().await;
    }
}

#[tokio::test]
async fn each_step_of_what_takes_several_is_a_turn() {
    let bench = Bench::new(Work { long: Some(90), ..Work::default() }).await;
    let kept = Arc::default();
    bench.ask(EVE, &[90], &kept).await;
    for _ in 0..3 {
        bench.ask(ANN, &[80], &kept).await;
    }
    // Eve's first step, and Ann's turn comes before the next one.
    assert_eq!(bench.end().await, [vec![(11, 80)], vec![], vec![(11, 80)], vec![], vec![(11, 80)], vec![(21, 90)]]);
}

#[tokio::test]
async fn what_is_given_up_while_it_is_written_has_had_its_turn() {
    let bench = Bench::new(Work::default()).await;
    let kept = Arc::default();
    let hers = bench.ask(EVE, &[80], &kept).await;
    bench.work.permits.add_permits(1);
    while bench.work.begun.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    bench.ask(EVE, &[70], &kept).await;
    let newcomer = bench.ask(ANN, &[60], &kept).await;
    hers.abort();
    assert!(hers.await.expect_err("it was given up").is_cancelled());
    assert_eq!(bench.end().await, [[(21, 80)], [(11, 60)], [(21, 70)]]);
    newcomer.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_organisation_has_so_much_queued_and_others_are_not_refused() {
    let bench = Bench::new(Work::default()).await;
    let kept = Arc::default();
    let colleague = Owner { organisation: 2, member: 22 };
    let mut hers = Vec::new();
    for _ in 0..99 {
        hers.push(bench.ask(EVE, &[100, 100], &kept).await);
    }
    hers.push(bench.ask(colleague, &[100, 98], &kept).await);
    let refused = bench.coalescer.ask(colleague, vec![(colleague, 3, Arc::clone(&kept))]).await;
    assert_eq!(refused.expect_err("there is no room").code, filemill_api::ErrorCode::Unavailable);
    assert_eq!(Arc::strong_count(&kept), 201, "and nothing is kept of it");
    let anns = bench.ask(ANN, &[30_000], &kept).await;
    let given_up = hers.pop().unwrap();
    given_up.abort();
    assert!(given_up.await.expect_err("it was given up").is_cancelled());
    hers.push(bench.ask(colleague, &[100, 98], &kept).await);
    bench.end().await;
    anns.await.unwrap().unwrap();
    for asked in hers {
        asked.await.unwrap().unwrap();
    }
}

#[test]
fn what_is_given_up_costs_no_more_where_much_else_waits() {
    let mut queue = backlog::Backlog::<u32, ()>::default();
    let ask =
        |queue: &mut backlog::Backlog<u32, ()>| queue.add(EVE, vec![7; 1024], 0, 0, oneshot::channel().0).unwrap();
    let numbers: Vec<_> = (0..2048).map(|_| ask(&mut queue)).collect();
    let begin = std::time::Instant::now();
    for number in numbers {
        assert!(queue.give_up(number).is_some());
    }
    // Looking at all that waits each time would be two billion steps.
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(queue.take(100, |_| 1).asks.is_empty());
}

#[tokio::test]
async fn one_that_breaks_a_batch_is_refused_alone_and_costs_few_transactions() {
    let work = Work { breaks: Some(2), ..Work::default() };
    let bench = Bench::new(work).await;
    let kept = Arc::default();
    let mut good = Vec::new();
    for _ in 0..32 {
        good.push(bench.ask(ANN, &[1], &kept).await);
    }
    let bad = bench.ask(ANN, &[2, 1], &kept).await;
    for _ in 0..31 {
        good.push(bench.ask(ANN, &[1], &kept).await);
    }
    let work = Arc::clone(&bench.work);
    bench.end().await;
    bad.await.unwrap().expect_err("it is refused");
    for asked in good {
        assert_eq!(asked.await.unwrap().unwrap(), [1]);
    }
    assert!(work.begun.load(Ordering::SeqCst) < 20);
}

#[tokio::test]
async fn whoever_comes_after_the_end_is_refused_at_once() {
    let bench = Bench::new(Work::default()).await;
    let coalescer = Arc::clone(&bench.coalescer);
    bench.end().await;
    coalescer.ask(ANN, vec![(ANN, 1, Arc::default())]).await.expect_err("it has ended");
}
