//! What came of the jobs of one span, on its way to the server: each by itself, or in batches.
//!
//! To a header of format 2 results are sealed together, because a file of a kilobyte should not cost four operations on an elliptic
//! curve of its own. A job that has ended waits for those that run or are queued beside it, and for no others; for [`PATIENCE`] at most.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filemill_seal::{BATCH_USUAL_BYTES, Format, ResultBody, member_bytes};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::body::body;
use super::completions::{Completions, Taken};
use super::cut::cut;
use super::end::{About, JobEnd};
use super::seal::{Sealed, seal_alone, seal_together};
use crate::input::UploadJob;
use crate::leases::Stop;
use crate::telemetry::event;

/// How long a result waits for its neighbours.
const PATIENCE: Duration = Duration::from_millis(50);

/// What came of the jobs of one span.
pub(crate) struct SpanResults {
    about: About,
    completions: Arc<Completions>,
    waiting: Mutex<Vec<Waiting>>,
    /// The first of those that wait came.
    came: Notify,
    /// Why one of them could not be sealed.
    failure: Mutex<Option<String>>,
}

/// A result that waits for its neighbours.
struct Waiting {
    body: ResultBody,
    bytes: usize,
    since: Instant,
    taken: Taken,
}

impl SpanResults {
    pub(crate) fn new(about: About, completions: Arc<Completions>) -> Arc<Self> {
        let (waiting, came, failure) = (Mutex::default(), Notify::new(), Mutex::default());
        Arc::new(Self { about, completions, waiting, came, failure })
    }

    /// Takes what came of a job: to a header of format 1 it goes at once, to one of format 2 it may wait for its neighbours. Blocks while too
    /// many bytes are on their way, unless the lease ends, with which the result goes.
    ///
    /// # Errors
    ///
    /// A text, where it cannot be sealed; the job counts as not ended then. Of one that waits it is known later.
    pub(crate) fn put(&self, job: &UploadJob, end: JobEnd) -> Result<(), String> {
        let (lease, upload) = (&self.about.lease, &self.about.upload);
        let body = body(&self.about, job, end);
        if upload.header.format == Format::One {
            let sealed = seal_alone(upload, body)?;
            lease.job_ended();
            if let Some(taken) = self.completions.room(lease, sealed.body.len()) {
                self.hand_in(sealed, vec![taken]);
            }
            return Ok(());
        }
        let bytes = member_bytes(&body);
        // A batch is closed before it is too long, and gives its room back before more is asked for.
        if self.waiting_bytes().saturating_add(bytes) > BATCH_USUAL_BYTES {
            self.flush();
        }
        lease.job_ended();
        let Some(taken) = self.completions.room(lease, bytes) else { return Ok(()) };
        self.lock().push(Waiting { body, bytes, since: Instant::now(), taken });
        if bytes > BATCH_USUAL_BYTES {
            self.flush();
        } else {
            self.came.notify_one();
        }
        Ok(())
    }

    /// Hands in what came of some jobs, from a task.
    ///
    /// # Errors
    ///
    /// [`Stop::Fault`], where one of them cannot be sealed; of those that go in a batch [`sealed`](Self::sealed) says that.
    pub(crate) async fn submit(self: &Arc<Self>, ends: Vec<(UploadJob, JobEnd)>) -> Result<(), Stop> {
        let this = Arc::clone(self);
        let put = blocking(move || {
            let put = ends.into_iter().try_for_each(|(job, end)| this.put(&job, end));
            this.flush();
            put
        });
        put.await?.map_err(unsealed)
    }

    /// Waits for `ended`, which is when nothing of the span runs or is queued any more; hands in what has waited for long enough meanwhile, and
    /// all of it at the end. Cancel safe; what waits then is handed in by [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// [`Stop::Fault`], where that panics.
    pub(crate) async fn attend(self: &Arc<Self>, ended: impl Future<Output = ()>) -> Result<(), Stop> {
        let mut ended = pin!(ended);
        loop {
            tokio::select! {
                biased;
                () = &mut ended => return self.finish().await,
                () = self.due() => self.finish().await?,
            }
        }
    }

    /// Hands in all that waits.
    ///
    /// # Errors
    ///
    /// [`Stop::Fault`], where that panics.
    pub(crate) async fn finish(self: &Arc<Self>) -> Result<(), Stop> {
        if self.lock().is_empty() {
            return Ok(());
        }
        let this = Arc::clone(self);
        blocking(move || this.flush()).await
    }

    /// Whether all that was handed in could be sealed.
    ///
    /// # Errors
    ///
    /// [`Stop::Fault`], where it could not.
    pub(crate) fn sealed(&self) -> Result<(), Stop> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.map_or(Ok(()), |error| Err(unsealed(error)))
    }

    /// Waits until something has waited for its neighbours for long enough.
    async fn due(&self) {
        loop {
            let since = self.lock().first().map(|first| first.since);
            match since {
                Some(since) if since.elapsed() >= PATIENCE => return,
                Some(since) => tokio::time::sleep_until(since + PATIENCE).await,
                None => self.came.notified().await,
            }
        }
    }

    /// Seals what waits and hands it in. Blocks.
    fn flush(&self) {
        let mut waiting = std::mem::take(&mut *self.lock());
        // Lost or cancelled meanwhile: the server would refuse it.
        if waiting.is_empty() || self.about.lease.ended().is_some() {
            return;
        }
        waiting.sort_unstable_by_key(|waiting| (waiting.body.task, waiting.body.index));
        let bytes: Vec<usize> = waiting.iter().map(|waiting| waiting.bytes).collect();
        let recipients = 1 + self.about.upload.header.organisation.len();
        let mut waiting = waiting.into_iter();
        for members in cut(&bytes, recipients) {
            let batch = waiting.by_ref().take(members).map(|waiting| (waiting.body, waiting.taken)).unzip();
            self.seal(batch);
        }
    }

    /// Seals a batch and hands it in; where that cannot be, each member by itself, so that one takes no other down.
    fn seal(&self, (bodies, taken): (Vec<ResultBody>, Vec<Taken>)) {
        let upload = &self.about.upload;
        if bodies.len() > 1 {
            match seal_together(upload, &bodies) {
                Ok(sealed) => return self.hand_in(sealed, taken),
                Err(error) => tracing::debug!(upload = %upload.id(), "results cannot be sealed together: {error}"),
            }
        }
        for (body, taken) in bodies.into_iter().zip(taken) {
            match seal_alone(upload, body) {
                Ok(sealed) => self.hand_in(sealed, vec![taken]),
                Err(error) => self.failed(error),
            }
        }
    }

    fn hand_in(&self, sealed: Sealed, taken: Vec<Taken>) {
        let lease = &self.about.lease;
        for ended in &sealed.jobs {
            event!("job ended", upload = %lease.upload, index = ended.job, outcome = ?ended.outcome);
        }
        self.completions.send(lease, sealed, taken);
    }

    /// A result could not be sealed: its job goes back with the lease, once the others are completed.
    fn failed(&self, error: String) {
        tracing::error!(upload = %self.about.lease.upload, "a result cannot be sealed: {error}");
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn waiting_bytes(&self) -> usize {
        self.lock().iter().map(|waiting| waiting.bytes).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seals, or waits for room, on a thread that may do so.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.map_err(|error| unsealed(error.to_string()))
}

fn unsealed(error: String) -> Stop {
    Stop::Fault(format!("the result cannot be sealed: {error}"))
}

#[cfg(test)]
mod tests {
    use filemill_api::LeasedSpan;
    use filemill_runtime::{Report, Resources, Run};
    use filemill_seal::{CHUNK_SIZE_MIN, DataKey, Digest, FileEntry, Header, Identity, Task, UploadId};

    use super::*;
    use crate::input::Upload;
    use crate::leases::Leases;
    use crate::results::completions::Submitted;

    /// The results of a span of three files, and what is handed in.
    async fn scene(format: Format) -> (Arc<SpanResults>, Submitted) {
        let release = Digest::of(b"release");
        let header = Header {
            format,
            upload: UploadId::random(),
            key: DataKey::random(),
            uploader: Identity::generate().recipient(),
            tasks: vec![Task { releases: vec![release], parameters: "{}".into() }],
            organisation: Vec::new(),
            isolation: [].into(),
            chunk_size: CHUNK_SIZE_MIN,
            not_after: 0,
            files: (0..3).map(|_| FileEntry { name: b"a".to_vec(), length: 1 }).collect(),
        };
        let upload = Arc::new(Upload::unsealed(header).await);
        let (release, jobs) = (release.to_string(), vec![0, 1, 2]);
        let span =
            LeasedSpan { span: 1, fence: 1, release, jobs, first_chunk: 0, last_chunk: 0, attempt: 1, alone: false };
        let lease = Leases::new(Arc::default()).take_up("upload", span, Duration::MAX).expect("it is new");
        if format == Format::Two {
            lease.needs_version_2();
        }
        let release = Some(Digest::of(b"release"));
        let (completions, submitted) = Completions::channel();
        let about = About { lease, upload, release, description: None };
        (SpanResults::new(about, Arc::new(completions)), submitted)
    }

    fn ended(summary: &str) -> JobEnd {
        let json = "{}".to_owned();
        let report = Report { summary: summary.to_owned(), json, findings: Vec::new(), artifacts: Vec::new() };
        let run = Run { result: Ok(report), log: Vec::new(), resources: Resources::default() };
        JobEnd::Analysed { run: Box::new(run), sha256: Digest::of(b"a") }
    }

    fn put(results: &SpanResults, number: u32, summary: &str) -> Result<(), String> {
        let job = results.about.upload.job(number).expect("such a job");
        results.put(&job, ended(summary))
    }

    fn handed_in(submitted: &mut Submitted) -> Vec<Vec<u32>> {
        let mut done = Vec::new();
        while let Ok(next) = submitted.any.try_recv().or_else(|_| submitted.newest.try_recv()) {
            done.push(next.jobs.iter().map(|ended| ended.job).collect());
        }
        done
    }

    /// Runs what blocks where it may.
    async fn blocked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(work).await.expect("it ends")
    }

    #[tokio::test]
    async fn neighbours_go_together_in_the_order_of_their_jobs_and_each_alone_in_format_1() {
        for (format, expected) in [(Format::One, vec![vec![2], vec![0], vec![1]]), (Format::Two, vec![vec![0, 1, 2]])] {
            let (results, mut submitted) = scene(format).await;
            let this = Arc::clone(&results);
            blocked(move || [2, 0, 1].map(|number| put(&this, number, "").expect("it is good"))).await;
            results.finish().await.expect("sealed");
            results.sealed().expect("sealed");
            assert_eq!(handed_in(&mut submitted), expected);
        }
    }

    #[tokio::test]
    async fn one_that_cannot_be_sealed_takes_no_other_down() {
        let (results, mut submitted) = scene(Format::Two).await;
        let (this, long) = (Arc::clone(&results), "x".repeat(1000));
        let put = move || [(0, ""), (1, &*long), (2, "")].map(|(number, summary)| put(&this, number, summary));
        assert!(blocked(put).await.iter().all(Result::is_ok), "which of them is bad is known later");
        results.finish().await.expect("nothing panics");
        assert_eq!(handed_in(&mut submitted), [[0], [2]]);
        assert!(matches!(results.sealed(), Err(Stop::Fault(_))), "its job goes back");
    }

    #[tokio::test]
    async fn what_has_waited_long_enough_waits_for_nobody() {
        let (results, mut submitted) = scene(Format::Two).await;
        let this = Arc::clone(&results);
        // Another of the span runs all the while.
        let attending = tokio::spawn(async move { this.attend(std::future::pending()).await });
        let this = Arc::clone(&results);
        blocked(move || put(&this, 1, "").expect("it is good")).await;
        let done = tokio::time::timeout(Duration::from_secs(30), submitted.newest.recv()).await;
        assert_eq!(done.expect("in time").expect("one").jobs[0].job, 1);
        attending.abort();
    }

    #[tokio::test]
    async fn of_a_lease_that_has_ended_nothing_is_handed_in() {
        let (results, mut submitted) = scene(Format::Two).await;
        let this = Arc::clone(&results);
        blocked(move || put(&this, 1, "").expect("it is good")).await;
        Leases::new(Arc::default()).end(&results.about.lease, crate::leases::End::Lost);
        results.finish().await.expect("nothing panics");
        assert_eq!(handed_in(&mut submitted), [[0; 0]; 0]);
    }
}
