//! The processor node against a fake server and storage.

mod clocks;
mod fake;
mod format_two;
mod hostile;
mod http;
mod join;
mod joined;
mod life;
mod metrics;
mod mill;
mod plugins;
mod process;
mod releases;
mod seek;
mod versions;

use std::time::Duration;

use filemill_api::{ErrorCode, Outcome, ReturnReason, SealedBody};
use filemill_seal::{Digest, Verdict, VoidReason};

use self::fake::{Reply, Said};
use self::mill::{Mill, noise};
use filemill_guests::{Guest, guest};

fn counts() -> Vec<u8> {
    guest!(counts)
}

fn never_reads() -> Vec<u8> {
    guest!(never_reads)
}

/// Its result is longer than what goes inline.
fn floods_log() -> Vec<u8> {
    guest!(floods_log)
}

/// Small files, empty ones, and some that cross the border of a chunk.
fn bundle() -> Vec<Vec<u8>> {
    (0..150).map(|n: usize| noise([0, 1, 700, 3000][n % 4] + n, n as u64)).collect()
}

fn bytes_reported(result: &filemill_seal::ResultBody) -> String {
    result.report.as_ref().map_or_else(|| format!("{:?}", result.failure), |report| report.as_json().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_of_a_bundle_gets_one_result_that_its_uploader_believes() {
    let mill = Mill::start(counts()).await;
    let files = bundle();
    let sent = mill.upload(&files).seal(&mill.fake);
    assert!(sent.chunks.len() >= 3);
    sent.offer(&mill.fake);
    for (index, file) in (0..).zip(&files) {
        let result = mill.result(&sent, index).await;
        assert_eq!(bytes_reported(&result), format!("{{\"bytes\":{}}}", file.len()));
        let input = result.input.expect("an input");
        assert_eq!((input.length, input.sha256), (file.len() as u64, Digest::of(file)));
        assert_eq!(result.log[0].message, "counting");
    }
    for sequence in 0..sent.chunks.len() as u32 {
        assert_eq!(sent.fetched(&mill.fake, sequence), 1, "chunk {sequence}");
    }
    assert_eq!(mill.fake.world(|world| world.fetched[&format!("{}/header", sent.leased.upload)]), 1);
    let totals = mill.end().await;
    assert_eq!((totals.jobs_leased, totals.jobs_completed, totals.leases_returned), (150, 150, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_before_the_server_knows_that_it_starts() {
    let mill = Mill::start(counts()).await;
    let sent = mill.upload(&bundle()).seal(&mill.fake);
    sent.offer(&mill.fake);
    for index in 0..150 {
        mill.result(&sent, index).await;
    }
    mill.fake.world(|world| {
        let mut started = Vec::new();
        for said in &world.said {
            match said {
                Said::Started(key, jobs) => started.extend(jobs.iter().map(|job| (*key, *job))),
                Said::Completed(key, results) => {
                    let mut jobs = results.iter().flat_map(|result| &result.jobs);
                    assert!(jobs.all(|ended| started.contains(&(*key, ended.job))), "{said:?}");
                }
                _ => {}
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_runs_while_it_arrives() {
    let mill = Mill::start_with(counts(), |config| config.memory_budget_bytes = 1 << 20).await;
    // Forty chunks, more than twice the budget.
    let file = noise(40 * (64 << 10) - 5, 1);
    let sent = mill.upload(std::slice::from_ref(&file)).seal(&mill.fake);
    let span = sent.span_of(0);
    mill.fake.offer(sent.leased.clone(), sent.chunks[..1].to_vec());
    mill.fake
        .until("the job starts with its first chunk", |world| {
            world.said.iter().find(|said| matches!(said, Said::Started(key, _) if key.span == span)).map(|_| ())
        })
        .await;
    for stored in 2..=sent.chunks.len() {
        mill.fake.world(|world| world.chunks.insert(span, sent.chunks[..stored].to_vec()));
    }
    let result = mill.result(&sent, 0).await;
    assert_eq!(bytes_reported(&result), format!("{{\"bytes\":{}}}", file.len()));
    assert_eq!(result.input.expect("an input").sha256, Digest::of(&file));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_large_files_share_a_budget_that_is_too_small_for_them() {
    let mill = Mill::start_with(counts(), |config| config.memory_budget_bytes = 1 << 20).await;
    let files: Vec<_> = (0..6).map(|n| noise(1_500_000 + n, n as u64)).collect();
    let mixed: Vec<_> = files.iter().cloned().chain((0..80).map(|n| noise(2000, n))).collect();
    let sent = mill.upload(&mixed).seal(&mill.fake);
    sent.offer(&mill.fake);
    for (index, file) in (0..).zip(&mixed) {
        let result = mill.result(&sent, index).await;
        assert_eq!(bytes_reported(&result), format!("{{\"bytes\":{}}}", file.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_reads_nothing_still_waits_for_the_verdict() {
    let mill = Mill::start(never_reads()).await;
    let file = noise(300_000, 2);
    let sent = mill.upload(std::slice::from_ref(&file)).seal(&mill.fake);
    sent.offer(&mill.fake);
    let result = mill.result(&sent, 0).await;
    assert_eq!(result.outcome, filemill_seal::Outcome::Succeeded);
    assert_eq!(result.input.expect("an input").sha256, Digest::of(&file));
    assert_eq!(result.resources.bytes_read, 0);
    assert_eq!(sent.fetched(&mill.fake, sent.chunks.len() as u32 - 1), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_file_ends_as_void_whatever_the_engine_says() {
    let mill = Mill::start(counts()).await;
    let mut upload = mill.upload(&[noise(100, 1), noise(400_000, 2), noise(100, 3)]);
    upload.verdicts[0] = Verdict::Void(VoidReason::Changed);
    upload.verdicts[1] = Verdict::Void(VoidReason::Shrank);
    let sent = upload.seal(&mill.fake);
    sent.offer(&mill.fake);
    for (index, reason) in [(0, VoidReason::Changed), (1, VoidReason::Shrank)] {
        let result = mill.result(&sent, index).await;
        assert_eq!(result.outcome, filemill_seal::Outcome::Void);
        assert!(result.failure.expect("a failure").message.contains(&reason.to_string()));
    }
    assert_eq!(mill.result(&sent, 2).await.outcome, filemill_seal::Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_bytes_are_not_those_of_its_verdict_is_refused() {
    let mill = Mill::start(counts()).await;
    let mut upload = mill.upload(&[noise(100, 1), noise(400_000, 2)]);
    upload.verdicts[0] = Verdict::Intact(Digest::of(b"another"));
    upload.verdicts[1] = Verdict::Intact(Digest::of(b"another"));
    let sent = upload.seal(&mill.fake);
    sent.offer(&mill.fake);
    for index in [0, 1] {
        let result = mill.result(&sent, index).await;
        assert_eq!(result.outcome, filemill_seal::Outcome::Refused);
        let message = result.failure.expect("a failure").message;
        assert!(message.starts_with("the file's bytes have the SHA-256"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_goes_to_storage() {
    let mill = Mill::start_with(floods_log(), |config| config.limits.default.log_lines = 10_000).await;
    let sent = mill.upload(&[noise(100, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    let completion = mill.fake.completion(sent.span_of(0), 0).await;
    assert!(matches!(completion.sealed, Some(SealedBody::Object { .. })), "{completion:?}");
    assert_eq!(completion.jobs[0].outcome, Outcome::OverLog);
    mill.open(&sent, &completion);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_that_cannot_be_stored_is_handed_back() {
    let mill = Mill::start_with(floods_log(), |config| config.limits.default.log_lines = 10_000).await;
    mill.fake.world(|world| world.put_reply = Some(Reply::Status(403)));
    let sent = mill.upload(&[noise(100, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    assert_eq!(mill.end().await.jobs_completed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_do_not_fit_together_take_turns() {
    let mill = Mill::start(counts()).await;
    let mut all = Vec::new();
    for n in 0..8 {
        let mut upload = mill.upload(&vec![noise(1, n); 1000]);
        upload.header.files.iter_mut().for_each(|file| file.name = vec![b'x'; 4000]);
        let sent = upload.seal(&mill.fake);
        sent.offer_with(&mill.fake, |leased| leased.spans.truncate(1));
        all.push(sent);
    }
    for sent in &all {
        assert_eq!(mill.result(sent, 0).await.outcome, filemill_seal::Outcome::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_url_is_asked_for_again() {
    let mill = Mill::start(counts()).await;
    let sent = mill.upload(&[noise(100, 1)]).seal(&mill.fake);
    let forbidden = Reply::Status(403);
    mill.fake.replies(&sent.key(0), [forbidden, Reply::Bytes(sent.sealed_chunks[0].clone())]);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded);
    assert_eq!(sent.fetched(&mill.fake, 0), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_stumbles_is_tried_again() {
    let mill = Mill::start(counts()).await;
    let sent = mill.upload(&[noise(5000, 1)]).seal(&mill.fake);
    let chunk = &sent.sealed_chunks[0];
    let unavailable = Reply::Status(503);
    mill.fake.replies(&sent.key(0), [unavailable, Reply::CutOff(chunk.clone()), Reply::Bytes(chunk.clone())]);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded);
    assert_eq!(sent.fetched(&mill.fake, 0), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_alone_is_reported_by_itself() {
    let mill = Mill::start(counts()).await;
    let sent = mill.upload(&[noise(10, 1), noise(20, 2), noise(30, 3)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.spans[0].alone = true);
    for index in 0..3 {
        mill.result(&sent, index).await;
    }
    mill.fake.world(|world| {
        let started: Vec<_> = world
            .said
            .iter()
            .filter_map(|said| match said {
                Said::Started(_, jobs) => Some(jobs.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(started, [[0], [1], [2]]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_while_costs_no_result() {
    let mill = Mill::start(counts()).await;
    mill.fake.world(|world| {
        for path in [filemill_api::paths::RESULTS, filemill_api::paths::LEASE_REPORT, filemill_api::paths::LEASES] {
            world.unavailable.insert(path.to_owned(), 2);
        }
    });
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded);
    assert_eq!(mill.end().await.jobs_completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stalls_is_handed_back() {
    let mill = Mill::start_with(counts(), |config| config.stall = Duration::from_millis(300)).await;
    let sent = mill.upload(&[noise(300_000, 1)]).seal(&mill.fake);
    mill.fake.offer(sent.leased.clone(), sent.chunks[..1].to_vec());
    let reason = mill.fake.returned(sent.span_of(0)).await;
    assert_eq!(reason, filemill_api::ReturnReason::Stalled);
    // Another comes in its place and is not in its way.
    let other = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    other.offer(&mill.fake);
    assert_eq!(mill.result(&other, 0).await.outcome, filemill_seal::Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_still_arrives_gives_its_place_to_one_that_is_there() {
    // Nothing would move for longer than the test waits.
    let mill = Mill::start_with(counts(), |config| (config.slots, config.stall) = (1, Duration::from_secs(60))).await;
    let arriving = mill.upload(&[noise(300_000, 1)]).seal(&mill.fake);
    mill.fake.offer(arriving.leased.clone(), arriving.chunks[..2].to_vec());
    let span = arriving.span_of(0);
    mill.fake
        .until("the job starts", |world| {
            world.said.iter().find(|said| matches!(said, Said::Started(key, _) if key.span == span)).map(|_| ())
        })
        .await;
    let complete = mill.upload(&[noise(300_000, 2)]).seal(&mill.fake);
    complete.offer(&mill.fake);
    assert_eq!(mill.result(&complete, 0).await.outcome, filemill_seal::Outcome::Succeeded);
    assert_eq!(mill.fake.returned(span).await, ReturnReason::Stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_an_engine_takes_is_no_stall_of_its_uploader() {
    let start = "(call $log (i32.const 1) (i32.const 1100) (i32.const 8))";
    let slow = "(if (i64.eq (local.get $size) (i64.const 65536)) (then
        (loop $spin
            (local.set $bytes (i64.add (local.get $bytes) (i64.const 1)))
            (br_if $spin (i64.lt_u (local.get $bytes) (i64.const 2000000000))))
        (local.set $bytes (i64.const 0))))";
    let engine = filemill_guests::component(&Guest::Counts.text().replace(start, slow));
    let mill = Mill::start_with(engine, |config| config.stall = Duration::from_millis(700)).await;
    // Two files in a chunk each, leased together; the second chunk comes when the first file has run.
    let mut sent = mill.upload(&[noise(64 << 10, 1), noise(10, 2)]).seal(&mill.fake);
    sent.leased.spans.truncate(1);
    (sent.leased.spans[0].jobs, sent.leased.spans[0].last_chunk) = (vec![0, 1], 1);
    mill.fake.offer(sent.leased.clone(), sent.chunks[..1].to_vec());
    mill.result(&sent, 0).await;
    let span = sent.span_of(0);
    mill.fake.world(|world| world.chunks.insert(span, sent.chunks.clone()));
    assert_eq!(mill.result(&sent, 1).await.outcome, filemill_seal::Outcome::Succeeded);
}

#[test]
fn a_fenced_lease_has_its_own_code() {
    // What the node goes by when a completion is refused.
    assert_eq!(serde_json::to_string(&ErrorCode::Fenced).expect("JSON"), "\"fenced\"");
}
