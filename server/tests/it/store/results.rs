//! Completing, cancelling, and reading what came of it.

use std::sync::Arc;

use filemill_api::{
    Base64, CancelRequest, Complete, CompleteRequest, ErrorCode, JobOutcome, Outcome, ResultUrlRequest, ReturnReason,
    SealedBody, SpanKey, SpanResult, UploadState, WantResult, limits,
};
use filemill_server::Domains;
use filemill_server::accounts::Caller;
use filemill_server::queue::{RecordedKind, RecordedResult};

use super::site::{
    POOL, Site, advance, chunk, code, complete, complete_all, completion, events, give_back, key, lease, lease_now,
    only, open_one, report, results, runs, send, single,
};

super::on_both!(
    completing_again_is_recorded_once,
    a_run_may_be_completed_in_parts,
    a_wrong_fence_is_refused_and_records_nothing,
    what_no_processor_may_say_is_refused,
    a_large_result_is_an_object_under_its_fence,
    every_kind_of_result_reaches_its_reader,
    pages_end_early_when_results_are_large,
    cancelling_ends_what_nobody_runs_and_tells_who_runs_the_rest,
    a_cancelled_lease_that_is_returned_ends_as_cancelled,
    a_cancelled_upload_costs_its_organisation_no_turn,
);

async fn cancel(server: &Domains, caller: &Caller, id: &str) -> u32 {
    let request = CancelRequest { uploads: vec![id.to_owned()] };
    server.queue.cancel(caller, request).await.expect("an answer").uploads.remove(0).into_result().expect("cancelled")
}

async fn completing_again_is_recorded_once(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(3)).await;
    let run = only(&lease(&server, "n", 3).await);
    for _ in 0..3 {
        let done = complete(&server, &run, &[0, 1, 2]).await.expect("recorded, now or before");
        assert_eq!((done.recorded, done.ended), (3, true));
    }
    let events = events(&server, &ann).await;
    assert_eq!(events.iter().map(|event| event.cursor).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(events.iter().all(|event| event.upload == id));
    assert_eq!(server.queue.jobs(&ann, &id).await.expect("jobs").upload.state, UploadState::Done);
    assert_eq!(advance(&server, &ann, &id, true, vec![chunk(0)]).await.expect("advanced"), UploadState::Done);
}

async fn a_run_may_be_completed_in_parts(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(64)).await;
    let run = only(&lease(&server, "n", 64).await);
    let (odd, even): (Vec<u32>, Vec<u32>) = run.jobs.iter().partition(|&&index| index % 2 == 1);
    assert!(!complete(&server, &run, &odd).await.expect("recorded").ended);
    assert!(!complete(&server, &run, &odd[..3]).await.expect("recorded before").ended);
    assert_eq!(results(&server, &ann).await.len(), 32);
    assert!(complete(&server, &run, &even).await.expect("recorded").ended);
    assert_eq!(results(&server, &ann).await.len(), 64);
}

async fn a_wrong_fence_is_refused_and_records_nothing(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let first = only(&lease(&server, "a", 2).await);
    complete(&server, &first, &[0]).await.expect("recorded");
    give_back(&server, &first, ReturnReason::NodeFault).await;
    assert_eq!(code(complete(&server, &first, &[1]).await), ErrorCode::Fenced, "nobody holds it");
    let second = only(&lease(&server, "b", 2).await);
    assert_eq!((second.fence, second.jobs.as_slice()), (first.fence + 1, [1].as_slice()));
    assert_eq!(code(complete(&server, &first, &[1]).await), ErrorCode::Fenced, "another holds it");
    assert_eq!(code(complete(&server, &second, &[0]).await), ErrorCode::Fenced, "recorded under another fence");
    assert!(complete(&server, &first, &[0]).await.is_ok(), "what it recorded while it held it, it recorded");
    for key in
        [SpanKey { span: i64::MAX, fence: 1 }, SpanKey { span: -1, fence: 1 }, SpanKey { span: 1 << 40, fence: -5 }]
    {
        let run = filemill_api::LeasedSpan { span: key.span, fence: key.fence, ..first.clone() };
        assert_eq!(code(complete(&server, &run, &[]).await), ErrorCode::Fenced, "{key:?}");
    }
    complete(&server, &second, &[1]).await.expect("recorded");
    assert_eq!(results(&server, &ann).await.len(), 2);
}

async fn what_no_processor_may_say_is_refused(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let run = only(&lease(&server, "n", 2).await);
    let huge = SealedBody::Inline(Base64(vec![0; limits::MAX_INLINE_RESULT_BYTES + 1]));
    let several = |jobs: &[u32], sealed: Option<&[u8]>| SpanResult {
        jobs: jobs.iter().map(|&job| JobOutcome { job, outcome: Outcome::Succeeded }).collect(),
        sealed: sealed.map(|sealed| SealedBody::Inline(Base64(sealed.to_vec()))),
    };
    for results in [
        vec![single(0, Outcome::Quarantined, None)],
        vec![single(0, Outcome::Unknown, None)],
        vec![single(0, Outcome::Succeeded, Some(huge))],
        vec![single(0, Outcome::Succeeded, Some(SealedBody::Object { length: 0, sha256: "a".repeat(64) }))],
        vec![single(0, Outcome::Succeeded, Some(SealedBody::Object { length: 9, sha256: "../../x".to_owned() }))],
        vec![completion(0), completion(0)],
        vec![completion(64)],
        vec![several(&[], Some(b"nothing"))],
        vec![several(&[0, 1], None)],
        vec![several(&[1, 0], Some(b"not in order"))],
        vec![several(&[0, 0], Some(b"twice"))],
        vec![several(&[0, 1], Some(b"both")), completion(1)],
    ] {
        // Beside one that is fine.
        let fine = Complete { lease: key(&run), results: vec![] };
        let request = CompleteRequest {
            node: "n".to_owned(),
            leases: vec![Complete { lease: key(&run), results: results.clone() }, fine],
        };
        let mut answers = server.queue.complete(POOL, request).await.expect("answers").leases;
        assert!(answers.remove(1).into_result().is_ok());
        assert_eq!(code(answers.remove(0).into_result()), ErrorCode::BadRequest, "{results:?}");
    }
    assert!(events(&server, &ann).await.is_empty());
    complete(&server, &run, &[0, 1]).await.expect("recorded");
}

async fn a_large_result_is_an_object_under_its_fence(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(1)).await;
    let run = only(&lease(&server, "n", 1).await);
    let sha256 = "c".repeat(64);
    let want = |fence| WantResult {
        lease: SpanKey { span: run.span, fence },
        job: 0,
        length: 100_000,
        sha256: sha256.clone(),
    };
    let mut urls = server
        .queue
        .result_urls(POOL, ResultUrlRequest { results: vec![want(run.fence), want(run.fence + 1)] })
        .await
        .expect("answers");
    assert_eq!(code(urls.remove(1)), ErrorCode::Fenced);
    let object = urls.remove(0).expect("a place");
    assert_eq!(object.key.to_string(), format!("results/{id}/0/{}/{sha256}", run.fence));
    let sealed = Some(SealedBody::Object { length: 100_000, sha256 });
    let results = vec![single(0, Outcome::Succeeded, sealed)];
    let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(&run), results }] };
    server.queue.complete(POOL, request).await.expect("answers").leases.remove(0).into_result().expect("recorded");
    let RecordedKind::Results { sealed: Some(RecordedResult::Object(recorded)), .. } =
        events(&server, &ann).await.remove(0).kind
    else {
        panic!("a result that is an object");
    };
    assert_eq!(recorded, object);
}

async fn every_kind_of_result_reaches_its_reader(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Rejected,
        Outcome::Failed,
        Outcome::Trapped,
        Outcome::TimedOut,
        Outcome::OverMemory,
        Outcome::OverOutput,
        Outcome::OverLog,
        Outcome::OverHostCalls,
        Outcome::Void,
        Outcome::Refused,
        Outcome::Cancelled,
        Outcome::HostFailed,
    ];
    send(&server, &ann, &site.bundle(outcomes.len() as u32)).await;
    let run = only(&lease(&server, "n", 64).await);
    // Bodies of all sizes, the empty one and none at all among them: each has to be cut out of the others.
    let body = |index: usize| vec![index as u8; index * 1000];
    let results = outcomes
        .iter()
        .enumerate()
        .map(|(index, &outcome)| {
            single(index as u32, outcome, (index != 3).then(|| SealedBody::Inline(Base64(body(index)))))
        })
        .collect();
    let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(&run), results }] };
    server.queue.complete(POOL, request).await.expect("answers").leases.remove(0).into_result().expect("recorded");
    for (place, event) in events(&server, &ann).await.into_iter().enumerate() {
        let RecordedKind::Results { jobs, sealed } = event.kind else { panic!("a result") };
        assert_eq!(jobs, [JobOutcome { job: place as u32, outcome: outcomes[place] }]);
        assert_eq!(sealed, (place != 3).then(|| RecordedResult::Inline(body(place))));
    }
}

async fn pages_end_early_when_results_are_large(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(128)).await;
    let leased = lease(&server, "n", 128).await;
    let body = Base64(vec![7; limits::MAX_INLINE_RESULT_BYTES]);
    for run in runs(&leased) {
        let result = |&job| single(job, Outcome::Succeeded, Some(SealedBody::Inline(body.clone())));
        let results = run.jobs.iter().map(result).collect();
        let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(&run), results }] };
        server.queue.complete(POOL, request).await.expect("answers").leases.remove(0).into_result().expect("recorded");
    }
    let (mut after, mut pages) = (0, Vec::new());
    loop {
        let page = server.queue.events(&ann, after, None).await.expect("a page");
        if page.events.is_empty() {
            break;
        }
        (after, _) = (page.next, pages.push(page.events.len()));
    }
    assert_eq!(pages, [16; 8], "1 MiB a page");
}

async fn cancelling_ends_what_nobody_runs_and_tells_who_runs_the_rest(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(100)).await;
    let run = only(&lease(&server, "n", 10).await);
    complete(&server, &run, &[0]).await.expect("recorded");
    assert!(report(&server, &run, &[1]).await.cancelled.is_empty());
    assert_eq!(cancel(&server, &ann, &id).await, 90);
    assert_eq!(cancel(&server, &ann, &id).await, 0, "there is nothing more to cancel");
    assert!(runs(&lease_now(&server, "m", 64, 64).await).is_empty());
    assert_eq!(report(&server, &run, &[]).await.cancelled, [key(&run)]);
    let ended = (1..10).map(|job| single(job, Outcome::Cancelled, None)).collect();
    let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(&run), results: ended }] };
    server.queue.complete(POOL, request).await.expect("answers").leases.remove(0).into_result().expect("recorded");
    let results = results(&server, &ann).await;
    assert_eq!(results.len(), 100);
    assert_eq!(results.iter().filter(|(_, outcome)| *outcome == Outcome::Cancelled).count(), 99);
    assert_eq!(server.queue.jobs(&ann, &id).await.expect("jobs").upload.state, UploadState::Cancelled);
    // One that waits for its chunks.
    let upload = site.large(3);
    open_one(&server, &ann, &upload).await.expect("opened");
    assert_eq!(cancel(&server, &ann, &upload.id).await, 1);
    let state = advance(&server, &ann, &upload.id, true, vec![chunk(0)]).await.expect("advanced");
    assert_eq!(state, UploadState::Cancelled);
}

async fn a_cancelled_lease_that_is_returned_ends_as_cancelled(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(3)).await;
    let run = only(&lease(&server, "n", 3).await);
    cancel(&server, &ann, &id).await;
    give_back(&server, &run, ReturnReason::ShuttingDown).await;
    let cancelled = Outcome::Cancelled;
    assert_eq!(results(&server, &ann).await, [(0, cancelled), (1, cancelled), (2, cancelled)]);
    assert_eq!(server.queue.jobs(&ann, &id).await.expect("jobs").upload.state, UploadState::Cancelled);
}

async fn a_cancelled_upload_costs_its_organisation_no_turn(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "other", "bob").await);
    let huge = send(&server, &ann, &site.bundle(60_000)).await;
    let theirs = send(&server, &bob, &site.bundle(640)).await;
    cancel(&server, &ann, &huge).await;
    let small = send(&server, &ann, &site.bundle(1)).await;
    // Of another's 640 at most the first runs come before it.
    let leased = lease(&server, "n", 129).await;
    assert!(leased.uploads.iter().any(|work| work.upload == small), "{:?}", leased.uploads.len());
    assert!(leased.uploads.iter().any(|work| work.upload == theirs));
    complete_all(&server, &leased).await;
}
