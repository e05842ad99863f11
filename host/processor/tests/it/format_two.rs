//! Headers of format 2: several tasks, results in batches, readers of the organisation, accepted isolation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{Outcome as Told, SealedBody, SpanResult};
use filemill_guests::guest;
use filemill_runtime::{Backend, COMPONENT, Cancel, Installed, NotInstalled, ReleaseDigest, Runtime};
use filemill_seal::{BATCH_USUAL_BYTES, Format, Identity, Outcome};

use super::fake::Said;
use super::mill::{Mill, Sent, noise};
use super::{bytes_reported, counts};

fn echoes() -> Vec<u8> {
    guest!(echoes_its_parameters)
}

/// Parameters of so many bytes.
fn parameters(bytes: usize) -> String {
    let empty = r#"{"a":""}"#;
    format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - empty.len()))
}

fn jobs(result: &SpanResult) -> Vec<u32> {
    result.jobs.iter().map(|ended| ended.job).collect()
}

/// Waits for the results of these jobs, and checks that each was answered once, in batches that ascend.
async fn results(mill: &Mill, sent: &Sent, of: std::ops::Range<u32>) -> Vec<SpanResult> {
    for job in of.clone() {
        mill.fake.completion(sent.span_of(job), job).await;
    }
    let spans: BTreeSet<i64> = of.clone().map(|job| sent.span_of(job)).collect();
    let results: Vec<_> = spans.into_iter().flat_map(|span| mill.fake.results(span)).collect();
    let mut answered: Vec<u32> = results.iter().flat_map(jobs).collect();
    answered.sort_unstable();
    assert_eq!(answered, of.collect::<Vec<_>>(), "each once");
    for result in &results {
        assert!(jobs(result).is_sorted(), "{result:?}");
    }
    results
}

/// Asserts that a job is refused, for a reason that its uploader can read.
async fn refused(mill: &Mill, sent: &Sent, span: i64, job: u32, why: &str) {
    let result = mill.fake.completion(span, job).await;
    let place = jobs(&result).iter().position(|found| *found == job).expect("it is of that job");
    let body = mill.open(sent, &result).swap_remove(place);
    assert_eq!(body.outcome, Outcome::Refused);
    let message = body.failure.expect("a failure").message;
    assert!(message.contains(why), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_runs_its_release_with_its_parameters_over_bytes_that_went_up_once() {
    let mill = Mill::start(counts()).await;
    let files = [noise(10, 1), noise(300_000, 2), noise(30, 3)];
    let tasks = vec![mill.task(), mill.another_task(&echoes(), r#"{"task":1}"#), mill.another_task(&echoes(), "{}")];
    let releases: Vec<_> = tasks.iter().map(|task| task.releases[0]).collect();
    let sent = mill.upload_two(&files, tasks).seal(&mill.fake);
    sent.offer(&mill.fake);
    for (index, file) in (0..).zip(&files) {
        let [counted, echoed, plain] =
            [mill.result(&sent, index).await, mill.result(&sent, 3 + index).await, mill.result(&sent, 6 + index).await];
        assert_eq!(bytes_reported(&counted), format!("{{\"bytes\":{}}}", file.len()));
        assert_eq!([bytes_reported(&echoed), bytes_reported(&plain)], [r#"{"task":1}"#, "{}"]);
        for (task, body) in [counted, echoed, plain].into_iter().enumerate() {
            assert_eq!((body.task as usize, body.index, body.release), (task, index, Some(releases[task])));
        }
    }
    assert_eq!(sent.fetched(&mill.fake, 0), 1, "the first chunk is kept for the other tasks");
    assert_eq!(mill.fake.world(|world| world.fetched[&format!("{}/header", sent.leased.upload)]), 1);
    let started = mill.fake.world(|world| {
        let started = world.said.iter().filter_map(|said| match said {
            Said::Started(_, jobs) => Some(jobs.clone()),
            _ => None,
        });
        started.flatten().collect::<BTreeSet<_>>()
    });
    assert_eq!(started, (0..9).collect::<BTreeSet<_>>(), "jobs are named by their numbers");
    let totals = mill.end().await;
    assert_eq!((totals.jobs_leased, totals.jobs_completed, totals.leases_returned), (9, 9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_files_of_a_span_are_answered_together() {
    let mill = Mill::start(counts()).await;
    let files: Vec<_> = (0..128).map(|n| noise(100 + n, n as u64)).collect();
    let sent = mill.upload_two(&files, vec![mill.task()]).seal(&mill.fake);
    assert_eq!(sent.leased.spans.len(), 2);
    sent.offer(&mill.fake);
    let results = results(&mill, &sent, 0..128).await;
    // Two, unless this machine is so busy that one waits for the other for too long.
    assert!(results.len() <= 32, "{} results for 128 jobs", results.len());
    for result in &results {
        assert!(matches!(result.sealed, Some(SealedBody::Inline(_))), "{result:?}");
        for (ended, body) in result.jobs.iter().zip(mill.open(&sent, result)) {
            assert_eq!(ended.outcome, Told::Succeeded);
            assert_eq!(bytes_reported(&body), format!("{{\"bytes\":{}}}", files[ended.job as usize].len()));
        }
    }
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_returned), (128, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_does_not_wait_for_what_still_arrives() {
    let mill = Mill::start_with(counts(), |config| config.stall = Duration::from_secs(60)).await;
    // Two files in a chunk each, leased together.
    let mut sent = mill.upload_two(&[noise(64 << 10, 1), noise(10, 2)], vec![mill.task()]).seal(&mill.fake);
    sent.leased.spans.truncate(1);
    (sent.leased.spans[0].jobs, sent.leased.spans[0].last_chunk) = (vec![0, 1], 1);
    mill.fake.offer(sent.leased.clone(), sent.chunks[..1].to_vec());
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    let span = sent.span_of(0);
    mill.fake.world(|world| world.chunks.insert(span, sent.chunks.clone()));
    assert_eq!(mill.result(&sent, 1).await.outcome, Outcome::Succeeded);
    assert_eq!(mill.fake.results(span).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_alone_is_answered_before_the_next_one_runs() {
    let mill = Mill::start(counts()).await;
    let sent = mill.upload_two(&[noise(10, 1), noise(20, 2)], vec![mill.task()]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.spans[0].alone = true);
    let results = results(&mill, &sent, 0..2).await;
    assert_eq!(results.iter().map(jobs).collect::<Vec<_>>(), [[0], [1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_longer_than_a_batch_goes_alone() {
    let mill = Mill::start_with(counts(), |config| config.limits.default.output_bytes = 2 << 20).await;
    let task = mill.another_task(&echoes(), &parameters(BATCH_USUAL_BYTES - 64));
    let sent = mill.upload_two(&[noise(10, 1), noise(20, 2), noise(30, 3)], vec![task]).seal(&mill.fake);
    sent.offer(&mill.fake);
    let results = results(&mill, &sent, 0..3).await;
    assert_eq!(results.len(), 3);
    for result in &results {
        assert!(matches!(result.sealed, Some(SealedBody::Object { .. })), "{result:?}");
        assert_eq!(mill.open(&sent, result)[0].outcome, Outcome::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_closed_before_it_is_longer_than_it_may_be() {
    let mill = Mill::start(counts()).await;
    let task = mill.another_task(&echoes(), &parameters(300_000));
    let files: Vec<_> = (0..8).map(|n| noise(10, n)).collect();
    let sent = mill.upload_two(&files, vec![task]).seal(&mill.fake);
    sent.offer(&mill.fake);
    for result in results(&mill, &sent, 0..8).await {
        // Three of them are less than 1 MiB, and four are more.
        assert!(result.jobs.len() <= 3, "{result:?}");
        let Some(SealedBody::Object { length, .. }) = result.sealed else { panic!("{result:?}") };
        assert!(length < BATCH_USUAL_BYTES as u64, "{length}");
        mill.open(&sent, &result);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_for_the_organisation_opens_results_and_nothing_else() {
    let mill = Mill::start(counts()).await;
    let readers = [Identity::generate(), Identity::generate()];
    let mut upload = mill.upload_two(&[noise(10, 1), noise(20, 2)], vec![mill.task()]);
    upload.header.organisation = readers.iter().map(Identity::recipient).collect();
    let sent = upload.seal(&mill.fake);
    sent.offer(&mill.fake);
    for result in results(&mill, &sent, 0..2).await {
        let own = mill.open(&sent, &result);
        for reader in &readers {
            assert_eq!(mill.open_as(&sent, &result, reader), own);
        }
    }
    for reader in readers {
        assert!(filemill_seal::Header::open(&sent.sealed, &[reader]).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_contradicts_the_header_is_refused_and_costs_no_other() {
    let mill = Mill::start(counts()).await;
    let tasks = vec![mill.task(), mill.another_task(&echoes(), "{}")];
    let sent = mill.upload_two(&[noise(10, 1), noise(20, 2)], tasks).seal(&mill.fake);
    let other = |span: i64, jobs: &[u32], release: usize| {
        let mut other = sent.leased.spans[release].clone();
        (other.span, other.jobs) = (1_000_000 + span, jobs.to_vec());
        other
    };
    let mut elsewhere = other(4, &[1], 0);
    (elsewhere.first_chunk, elsewhere.last_chunk) = (0, 7);
    let mut nonsense = other(5, &[0], 0);
    nonsense.release = "no digest".to_owned();
    let contradicting =
        [other(0, &[1, 2], 0), other(1, &[0], 1), other(2, &[3], 0), other(3, &[3, 4], 1), elsewhere, nonsense];
    sent.offer_with(&mill.fake, |leased| leased.spans.extend(contradicting));

    for job in [1, 2] {
        refused(&mill, &sent, 1_000_000, job, "jobs of task 0 and of task 1 as one span").await;
    }
    refused(&mill, &sent, 1_000_001, 0, "the header does not name release").await;
    refused(&mill, &sent, 1_000_002, 3, "the header does not name release").await;
    refused(&mill, &sent, 1_000_003, 3, "the server names job 4, and the header has 2 files for each of its 2 tasks")
        .await;
    refused(&mill, &sent, 1_000_004, 1, "the server says that the files lie in chunks 0 to 7").await;
    refused(&mill, &sent, 1_000_005, 0, "the release: ").await;
    // There is no such job that a reason could be sealed for.
    let beyond = mill.fake.completion(1_000_003, 4).await;
    assert_eq!((beyond.jobs[0].outcome, &beyond.sealed), (Told::Refused, &None));
    for job in 0..4 {
        assert_eq!(mill.result(&sent, job).await.outcome, Outcome::Succeeded, "job {job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_header_of_format_1_does_not_have_is_refused() {
    let mill = Mill::start(counts()).await;
    let sent = mill.upload(&[noise(10, 1), noise(20, 2)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.spans[0].jobs = vec![1, 2]);
    let span = sent.span_of(0);
    refused(&mill, &sent, span, 1, "the server names job 2, and the header has 2 files for each of its 1 tasks").await;
    assert_eq!(mill.fake.completion(span, 2).await.sealed, None);
}

/// Runs components, and says that they are containers.
struct Containers(Runtime);

impl Backend for Containers {
    fn kind(&self) -> &'static str {
        "container"
    }

    fn contracts(&self) -> Vec<(u64, u64)> {
        self.0.contracts()
    }

    fn recognises(&self, release: &[u8]) -> bool {
        self.0.recognises(release)
    }

    fn install_memory_bytes(&self) -> u64 {
        self.0.install_memory_bytes()
    }

    fn thread_stack_bytes(&self) -> usize {
        self.0.thread_stack_bytes()
    }

    fn cached(&self, digest: ReleaseDigest) -> Option<Arc<dyn Installed>> {
        Backend::cached(&self.0, digest)
    }

    fn install(
        &self,
        digest: ReleaseDigest,
        release: &[u8],
        cancel: &Cancel,
    ) -> Result<Arc<dyn Installed>, NotInstalled> {
        Backend::install(&self.0, digest, release, cancel)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_runs_only_where_the_header_accepts_how_it_is_kept_apart() {
    let mill = Mill::stopped(counts()).await.with_backend(|runtime| Arc::new(Containers(runtime))).started();
    let send = |format: Format, isolation: &[&str]| {
        let mut upload = mill.upload_two(&[noise(10, 1)], vec![mill.task()]);
        upload.header.format = format;
        upload.header.isolation = isolation.iter().map(|name| (*name).to_owned()).collect();
        let sent = upload.seal(&mill.fake);
        sent.offer(&mill.fake);
        sent
    };
    for (format, isolation) in
        [(Format::One, vec![]), (Format::Two, vec![]), (Format::Two, vec!["attached", COMPONENT])]
    {
        let sent = send(format, &isolation);
        refused(&mill, &sent, sent.span_of(0), 0, "the header accepts no such isolation").await;
    }
    let sent = send(Format::Two, &["attached", "container"]);
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
}
