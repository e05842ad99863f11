//! A server or a storage service that means harm: each is refused, with its message.

use filemill_api::{Outcome, ReturnReason};
use filemill_seal::{Digest, Identity, Verdict};

use super::fake::Reply;
use super::mill::{Mill, Sent, noise, now};

/// Asserts that file 0 is refused, for a reason that its uploader can read.
async fn refused(mill: &Mill, sent: &Sent, why: &str) {
    let result = mill.result(sent, 0).await;
    assert_eq!(result.outcome, filemill_seal::Outcome::Refused);
    let message = result.failure.expect("a failure").message;
    assert!(message.contains(why), "{message}");
}

/// Asserts that file 0 is refused without a sealed reason: there is nobody it could be sealed for.
async fn refused_unsealed(mill: &Mill, sent: &Sent) {
    let completion = mill.fake.completion(sent.span_of(0), 0).await;
    assert_eq!((completion.jobs[0].outcome, completion.sealed), (Outcome::Refused, None));
}

fn nobody_came_elsewhere(mill: &Mill) {
    mill.fake
        .world(|world| assert!(world.fetched.keys().all(|key| !key.starts_with("elsewhere")), "{:?}", world.fetched));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_component_than_the_header_names_never_runs() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    let other = mill.fake.put("other", &super::never_reads());
    mill.fake.world(|world| world.component = Some(other));
    sent.offer(&mill.fake);
    refused(&mill, &sent, "the server gives component").await;

    // That is not held against the release.
    let right = mill.fake.put("right", &mill.component);
    mill.fake.world(|world| world.component = Some(right));
    let sent = mill.upload(&[noise(10, 2)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_the_header_does_not_name_never_runs() {
    let mill = Mill::start(super::counts()).await;
    let other = super::never_reads();
    let get = mill.fake.put("other", &other);
    mill.fake.world(|world| world.component = Some(get));
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.spans[0].release = Digest::of(&other).to_string());
    refused(&mill, &sent, "the header does not name release").await;
    assert_eq!(mill.fake.world(|world| world.fetched.get("other").copied()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_another_upload_is_refused() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    let other = mill.upload(&[noise(10, 2)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.header = other.leased.header.clone());
    refused_unsealed(&mill, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_header_is_reported_missing_and_refuses_nothing() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    let mut altered = sent.sealed.as_bytes().to_vec();
    *altered.last_mut().expect("bytes") ^= 1;
    mill.fake.replies(&format!("{}/header", sent.leased.upload), [Reply::Bytes(altered)]);
    sent.offer(&mill.fake);
    mill.fake.no_header(sent.span_of(0)).await;
    assert_eq!(mill.end().await.jobs_completed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_download_damages_is_neither_missing_nor_refused() {
    let mill = Mill::start(super::counts()).await;
    let damaged = |bytes: &[u8], case: &str| {
        let mut bytes = bytes.to_vec();
        match case {
            "altered" => *bytes.last_mut().expect("bytes") ^= 1,
            "shorter" => drop(bytes.pop()),
            "longer" => bytes.push(0),
            "a portal's page" => bytes = b"<html>log in</html>".to_vec(),
            _ => return Reply::Status(404),
        }
        Reply::Bytes(bytes)
    };
    let component = mill.component.clone();
    for case in ["altered", "shorter", "longer", "a portal's page", "gone"] {
        let sent = mill.upload(&[noise(1000, 1)]).seal(&mill.fake);
        let (header, chunk) = (sent.sealed.as_bytes().to_vec(), sent.sealed_chunks[0].clone());
        let whole = Reply::Bytes(header.clone());
        mill.fake.replies(&format!("{}/header", sent.leased.upload), [damaged(&header, case), whole]);
        mill.fake.replies(&sent.key(0), [damaged(&chunk, case), Reply::Bytes(chunk)]);
        sent.offer(&mill.fake);
        assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded, "{case}");
    }
    let totals = mill.end().await;
    assert_eq!((totals.objects_missing, totals.leases_returned, totals.jobs_completed), (0, 0, 5));

    for case in ["altered", "shorter", "longer", "a portal's page"] {
        let mill = Mill::stopped(component.clone()).await;
        let get = mill.fake.put("flaky", &component);
        mill.fake.replies("flaky", [damaged(&component, case), Reply::Bytes(component.clone())]);
        mill.fake.world(|world| world.component = Some(get));
        let mill = mill.started();
        let sent = mill.upload(&[noise(10, 2)]).seal(&mill.fake);
        sent.offer(&mill.fake);
        assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded, "component, {case}");
        assert_eq!(mill.end().await.leases_returned, 0, "component, {case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_every_download_damages_blames_no_release() {
    let mill = Mill::start(super::counts()).await;
    let get = mill.fake.put("flaky", &mill.component);
    mill.fake.replies("flaky", [Reply::Bytes(b"<html>log in</html>".to_vec())]);
    mill.fake.world(|world| world.component = Some(get));
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    mill.fake.replies("flaky", [Reply::Bytes(mill.component.clone())]);
    let sent = mill.upload(&[noise(10, 2)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, filemill_seal::Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_for_another_pool_is_handed_back_unrun_and_refused_at_last() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    let foreign = sent.header.seal(&[Identity::generate().recipient()]).expect("a header");
    let get = mill.fake.put("foreign", foreign.as_bytes());
    let header = get.clone();
    sent.offer_with(&mill.fake, |leased| leased.header = header);
    // Not refused for good: another processor of the pool may have a key that this one has not.
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    let again = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    again.offer_with(&mill.fake, |leased| {
        leased.header = get;
        leased.spans[0].attempt = 3;
    });
    refused_unsealed(&mill, &again).await;
    assert_eq!((sent.fetched(&mill.fake, 0), again.fetched(&mill.fake, 0)), (0, 0));
    assert_eq!(mill.end().await.jobs_completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_upload_is_not_run_again() {
    let mill = Mill::start(super::counts()).await;
    let mut upload = mill.upload(&[noise(10, 1)]);
    upload.header.not_after = now() - 1;
    let sent = upload.seal(&mill.fake);
    sent.offer(&mill.fake);
    refused(&mill, &sent, "the upload was to be run until").await;
    assert_eq!(sent.fetched(&mill.fake, 0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_the_header_has_it_not_is_refused() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(100_000, 1)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.spans[0].last_chunk = 0);
    refused(&mill, &sent, "the server says that the files lie in chunks 0 to 0").await;
    let sent = mill.upload(&[noise(100_000, 1)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.chunks_expected = 1);
    refused(&mill, &sent, "the server says that there are 1 chunks, the header 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_elsewhere_is_not_followed() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    let (storage, elsewhere) = (mill.fake.storage.clone(), mill.fake.elsewhere.clone());
    sent.offer_with(&mill.fake, |leased| leased.header.url = leased.header.url.replace(&storage, &elsewhere));
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);

    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    let mut chunks = sent.chunks.clone();
    chunks[0].get.url = chunks[0].get.url.replace(&storage, &elsewhere);
    mill.fake.offer(sent.leased.clone(), chunks);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    nobody_came_elsewhere(&mill);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_not_put_elsewhere() {
    let mill = Mill::start_with(super::floods_log(), |config| config.limits.default.log_lines = 10_000).await;
    mill.fake.world(|world| world.results_to = Some(mill.fake.elsewhere.clone()));
    let sent = mill.upload(&[noise(100, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    nobody_came_elsewhere(&mill);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    mill.fake.replies(&sent.key(0), [Reply::Redirect(format!("{}/chunk", mill.fake.elsewhere))]);
    sent.offer(&mill.fake);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::Stalled);
    nobody_came_elsewhere(&mill);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_captive_portal_answers_before_storage_counts_against_no_job() {
    let mill = Mill::start_with(super::floods_log(), |config| config.limits.default.log_lines = 10_000).await;
    for (what, status) in [("component", 200), ("header", 403), ("chunk", 404), ("result", 403)] {
        let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
        let portal = [Reply::Portal(status)];
        match what {
            "chunk" => mill.fake.replies(&sent.key(0), portal),
            "header" => mill.fake.replies(&format!("{}/header", sent.leased.upload), portal),
            "component" => {
                let get = mill.fake.put("hidden", &mill.component);
                mill.fake.replies("hidden", portal);
                mill.fake.world(|world| world.component = Some(get));
            }
            _ => mill.fake.world(|world| world.put_reply = Some(Reply::Portal(status))),
        }
        // At an attempt at which a fault of the node's would end it.
        sent.offer_with(&mill.fake, |leased| leased.spans[0].attempt = 16);
        assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::Stalled, "{what}");
        mill.fake.replies("hidden", [Reply::Bytes(mill.component.clone())]);
    }
    let totals = mill.end().await;
    assert_eq!((totals.objects_missing, totals.jobs_completed), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_chunks_are_never_analysed() {
    let mill = Mill::start(super::counts()).await;
    // Two files of one chunk each, and one that is streamed.
    let sent = mill.upload(&[noise(64 << 10, 1), noise(64 << 10, 2)]).seal(&mill.fake);
    let mut chunks = sent.chunks.clone();
    (chunks[0].get, chunks[1].get) = (chunks[1].get.clone(), chunks[0].get.clone());
    mill.fake.offer(sent.leased.clone(), chunks);
    refused(&mill, &sent, "chunk 1 came in place of chunk 0").await;

    let sent = mill.upload(&[noise(400_000, 3)]).seal(&mill.fake);
    let mut chunks = sent.chunks.clone();
    (chunks[3].get, chunks[4].get) = (chunks[4].get.clone(), chunks[3].get.clone());
    mill.fake.offer(sent.leased.clone(), chunks);
    refused(&mill, &sent, "chunk 4 came in place of chunk 3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chunk_of_another_upload_is_never_analysed() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(1000, 1)]).seal(&mill.fake);
    let other = mill.upload(&[noise(1000, 2)]).seal(&mill.fake);
    mill.fake.offer(sent.leased.clone(), other.chunks.clone());
    refused(&mill, &sent, "it was altered, or belongs elsewhere").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_in_memory_is_not_handed_to_another_header_of_the_same_upload() {
    let mill = Mill::start(super::counts()).await;
    // Two files in one chunk, which therefore stays in memory.
    let files = [noise(1000, 1), noise(1000, 2)];
    let victim = mill.upload(&files).seal(&mill.fake);
    victim.offer_with(&mill.fake, |leased| leased.spans[0].jobs = vec![0]);
    assert_eq!(mill.result(&victim, 0).await.outcome, filemill_seal::Outcome::Succeeded);

    // The same upload and files, another key: its maker has the sealed chunk only.
    let mut forged = mill.upload(&files);
    forged.header.upload = victim.header.upload;
    forged.verdicts = vec![Verdict::Intact(Digest::of(b"unknown")); 2];
    let forged = forged.seal(&mill.fake);
    mill.fake.replies(&victim.key(0), [Reply::Bytes(victim.sealed_chunks[0].clone())]);
    mill.fake.offer(forged.leased.clone(), victim.chunks.clone());
    refused(&mill, &forged, "it was altered, or belongs elsewhere").await;
    assert_eq!(victim.fetched(&mill.fake, 0), 2, "the chunk is tried under the other header");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_not_what_was_stored_are_reported_missing() {
    let mill = Mill::start(super::counts()).await;
    let mut altered = Vec::new();
    for case in ["altered", "shorter", "longer", "gone"] {
        let sent = mill.upload(&[noise(1000, 1)]).seal(&mill.fake);
        let mut chunk = sent.sealed_chunks[0].clone();
        let reply = match case {
            "altered" => {
                *chunk.last_mut().expect("bytes") ^= 1;
                Reply::Bytes(chunk)
            }
            "shorter" => Reply::Bytes(chunk[..chunk.len() - 1].to_vec()),
            "longer" => Reply::Bytes([chunk, vec![0]].concat()),
            _ => Reply::Status(404),
        };
        mill.fake.replies(&sent.key(0), [reply]);
        sent.offer(&mill.fake);
        assert_eq!(mill.fake.missing(sent.span_of(0)).await, [(0, sent.chunks[0].get.sha256.clone())], "{case}");
        altered.push(sent);
    }
    let totals = mill.end().await;
    assert_eq!((totals.objects_missing, totals.jobs_completed), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_gone_is_reported_missing_and_is_no_fault_of_the_node() {
    let mill = Mill::start(super::counts()).await;
    let lacking = mill.upload(&[noise(1000, 1)]).seal(&mill.fake);
    mill.fake.replies(&format!("{}/header", lacking.leased.upload), [Reply::Status(404)]);
    lacking.offer(&mill.fake);
    mill.fake.no_header(lacking.span_of(0)).await;
    let totals = mill.end().await;
    assert_eq!((totals.objects_missing, totals.leases_returned), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_in_the_middle_of_a_streamed_file_can_be_missing_too() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(500_000, 1)]).seal(&mill.fake);
    mill.fake.replies(&sent.key(5), [Reply::Status(404)]);
    sent.offer(&mill.fake);
    assert_eq!(mill.fake.missing(sent.span_of(0)).await, [(5, sent.chunks[5].get.sha256.clone())]);
    assert_eq!(mill.end().await.jobs_completed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_not_run_here_is_handed_back_twice_and_then_says_so() {
    let component = b"\0asm this is no component".to_vec();
    let mill = Mill::start(component).await;
    for attempt in [1, 2] {
        let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
        sent.offer_with(&mill.fake, |leased| leased.spans[0].attempt = attempt);
        assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    }
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer_with(&mill.fake, |leased| leased.spans[0].attempt = 3);
    let result = mill.result(&sent, 0).await;
    assert_eq!(result.outcome, filemill_seal::Outcome::HostFailed);
    let message = result.failure.expect("a failure").message;
    assert!(message.contains("does not run here"), "{message}");
}
