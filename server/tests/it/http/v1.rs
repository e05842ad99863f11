//! Version 1 of the API, as the programs of release 0.1.0 speak it.

use filemill_api::v1::{
    ChunksRequest, Complete, CompleteRequest, Completion, EventKind, EventPage, FetchAnswer, FetchRequest, JobStates,
    LeaseAnswer, LeaseReport, LeaseRequest, OpenRequest, OpenUpload, ReportAnswer, ReportRequest, ResultKey, RunKey,
    Uploads,
};
use filemill_api::{
    AdvanceAnswer, AdvanceRequest, AdvanceUpload, Base64, ChunksAnswer, CompleteAnswer, Completed, Item, JobOutcome,
    OpenAnswer, OpenTask, Outcome, Problem, SealedBody, SealedResult, UploadState, WaitReason, paths,
};
use filemill_server::accounts::Scope;
use reqwest::StatusCode;

use super::{Mill, POOL, Sample, ok, one, want};

fn in_v1(sample: &Sample) -> OpenUpload {
    OpenUpload::try_from(sample.open.clone()).expect("one task of one release, and format 1")
}

fn node(contracts: &[u32], wait_ms: u32) -> LeaseRequest {
    LeaseRequest {
        node: "node-1".to_owned(),
        pool: POOL.to_owned(),
        contracts: contracts.to_vec(),
        backends: vec!["component".to_owned()],
        parameters_bytes: 65_536,
        max_jobs: 16,
        idle_slots: 4,
        wait_ms,
        told: None,
    }
}

async fn send(mill: &Mill, sample: &Sample) {
    let request = OpenRequest { uploads: vec![in_v1(sample)] };
    let opened: OpenAnswer = mill.ask(&mill.user, paths::v1::UPLOADS, &request).await;
    let opened = one(opened.uploads).into_result().unwrap();
    for (put, bytes) in [(opened.header.unwrap(), &sample.header), (opened.chunks[0].clone(), &sample.chunk)] {
        assert_eq!(mill.put(&put, bytes.clone()).await.status(), StatusCode::OK);
    }
    let upload = AdvanceUpload {
        id: sample.open.id.clone(),
        header_stored: true,
        stored: vec![want(0, &sample.chunk)],
        want: Vec::new(),
    };
    let request = AdvanceRequest { uploads: vec![upload] };
    let advanced: AdvanceAnswer = mill.ask(&mill.user, paths::v1::ADVANCE, &request).await;
    assert_eq!(one(advanced.uploads).into_result().unwrap().state, UploadState::Stored);
}

#[tokio::test]
async fn a_file_goes_the_whole_way() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    send(&mill, &sample).await;
    let show = paths::v1::UPLOAD.replace("{upload}", &sample.open.id);
    let states: JobStates = ok(mill.get(&mill.user, &show).await).await;
    assert_eq!((states.upload.files, states.upload.done), (1, 0));
    assert!(matches!(one(states.waiting).reason, WaitReason::NoProcessor { .. }));

    let leased: LeaseAnswer = mill.ask(&mill.processor, paths::v1::LEASES, &node(&[1], 5_000)).await;
    let work = one(leased.uploads);
    assert_eq!((&work.upload, &work.release), (&sample.open.id, &mill.release));
    let run = one(work.runs);
    assert_eq!(run.indexes, [0]);
    let lease = RunKey { run: run.run, fence: run.fence };
    let request = ChunksRequest { lease, from: 0, count: 8, wait_ms: 0 };
    let chunks: ChunksAnswer = mill.ask(&mill.processor, paths::v1::LEASE_CHUNKS, &request).await;
    assert_eq!(one(chunks.chunks).sequence, 0);
    let leases = vec![LeaseReport { lease, started: vec![0], per_mille: 500 }];
    let request = ReportRequest { node: "node-1".to_owned(), leases };
    let told: ReportAnswer = mill.ask(&mill.processor, paths::v1::LEASE_REPORT, &request).await;
    assert!(told.cancelled.is_empty() && told.lost.is_empty());

    let sealed = Some(SealedBody::Inline(Base64(b"sealed".to_vec())));
    let jobs = vec![Completion { index: 0, outcome: Outcome::Succeeded, sealed }];
    let request = CompleteRequest { node: "node-1".to_owned(), leases: vec![Complete { lease, jobs }] };
    for _ in 0..2 {
        let done: CompleteAnswer = mill.ask(&mill.processor, paths::v1::RESULTS, &request).await;
        assert_eq!(one(done.leases), Item::Ok(Completed { recorded: 1, ended: true }));
    }
    let page: EventPage = ok(mill.get(&mill.user, paths::v1::EVENTS).await).await;
    let sealed = Some(SealedResult::Inline(Base64(b"sealed".to_vec())));
    assert_eq!(
        one(page.events).kind,
        EventKind::Result { index: 0, outcome: Outcome::Succeeded, sealed: sealed.clone() }
    );
    let wanted = ResultKey { upload: sample.open.id.clone(), index: 0 };
    let request = FetchRequest { want: vec![wanted], ..FetchRequest::default() };
    let found: FetchAnswer = mill.ask(&mill.user, paths::v1::FETCH, &request).await;
    let found = one(found.results).into_result().unwrap();
    assert_eq!((found.outcome, found.sealed, found.kept), (Outcome::Succeeded, sealed, true));
    let open: Uploads = ok(mill.get(&mill.user, paths::v1::UPLOADS).await).await;
    assert!(open.uploads.is_empty());
    mill.stop().await;
}

#[tokio::test]
async fn what_was_opened_in_one_version_goes_on_in_the_other() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    send(&mill, &sample).await;
    let again = mill.open(&sample.open).await;
    assert_eq!((again.state, again.stored), (UploadState::Stored, vec![(0, 0)]));
    let leased = mill.lease(5_000).await;
    let span = one(one(leased.uploads).spans);
    let result = filemill_api::SpanResult {
        jobs: vec![JobOutcome { job: 0, outcome: Outcome::Failed }],
        sealed: Some(SealedBody::Inline(Base64(b"sealed".to_vec()))),
    };
    let lease = filemill_api::SpanKey { span: span.span, fence: span.fence };
    let leases = vec![filemill_api::Complete { lease, results: vec![result] }];
    let request = filemill_api::CompleteRequest { node: "node-1".to_owned(), leases };
    let done: CompleteAnswer = mill.ask(&mill.processor, paths::RESULTS, &request).await;
    assert_eq!(one(done.leases), Item::Ok(Completed { recorded: 1, ended: true }));
    let page: EventPage = ok(mill.get(&mill.user, paths::v1::EVENTS).await).await;
    assert!(matches!(one(page.events).kind, EventKind::Result { index: 0, outcome: Outcome::Failed, .. }));
    mill.stop().await;
}

#[tokio::test]
async fn a_node_of_version_1_gets_nothing_of_format_2() {
    let mill = Mill::start().await;
    let mut sample = mill.upload(1);
    sample.open.format = 2;
    mill.send(&sample).await;
    let asked: LeaseAnswer = mill.ask(&mill.processor, paths::v1::LEASES, &node(&[1, 2], 0)).await;
    assert!(asked.uploads.is_empty());
    // The reason names what is missing.
    let show = paths::UPLOAD.replace("{upload}", &sample.open.id);
    let states: filemill_api::JobStates = ok(mill.get(&mill.user, &show).await).await;
    assert_eq!(one(states.waiting).reason, WaitReason::NoProcessor { lacks: vec!["header:2".to_owned()] });
    mill.stop().await;
}

#[tokio::test]
async fn version_1_cannot_ask_for_a_trial() {
    let mill = Mill::start().await;
    let mut two = mill.upload(1).open;
    two.tasks.push(OpenTask { releases: vec![mill.release.clone()], needs: Vec::new() });
    assert!(OpenUpload::try_from(two.clone()).is_err(), "there are no words for it");
    // Nor does it understand those of version 2.
    let request = serde_json::json!({ "uploads": [two] });
    let answer = mill.post(&mill.user, paths::v1::UPLOADS, &request).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text().await.unwrap().contains("missing field `release`"));
    mill.stop().await;
}

#[tokio::test]
async fn who_still_uses_version_1_is_told_to_operators() {
    let mill = Mill::start().await;
    let operator = mill.admin.create_token("acme", "olga", Scope::Operator, None).await.unwrap().text;
    for (path, agent) in [(paths::v1::WHOAMI, "filemill/0.1.0"), (paths::WHOAMI, "filemill-processor/0.2.0")] {
        let asked = mill.http.get(mill.url(path)).bearer_auth(&mill.user).header("user-agent", agent);
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::OK);
    }
    // Whoever has no token is not counted.
    mill.http.get(mill.url(paths::v1::WHOAMI)).header("user-agent", "stranger/1").send().await.unwrap();
    let text = mill.get(&operator, paths::METRICS).await.text().await.unwrap();
    assert!(text.contains(r#"filemill_server_requests_total{api="1",agent="filemill/0.1.0"} 1"#), "{text}");
    assert!(text.contains(r#"filemill_server_requests_total{api="2",agent="filemill-processor/0.2.0"} 1"#), "{text}");
    assert!(!text.contains("stranger"), "{text}");
    for token in [&mill.user, &mill.processor] {
        assert_eq!(mill.get(token, paths::METRICS).await.status(), StatusCode::FORBIDDEN);
    }
    mill.stop().await;
}

#[tokio::test]
async fn answers_of_version_1_say_that_it_is_on_its_way_out() {
    let mill = Mill::start().await;
    for path in [paths::v1::WHOAMI, "/v1/nothing"] {
        let answer = mill.get(&mill.user, path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("deprecation"), "@1796083200", "{path}");
        assert_eq!(header("sunset"), "Fri, 01 Dec 2028 00:00:00 GMT", "{path}");
        assert_eq!(header("link"), "</v2/openapi.json>; rel=\"successor-version\"", "{path}");
    }
    let answer = mill.get(&mill.user, paths::WHOAMI).await;
    assert!(!answer.headers().contains_key("deprecation"));
    mill.stop().await;
}

#[tokio::test]
async fn hints_name_the_document_of_the_version_that_was_asked() {
    let mill = Mill::start().await;
    for (path, document) in [
        (paths::v1::UPLOADS, paths::v1::OPENAPI),
        ("/v1/nothing", paths::v1::OPENAPI),
        (paths::UPLOADS, paths::OPENAPI),
        ("/nothing", paths::OPENAPI),
    ] {
        let answer: Problem = mill.post(&mill.user, path, &[0]).await.json().await.unwrap();
        assert!(answer.error.hint.unwrap().starts_with(&format!("`{document}` ")), "{path}");
    }
    mill.stop().await;
}
