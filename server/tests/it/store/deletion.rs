//! Deleting what nobody needs any more.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{Complete, CompleteRequest, ErrorCode, Outcome, SealedBody, UploadState};
use filemill_server::maintenance::MaintenanceConfig;
use filemill_server::queue::QueueConfig;
use filemill_server::{Domains, DomainsConfig};

use super::site::{
    POOL, Site, advance, chunk, code, complete_all, content, events, eventually, key, lease, only, open_one, results,
    send, single,
};

super::on_both!(
    a_finished_upload_is_doomed_until_it_is_forgotten,
    an_upload_of_many_chunks_is_deleted_in_steps,
    a_replaced_chunk_is_deleted_unless_it_counts_again,
    orphans_are_what_no_row_needs,
    results_go_after_their_retention,
    results_that_nobody_takes_in_go_at_last,
    an_abandoned_upload_is_cancelled,
);

async fn doomed_keys(server: &Domains) -> Vec<String> {
    server.maintenance.doomed(1000).await.expect("an answer").keys.iter().map(ToString::to_string).collect()
}

async fn a_finished_upload_is_doomed_until_it_is_forgotten(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let upload = site.bundle(2);
    send(&server, &ann, &upload).await;
    assert!(server.maintenance.doomed(1000).await.expect("an answer").is_empty(), "it is needed");
    complete_all(&server, &lease(&server, "n", 2).await).await;
    let doomed = server.maintenance.doomed(1000).await.expect("an answer");
    let keys: Vec<_> = doomed.keys.iter().map(ToString::to_string).collect();
    let id = &upload.id;
    let expected =
        [format!("uploads/{id}/0/{}", chunk(0).sha256), format!("uploads/{id}/header/{}", upload.header_sha256)];
    assert_eq!(keys, expected);
    assert_eq!(doomed_keys(&server).await, expected, "until storage has deleted them");
    server.maintenance.forget(doomed.clone()).await.expect("forgotten");
    assert!(server.maintenance.doomed(1000).await.expect("an answer").is_empty());
    server.maintenance.forget(doomed).await.expect("twice is no harm");
    assert_eq!(events(&server, &ann).await.len(), 2, "the results stay");
}

async fn an_upload_of_many_chunks_is_deleted_in_steps(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    for upload in [site.large(25), site.large(1), site.large(7)] {
        send(&server, &ann, &upload).await;
    }
    complete_all(&server, &lease(&server, "n", 3).await).await;
    let mut keys = Vec::new();
    loop {
        let doomed = server.maintenance.doomed(10).await.expect("an answer");
        if doomed.is_empty() {
            break;
        }
        assert!(doomed.keys.len() <= 13, "10 chunks, and a header for each upload");
        keys.extend(doomed.keys.iter().map(ToString::to_string));
        server.maintenance.forget(doomed).await.expect("forgotten");
    }
    assert_eq!(keys.len(), 33 + 3);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 33 + 3, "each once");
}

async fn a_replaced_chunk_is_deleted_unless_it_counts_again(site: Arc<Site>) {
    let server = site.server_with(DomainsConfig {
        queue: QueueConfig { replaced_stay: Duration::from_millis(1), ..QueueConfig::default() },
        ..DomainsConfig::default()
    });
    let ann = site.user(&server, "acme", "ann").await;
    let upload = site.large(2);
    let id = &upload.id;
    open_one(&server, &ann, &upload).await.expect("opened");
    for (sequence, number) in [(0, 70), (1, 80), (0, 71), (1, 81), (1, 80)] {
        advance(&server, &ann, id, true, vec![content(sequence, number)]).await.expect("advanced");
    }
    let expected =
        [format!("uploads/{id}/0/{}", content(0, 70).sha256), format!("uploads/{id}/1/{}", content(1, 81).sha256)];
    let doomed = eventually("they are due", || async {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        (doomed.keys.len() == 2).then_some(doomed)
    });
    let doomed = doomed.await;
    let mut keys: Vec<_> = doomed.keys.iter().map(ToString::to_string).collect();
    keys.sort();
    assert_eq!(keys, expected);
    server.maintenance.forget(doomed).await.expect("forgotten");
    assert!(server.maintenance.doomed(1000).await.expect("an answer").is_empty());
}

async fn complete_as_object(server: &Domains, sha256: &str) -> i64 {
    let run = only(&lease(server, "n", 1).await);
    let sealed = Some(SealedBody::Object { length: 70_000, sha256: sha256.to_owned() });
    let results = vec![single(run.jobs[0], Outcome::Succeeded, sealed)];
    let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(&run), results }] };
    server.queue.complete(POOL, request).await.expect("answers").leases.remove(0).into_result().expect("recorded");
    run.fence
}

async fn orphans_are_what_no_row_needs(site: Arc<Site>) {
    use filemill_server::storage::ObjectKey;
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let (finished, running) = (site.bundle(1), site.bundle(1));
    send(&server, &ann, &finished).await;
    let sha256 = "d".repeat(64);
    let fence = complete_as_object(&server, &sha256).await;
    send(&server, &ann, &running).await;
    let chunk_of = |id: &str| ObjectKey::chunk(id, 0, &"e".repeat(64)).expect("a key");
    let result_of = |id: &str, fence| ObjectKey::result(id, 0, fence, &sha256).expect("a key");
    let unknown = "f".repeat(32);
    let needed = [
        chunk_of(&running.id),
        result_of(&running.id, 1),
        result_of(&finished.id, fence),
        ObjectKey::release(&sha256).expect("a key"),
    ];
    let orphaned =
        [chunk_of(&finished.id), chunk_of(&unknown), result_of(&finished.id, fence + 1), result_of(&unknown, 1)];
    let all = needed.iter().chain(&orphaned).cloned().collect();
    assert_eq!(server.maintenance.orphans(all).await.expect("an answer"), orphaned);
    assert_eq!(code(server.maintenance.orphans(vec![chunk_of(&unknown); 1001]).await), ErrorCode::BadRequest);
}

async fn results_go_after_their_retention(site: Arc<Site>) {
    let kept = site.server();
    let server = site.server_with(DomainsConfig {
        maintenance: MaintenanceConfig { retention: Duration::from_millis(1), ..MaintenanceConfig::default() },
        ..DomainsConfig::default()
    });
    let ann = site.user(&server, "acme", "ann").await;
    let upload = site.bundle(2);
    send(&server, &ann, &upload).await;
    let sha256 = "d".repeat(64);
    let fence = complete_as_object(&server, &sha256).await;
    complete_all(&server, &lease(&server, "n", 2).await).await;
    let objects = server.maintenance.doomed(1000).await.expect("an answer");
    server.maintenance.forget(objects).await.expect("forgotten");
    assert!(kept.maintenance.doomed(1000).await.expect("an answer").is_empty(), "results are kept for their time");
    let page = server.queue.events(&ann, 0, None).await.expect("events");
    assert!(
        server.maintenance.doomed(1000).await.expect("an answer").is_empty(),
        "handed out, but perhaps not taken in"
    );
    server.queue.events(&ann, page.next - 1, None).await.expect("events");
    assert!(server.maintenance.doomed(1000).await.expect("an answer").is_empty(), "one is not taken in");
    server.queue.events(&ann, page.next, None).await.expect("events");
    let doomed = eventually("it is due", || async {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        (!doomed.is_empty()).then_some(doomed)
    });
    let doomed = doomed.await;
    let keys: Vec<_> = doomed.keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, [format!("results/{}/0/{fence}/{sha256}", upload.id)]);
    assert_eq!(results(&server, &ann).await.len(), 2, "until storage has deleted them");
    server.maintenance.forget(doomed).await.expect("forgotten");
    assert!(results(&server, &ann).await.is_empty());
    assert_eq!(code(server.queue.jobs(&ann, &upload.id).await), ErrorCode::NotFound);
}

async fn results_that_nobody_takes_in_go_at_last(site: Arc<Site>) {
    let soon = Duration::from_millis(1);
    let server = site.server_with(DomainsConfig {
        maintenance: MaintenanceConfig { retention: soon, retention_untaken: soon, ..MaintenanceConfig::default() },
        ..DomainsConfig::default()
    });
    let ann = site.user(&server, "acme", "ann").await;
    let upload = send(&server, &ann, &site.bundle(2)).await;
    complete_all(&server, &lease(&server, "n", 2).await).await;
    eventually("they go", || async {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        server.maintenance.forget(doomed).await.expect("forgotten");
        server.queue.jobs(&ann, &upload).await.is_err().then_some(())
    })
    .await;
}

async fn an_abandoned_upload_is_cancelled(site: Arc<Site>) {
    let first = site.server();
    let ann = site.user(&first, "acme", "ann").await;
    let (abandoned, waiting) = (site.large(2), site.bundle(1));
    open_one(&first, &ann, &abandoned).await.expect("opened");
    send(&first, &ann, &waiting).await;
    // A server's first beat looks for what was abandoned.
    let server = site.server_with(DomainsConfig {
        maintenance: MaintenanceConfig { abandoned_after: Duration::from_millis(0), ..MaintenanceConfig::default() },
        ..DomainsConfig::default()
    });
    eventually("it is cancelled", || async {
        let state = server.queue.jobs(&ann, &abandoned.id).await.expect("jobs").upload.state;
        (state == UploadState::Cancelled).then_some(())
    })
    .await;
    assert_eq!(results(&server, &ann).await, [(0, Outcome::Cancelled)]);
    let state = server.queue.jobs(&ann, &waiting.id).await.expect("jobs").upload.state;
    assert_eq!(state, UploadState::Stored, "what is complete waits for a processor as long as it takes");
}
