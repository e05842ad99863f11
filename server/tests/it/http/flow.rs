//! One upload by hand, from opening to deletion, as client and processor speak.

use filemill_api::{
    AdvanceUpload, Base64, ChunksAnswer, ChunksRequest, Complete, CompleteAnswer, CompleteRequest, Completed,
    ComponentUrl, ErrorCode, EventKind, EventPage, FetchAnswer, FetchRequest, JobOutcome, JobStates, LeaseReport,
    MissingRequest, Outcome, Releases, ReportAnswer, ReportRequest, ResultKey, ResultUrlRequest, ResultUrls,
    SealedBody, SealedResult, SignedGet, SpanKey, SpanResult, UploadState, Uploads, WaitReason, WantResult, WhoAmI,
    paths,
};
use reqwest::StatusCode;

use super::{Mill, lease_request, objects, ok, one, sha256, until, want};

#[tokio::test]
async fn a_file_goes_the_whole_way() {
    let mill = Mill::start().await;
    let who: WhoAmI = ok(mill.get(&mill.user, paths::WHOAMI).await).await;
    assert_eq!((who.organisation.as_str(), who.user.as_str(), who.scope.as_str()), ("acme", "alice", "user"));
    assert_eq!(who.storage_origins, [mill.server.addresses().storage.clone()]);
    let releases: Releases = ok(mill.get(&mill.user, paths::RELEASES).await).await;
    let release = one(releases.releases);
    assert_eq!((release.engine.as_str(), release.contract, release.current), ("size", 1, true));
    let component = paths::COMPONENT.replace("{digest}", &release.digest);
    let component: ComponentUrl = ok(mill.get(&mill.processor, &component).await).await;
    assert_eq!(sha256(&fetch(&mill, &component.get).await), release.digest);

    // Open twice: the same answer, but for the signatures' time.
    let sample = mill.upload(1);
    let opened = mill.open(&sample.open).await;
    let again = mill.open(&sample.open).await;
    assert_eq!((&again.stored, again.state, again.chunks.len()), (&opened.stored, UploadState::Uploading, 1));
    for url in [&opened.chunks[0].url, &opened.header.as_ref().unwrap().url] {
        assert!(url.starts_with(&format!("{}/filemill/uploads/{}/", who.storage_origins[0], sample.open.id)), "{url}");
    }
    let other_header = filemill_api::OpenUpload { header_sha256: sha256(b"other"), ..sample.open.clone() };
    let request = filemill_api::OpenRequest { uploads: vec![other_header] };
    let conflict: filemill_api::OpenAnswer = mill.ask(&mill.user, paths::UPLOADS, &request).await;
    assert_eq!(one(conflict.uploads).into_result().unwrap_err().code, ErrorCode::Conflict);

    // Nothing is there to lease before it is stored.
    assert!(mill.lease(0).await.uploads.is_empty());
    mill.send(&sample).await;
    mill.send(&sample).await;
    let resumed = mill.open(&sample.open).await;
    assert_eq!((resumed.header, resumed.stored, resumed.state), (None, vec![(0, 0)], UploadState::Stored));

    let leased = mill.lease(5_000).await;
    assert!(leased.lease_ms > 0);
    let work = one(leased.uploads);
    assert_eq!((&work.upload, work.chunks_expected), (&sample.open.id, 1));
    assert_eq!(fetch(&mill, &work.header).await, sample.header);
    assert_eq!(fetch(&mill, &work.chunks[0].get).await, sample.chunk);
    let run = one(work.spans);
    assert_eq!((&run.release, run.jobs), (&mill.release, vec![0]));
    let lease = SpanKey { span: run.span, fence: run.fence };
    let chunks = ChunksRequest { lease, from: 0, count: 8, wait_ms: 0 };
    let chunks: ChunksAnswer = mill.ask(&mill.processor, paths::LEASE_CHUNKS, &chunks).await;
    assert_eq!(fetch(&mill, &one(chunks.chunks).get).await, sample.chunk);

    let report = ReportRequest {
        node: "node-1".to_owned(),
        leases: vec![LeaseReport { lease, started: vec![0], per_mille: 500 }],
    };
    let told: ReportAnswer = mill.ask(&mill.processor, paths::LEASE_REPORT, &report).await;
    assert!(told.cancelled.is_empty() && told.lost.is_empty());
    let states: JobStates = ok(mill.get(&mill.user, &paths::UPLOAD.replace("{upload}", &sample.open.id)).await).await;
    assert_eq!(one(states.waiting).reason, WaitReason::Running { per_mille: 500, attempt: 1 });

    let completion = single(Outcome::Succeeded, Some(SealedBody::Inline(Base64(b"sealed".to_vec()))));
    for _ in 0..2 {
        let done = complete(&mill, lease, vec![completion.clone()]).await;
        assert_eq!(done, Ok(Completed { recorded: 1, ended: true }));
    }
    let page: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    let event = one(page.events);
    assert_eq!(event.upload, sample.open.id);
    let sealed = Some(SealedResult::Inline(Base64(b"sealed".to_vec())));
    assert_eq!(
        event.kind,
        EventKind::Results { jobs: vec![JobOutcome { job: 0, outcome: Outcome::Succeeded }], sealed }
    );
    let rest: EventPage = ok(mill.get(&mill.user, &format!("{}?after={}", paths::EVENTS, page.next)).await).await;
    assert!(rest.events.is_empty());
    assert_eq!(rest.next, page.next);
    let open: Uploads = ok(mill.get(&mill.user, paths::UPLOADS).await).await;
    assert!(open.uploads.is_empty());

    until("header and chunk are deleted", async || objects(&mill) == [format!("releases/{}", mill.release)]).await;
    assert_eq!(mill.open(&sample.open).await.state, UploadState::Done);
    mill.stop().await;
}

#[tokio::test]
async fn a_large_result_goes_by_storage_and_comes_back_by_a_fresh_url() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    mill.send(&sample).await;
    let run = one(one(mill.lease(5_000).await.uploads).spans);
    let lease = SpanKey { span: run.span, fence: run.fence };
    let sealed = vec![9; 100_000];
    let wanted = WantResult { lease, job: 0, length: sealed.len() as u64, sha256: sha256(&sealed) };
    let stale = WantResult { lease: SpanKey { fence: run.fence - 1, ..lease }, ..wanted.clone() };
    let urls: ResultUrls =
        mill.ask(&mill.processor, paths::RESULT_URLS, &ResultUrlRequest { results: vec![wanted, stale] }).await;
    let mut urls = urls.results.into_iter();
    let put = urls.next().unwrap().into_result().unwrap();
    assert_eq!(urls.next().unwrap().into_result().unwrap_err().code, ErrorCode::Fenced);
    assert_eq!(mill.put(&put, sealed.clone()).await.status(), StatusCode::OK);
    let body = SealedBody::Object { length: sealed.len() as u64, sha256: sha256(&sealed) };
    let done = complete(&mill, lease, vec![single(Outcome::Succeeded, Some(body))]).await;
    assert_eq!(done, Ok(Completed { recorded: 1, ended: true }));
    let page: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    let EventKind::Results { sealed: Some(SealedResult::Object(get)), .. } = one(page.events).kind else {
        panic!("no object")
    };
    assert_eq!(fetch(&mill, &get).await, sealed);

    // And again, for whoever got something else.
    let key = |job| ResultKey { upload: sample.open.id.clone(), job };
    let want = FetchRequest { want: vec![key(0), key(1)], ..FetchRequest::default() };
    let answer: FetchAnswer = mill.ask(&mill.user, paths::FETCH, &want).await;
    let mut results = answer.results.into_iter().map(filemill_api::Item::into_result);
    let found = results.next().unwrap().unwrap();
    let Some(SealedResult::Object(again)) = found.sealed else { panic!("no object") };
    assert!(found.kept && found.jobs == [JobOutcome { job: 0, outcome: Outcome::Succeeded }]);
    assert_eq!(fetch(&mill, &again).await, sealed);
    assert_eq!(results.next().unwrap().unwrap_err().code, ErrorCode::NotFound);
    let fetched = FetchRequest { fetched: vec![key(0)], ..FetchRequest::default() };
    let answer: FetchAnswer = mill.ask(&mill.user, paths::FETCH, &fetched).await;
    assert_eq!(answer, FetchAnswer::default());
    assert_eq!(mill.post(&mill.processor, paths::FETCH, &want).await.status(), StatusCode::FORBIDDEN);
    mill.stop().await;
}

#[tokio::test]
async fn a_processor_without_the_lease_completes_nothing() {
    let mill = Mill::start().await;
    mill.send(&mill.upload(1)).await;
    let run = one(one(mill.lease(5_000).await.uploads).spans);
    let stale = SpanKey { span: run.span, fence: run.fence - 1 };
    let completion = single(Outcome::Failed, None);
    assert_eq!(complete(&mill, stale, vec![completion]).await.unwrap_err(), ErrorCode::Fenced);
    let page: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    assert!(page.events.is_empty());
    mill.stop().await;
}

#[tokio::test]
async fn a_missing_chunk_is_asked_for_again_and_then_leased_again() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    mill.send(&sample).await;
    let work = one(mill.lease(5_000).await.uploads);
    let run = &work.spans[0];
    let missing = MissingRequest {
        node: "node-1".to_owned(),
        lease: SpanKey { span: run.span, fence: run.fence },
        chunks: vec![(0, work.chunks[0].get.sha256.clone())],
        header: false,
    };
    let _: ReportAnswer = mill.ask(&mill.processor, paths::LEASE_MISSING, &missing).await;
    let page: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    assert_eq!(one(page.events).kind, EventKind::ChunksMissing { sequences: vec![0] });
    assert!(mill.lease(0).await.uploads.is_empty());
    // Sealed again, it has another content.
    let chunk = b"the chunk, sealed again".to_vec();
    let advance = |stored, want| AdvanceUpload { id: sample.open.id.clone(), header_stored: false, stored, want };
    let signed = mill.advance(advance(Vec::new(), vec![want(0, &chunk)])).await;
    assert_eq!(mill.put(&signed.chunks[0], chunk.clone()).await.status(), StatusCode::OK);
    mill.advance(advance(vec![want(0, &chunk)], Vec::new())).await;
    let work = one(mill.lease(5_000).await.uploads);
    assert_eq!(fetch(&mill, &work.chunks[0].get).await, chunk);
    mill.stop().await;
}

#[tokio::test]
async fn a_lease_waits_for_work_and_wakes_when_it_comes() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    let request = lease_request(30_000);
    let waiting = mill.ask::<filemill_api::LeaseAnswer>(&mill.processor, paths::LEASES, &request);
    let (leased, ()) = tokio::join!(waiting, mill.send(&sample));
    assert_eq!(one(leased.uploads).upload, sample.open.id);
    mill.stop().await;
}

async fn fetch(mill: &Mill, get: &SignedGet) -> Vec<u8> {
    let answer = mill.http.get(&get.url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let bytes = answer.bytes().await.unwrap().to_vec();
    assert_eq!((bytes.len() as u64, sha256(&bytes)), (get.length, get.sha256.clone()));
    bytes
}

/// What the only job came to.
fn single(outcome: Outcome, sealed: Option<SealedBody>) -> SpanResult {
    SpanResult { jobs: vec![JobOutcome { job: 0, outcome }], sealed }
}

async fn complete(mill: &Mill, lease: SpanKey, results: Vec<SpanResult>) -> Result<Completed, ErrorCode> {
    let request = CompleteRequest { node: "node-1".to_owned(), leases: vec![Complete { lease, results }] };
    let answer: CompleteAnswer = mill.ask(&mill.processor, paths::RESULTS, &request).await;
    one(answer.leases).into_result().map_err(|error| error.code)
}
