//! Opening and advancing.

use std::sync::Arc;

use filemill_api::{
    AdvanceRequest, AdvanceUpload, CancelRequest, ErrorCode, FileRange, OpenRequest, StateRange, UploadState,
    WaitReason,
};

use super::site::{
    Site, advance, chunk, code, complete_all, content, eventually, lease, lease_now, open_one, runs, send,
};

super::on_both!(
    opening_again_changes_nothing_and_other_content_is_refused,
    an_upload_is_its_members_alone,
    one_bad_upload_does_not_refuse_the_others,
    jobs_are_ready_when_header_and_all_their_chunks_are_stored,
    a_resuming_client_is_told_what_is_stored,
    a_request_is_told_of_so_many_ranges_of_stored_chunks_in_all,
    a_chunk_stored_again_with_other_content_counts,
    many_clients_at_once_get_an_answer_each,
    the_reason_of_every_wait_is_told,
    nothing_more_is_stored_of_an_upload_that_is_over,
    more_uploads_than_a_page_holds_are_all_listed,
);

async fn opening_again_changes_nothing_and_other_content_is_refused(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let mut upload = site.bundle(3);
    upload.want = vec![chunk(0)];
    let first = open_one(&server, &ann, &upload).await.expect("opened");
    assert_eq!(first.state, UploadState::Uploading);
    let key = first.header.as_ref().expect("a header to store").key.to_string();
    assert_eq!(key, format!("uploads/{}/header/{}", upload.id, upload.header_sha256));
    assert_eq!(first.chunks[0].key.to_string(), format!("uploads/{}/0/{}", upload.id, chunk(0).sha256));
    assert_eq!(open_one(&server, &ann, &upload).await.expect("opened again"), first);

    let mut other = upload.clone();
    other.header_sha256 = "9".repeat(64);
    assert_eq!(code(open_one(&server, &ann, &other).await), ErrorCode::Conflict);
    let mut other = upload.clone();
    other.files[0].count = 4;
    assert_eq!(code(open_one(&server, &ann, &other).await), ErrorCode::Conflict);
    assert_eq!(server.queue.uploads(&ann, None).await.expect("a list").uploads.len(), 1);

    // Twice in one request.
    let twin = site.bundle(1);
    let request = OpenRequest { uploads: vec![twin.clone(), twin] };
    let answers = server.queue.open(&ann, request).await.expect("answers");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(server.queue.uploads(&ann, None).await.expect("a list").uploads.len(), 2);
}

async fn an_upload_is_its_members_alone(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "acme", "bob").await);
    let upload = site.bundle(1);
    send(&server, &ann, &upload).await;
    assert_eq!(code(open_one(&server, &bob, &upload).await), ErrorCode::Conflict);
    assert_eq!(code(advance(&server, &bob, &upload.id, true, vec![]).await), ErrorCode::NotFound);
    assert_eq!(code(server.queue.jobs(&bob, &upload.id).await), ErrorCode::NotFound);
    let cancel = filemill_api::CancelRequest { uploads: vec![upload.id.clone()] };
    let answer = server.queue.cancel(&bob, cancel).await.expect("an answer").uploads.remove(0);
    assert_eq!(code(answer.into_result()), ErrorCode::NotFound);
    complete_all(&server, &lease(&server, "n", 8).await).await;
    assert!(server.queue.events(&bob, 0, None).await.expect("a page").events.is_empty());
    assert_eq!(server.queue.events(&ann, 0, None).await.expect("a page").events.len(), 1);
}

async fn one_bad_upload_does_not_refuse_the_others(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let (mut no_release, mut no_pool, mut no_hex) = (site.bundle(1), site.bundle(1), site.bundle(1));
    no_release.tasks[0].releases = vec!["7".repeat(64)];
    no_pool.pool = "nowhere".to_owned();
    no_hex.id = "../../etc".to_owned();
    let request = OpenRequest { uploads: vec![no_release, site.bundle(1), no_pool, no_hex, site.bundle(2)] };
    let answers = server.queue.open(&ann, request).await.expect("answers");
    let codes: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|error| error.code)).collect();
    let (missing, bad) = (Some(ErrorCode::NotFound), Some(ErrorCode::BadRequest));
    assert_eq!(codes, [missing, None, missing, bad, None]);
}

async fn jobs_are_ready_when_header_and_all_their_chunks_are_stored(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let range = |first_index, count, first_chunk, last_chunk| FileRange { first_index, count, first_chunk, last_chunk };
    let upload = site.upload(3, vec![range(0, 2, 0, 0), range(2, 1, 0, 2), range(3, 4, 2, 2)]);
    open_one(&server, &ann, &upload).await.expect("opened");
    advance(&server, &ann, &upload.id, false, vec![chunk(0), chunk(2)]).await.expect("advanced");
    assert!(runs(&lease_now(&server, "n", 64, 0).await).is_empty(), "without a header nothing can be opened");
    advance(&server, &ann, &upload.id, true, vec![]).await.expect("advanced");
    let first = runs(&lease(&server, "n", 64).await);
    assert_eq!(first.iter().map(|run| run.jobs.clone()).collect::<Vec<_>>(), [vec![0, 1]]);
    assert!(runs(&lease_now(&server, "n", 64, 0).await).is_empty(), "chunk 1 is missing");
    let state = advance(&server, &ann, &upload.id, false, vec![chunk(1)]).await.expect("advanced");
    assert_eq!(state, UploadState::Stored);
    let rest = lease(&server, "n", 64).await;
    assert_eq!(rest.uploads.len(), 1, "ranges of one upload go together");
    assert_eq!(rest.uploads[0].chunks.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(runs(&rest).iter().flat_map(|run| run.jobs.clone()).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
}

async fn a_resuming_client_is_told_what_is_stored(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let upload = site.large(10);
    open_one(&server, &ann, &upload).await.expect("opened");
    let stored = [0, 1, 3, 6, 7, 8].map(chunk).to_vec();
    advance(&server, &ann, &upload.id, true, stored.clone()).await.expect("advanced");
    let again = open_one(&server, &ann, &upload).await.expect("opened again");
    assert_eq!(again.stored, [(0, 1), (3, 3), (6, 8)]);
    assert_eq!(again.header, None, "the header is stored");
    // The same said again changes nothing.
    advance(&server, &ann, &upload.id, true, stored).await.expect("advanced");
    let summary = server.queue.uploads(&ann, None).await.expect("a list").uploads.remove(0);
    assert_eq!((summary.stored, summary.chunks, summary.state), (6, 10, UploadState::Uploading));
    advance(&server, &ann, &upload.id, false, [2, 4, 5].map(chunk).to_vec()).await.expect("advanced");
    assert_eq!(open_one(&server, &ann, &upload).await.expect("opened again").stored, [(0, 8)]);
    let beyond = advance(&server, &ann, &upload.id, false, vec![chunk(10)]).await;
    assert_eq!(code(beyond), ErrorCode::BadRequest);
}

async fn a_request_is_told_of_so_many_ranges_of_stored_chunks_in_all(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    // Every second chunk, so that no two are neighbours.
    let (sparse, other) = (site.large(3000), site.large(3));
    open_one(&server, &ann, &sparse).await.expect("opened");
    open_one(&server, &ann, &other).await.expect("opened");
    let stored = (0..3000).filter(|sequence| sequence % 2 == 0).map(chunk).collect();
    advance(&server, &ann, &sparse.id, true, stored).await.expect("advanced");
    advance(&server, &ann, &other.id, true, [0, 2].map(chunk).to_vec()).await.expect("advanced");

    let mut uploads = vec![other.clone()];
    uploads.extend(std::iter::repeat_n(sparse.clone(), 100));
    uploads.push(other);
    let answers = server.queue.open(&ann, OpenRequest { uploads }).await.expect("answers");
    let told: Vec<_> = answers.into_iter().map(|answer| answer.expect("opened again").stored).collect();
    assert_eq!(told[0], [(0, 0), (2, 2)]);
    assert_eq!(told[1].len(), 1024, "the first one in the first gap is not counted");
    assert!(told[1].iter().copied().eq((0..1024).map(|range| (2 * range, 2 * range))), "in order");
    assert!(told[2..].iter().all(|told| *told == [(0, 0)]), "what comes before the first gap is always told");
    // The next request is told of the others.
    let again = open_one(&server, &ann, &sparse).await.expect("opened again");
    assert_eq!(again.stored.len(), 1025);
}

async fn a_chunk_stored_again_with_other_content_counts(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let upload = site.bundle(1);
    open_one(&server, &ann, &upload).await.expect("opened");
    advance(&server, &ann, &upload.id, true, vec![content(0, 70)]).await.expect("advanced");
    advance(&server, &ann, &upload.id, true, vec![content(0, 71)]).await.expect("advanced");
    let leased = lease(&server, "n", 1).await;
    assert_eq!(leased.uploads[0].chunks[0].1.sha256, content(0, 71).sha256);
    assert_eq!(server.queue.uploads(&ann, None).await.expect("a list").uploads[0].stored, 1);
}

async fn many_clients_at_once_get_an_answer_each(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (server, ann, upload) = (server.clone(), ann.clone(), site.bundle(1));
        clients.spawn(async move { send(&server, &ann, &upload).await });
    }
    let ids = clients.join_all().await;
    assert_eq!(ids.len(), 100);
    let mut left = 100;
    while left > 0 {
        let leased = lease(&server, "n", 64).await;
        left -= runs(&leased).len();
        complete_all(&server, &leased).await;
    }
    assert!(server.queue.uploads(&ann, None).await.expect("a list").uploads.is_empty());
}

async fn the_reason_of_every_wait_is_told(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let range = |first_index, count, chunk| FileRange { first_index, count, first_chunk: chunk, last_chunk: chunk };
    let upload = site.upload(2, vec![range(0, 3, 0), range(3, 2, 1)]);
    open_one(&server, &ann, &upload).await.expect("opened");
    let state = |first_job, count, reason| StateRange { first_job, count, reason };
    let nobody = WaitReason::NoProcessor { lacks: Vec::new() };
    let jobs = || async { server.queue.jobs(&ann, &upload.id).await.expect("jobs").waiting };
    assert_eq!(jobs().await, [state(0, 5, WaitReason::Uploading)]);
    advance(&server, &ann, &upload.id, true, vec![chunk(0)]).await.expect("advanced");
    assert_eq!(jobs().await, [state(0, 3, nobody), state(3, 2, WaitReason::Uploading)]);
    let taken = lease(&server, "n", 1).await;
    let running = WaitReason::Running { per_mille: 0, attempt: 1 };
    let turn = [state(0, 1, running), state(1, 2, WaitReason::Turn), state(3, 2, WaitReason::Uploading)];
    assert_eq!(jobs().await, turn);
    complete_all(&server, &taken).await;
    assert_eq!(jobs().await, turn[1..]);
    advance(&server, &ann, &upload.id, true, vec![chunk(1)]).await.expect("advanced");
    let finished = eventually("the upload is done", || async {
        let leased = lease_now(&server, "n", 64, 0).await;
        complete_all(&server, &leased).await;
        let state = server.queue.jobs(&ann, &upload.id).await.expect("jobs");
        (state.upload.state == UploadState::Done).then_some(state)
    });
    let finished = finished.await;
    assert_eq!((finished.upload.done, finished.waiting.len()), (5, 0));
}

async fn nothing_more_is_stored_of_an_upload_that_is_over(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let mut upload = site.large(2);
    upload.want = vec![chunk(0)];
    assert_eq!(open_one(&server, &ann, &upload).await.expect("opened").chunks.len(), 1);
    let cancel = CancelRequest { uploads: vec![upload.id.clone()] };
    server.queue.cancel(&ann, cancel).await.expect("an answer");
    let again = open_one(&server, &ann, &upload).await.expect("opened again");
    assert_eq!((again.chunks.len(), again.state), (0, UploadState::Cancelled));
    let ask = AdvanceUpload { id: upload.id, header_stored: false, stored: Vec::new(), want: vec![chunk(1)] };
    let asked = server.queue.advance(&ann, AdvanceRequest { uploads: vec![ask] }).await.expect("an answer").remove(0);
    let advanced = asked.expect("advanced");
    assert_eq!((advanced.chunks.len(), advanced.state), (0, UploadState::Cancelled));
}

async fn more_uploads_than_a_page_holds_are_all_listed(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "acme", "bob").await);
    let all: Vec<_> = (0..1001).map(|_| site.bundle(1)).collect();
    for some in all.chunks(256) {
        let opened = server.queue.open(&ann, OpenRequest { uploads: some.to_vec() }).await.expect("an answer");
        assert!(opened.iter().all(Result::is_ok));
    }
    let first = server.queue.uploads(&ann, None).await.expect("a page");
    let next = first.next.expect("there is more");
    assert_eq!((first.uploads.len(), &next), (1000, &all[999].id));
    // Though the last one has finished meanwhile.
    server.queue.cancel(&ann, CancelRequest { uploads: vec![next.clone()] }).await.expect("cancelled");
    let second = server.queue.uploads(&ann, Some(&next)).await.expect("a page");
    let ids = |page: &[filemill_api::UploadSummary]| page.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&second.uploads), second.next), (vec![all[1000].id.clone()], None));
    assert_eq!(ids(&first.uploads), all[..1000].iter().map(|upload| upload.id.clone()).collect::<Vec<_>>());
    for (caller, after) in [(&bob, next.as_str()), (&ann, "'"), (&ann, &"0".repeat(32))] {
        assert_eq!(code(server.queue.uploads(caller, Some(after)).await), ErrorCode::NotFound, "{after}");
    }
}
