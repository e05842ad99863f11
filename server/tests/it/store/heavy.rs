//! A request of a few bytes that is much work: others do not wait for all of it, and nobody does what was given up.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{AdvanceRequest, AdvanceUpload, CancelRequest, OpenRequest, OpenUpload, UploadState};
use filemill_server::accounts::Caller;
use filemill_server::maintenance::MaintenanceConfig;
use filemill_server::{Domains, DomainsConfig};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::site::{Site, advance, chunk, complete_all, eventually, lease, open_one, report, results, runs, send};

super::on_both!(
    a_small_opening_does_not_wait_for_all_of_a_large_one,
    openings_that_were_given_up_are_not_done,
    a_small_upload_does_not_wait_until_many_large_ones_are_ready,
    a_small_opening_does_not_wait_until_a_large_upload_is_cancelled,
    a_cancel_that_was_given_up_goes_on_when_it_is_asked_for_again,
    what_is_leased_when_a_large_upload_is_cancelled_ends_too,
    what_comes_through_another_server_is_heard_while_many_large_uploads_are_abandoned,
);

/// 65,536 files: 1,024 runs from one range.
fn large(site: &Site) -> OpenUpload {
    site.bundle(filemill_api::limits::MAX_FILES)
}

fn opening(server: &Domains, caller: &Caller, uploads: Vec<OpenUpload>) -> JoinHandle<()> {
    let (server, caller) = (server.clone(), caller.clone());
    tokio::spawn(async move {
        for answer in server.queue.open(&caller, OpenRequest { uploads }).await.expect("answers") {
            answer.expect("opened");
        }
    })
}

/// Waits until the number that a statement answers is more than that.
async fn more_than(site: &Site, sql: &str, than: i64) {
    let look = || async { (site.number(sql).await > than).then_some(()) };
    eventually(sql, look).await;
}

const UPLOADS: &str = "select count(*) from uploads";
const EVENTS: &str = "select count(*) from events";

async fn a_small_opening_does_not_wait_for_all_of_a_large_one(site: Arc<Site>) {
    let server = site.server();
    let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
    let all = opening(&server, &eve, (0..48).map(|_| large(&site)).collect());
    more_than(&site, UPLOADS, 0).await;
    open_one(&server, &bob, &site.bundle(1)).await.expect("opened");
    assert!(site.number(UPLOADS).await < 48, "all of the others were opened first");
    all.abort();
}

async fn openings_that_were_given_up_are_not_done(site: Arc<Site>) {
    let server = site.server();
    let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
    let given_up: Vec<_> = (0..16).map(|_| opening(&server, &eve, (0..8).map(|_| large(&site)).collect())).collect();
    more_than(&site, UPLOADS, 0).await;
    for asked in &given_up {
        asked.abort();
    }
    for asked in given_up {
        let _given_up = asked.await;
    }
    // What was being written then is there.
    open_one(&server, &bob, &site.bundle(1)).await.expect("opened");
    let then = site.number(UPLOADS).await;
    assert!(then < 100, "{then} of 128 and one");
    for _ in 0..3 {
        open_one(&server, &bob, &site.bundle(1)).await.expect("opened");
    }
    assert_eq!(site.number(UPLOADS).await, then + 3, "nobody works on what was given up");
}

async fn a_small_upload_does_not_wait_until_many_large_ones_are_ready(site: Arc<Site>) {
    let server = site.server();
    let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
    let uploads: Vec<_> = (0..12).map(|_| large(&site)).collect();
    let ids: Vec<_> = uploads.iter().map(|upload| upload.id.clone()).collect();
    opening(&server, &eve, uploads).await.expect("opened");
    let small = site.bundle(1);
    open_one(&server, &bob, &small).await.expect("opened");
    let stored = |id: String| AdvanceUpload { id, header_stored: true, stored: vec![chunk(0)], want: Vec::new() };
    let request = AdvanceRequest { uploads: ids.into_iter().map(stored).collect() };
    let all = tokio::spawn({
        let (server, eve) = (server.clone(), eve.clone());
        async move { server.queue.advance(&eve, request).await }
    });
    more_than(&site, "select count(*) from runs where state = 2", 0).await;
    let state = advance(&server, &bob, &small.id, true, vec![chunk(0)]).await.expect("advanced");
    assert_eq!(state, UploadState::Stored);
    assert!(site.number("select count(*) from runs where state = 0").await > 0, "all the others were ready first");
    let answers = all.await.expect("no panic").expect("answers");
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|one| one.state == UploadState::Stored)));
    assert_eq!(site.number("select count(*) from runs where state = 2").await, 12 * 1024 + 1);
}

fn cancelling(server: &Domains, caller: &Caller, id: &str) -> JoinHandle<u32> {
    let (server, caller, uploads) = (server.clone(), caller.clone(), vec![id.to_owned()]);
    tokio::spawn(async move {
        let mut answer = server.queue.cancel(&caller, CancelRequest { uploads }).await.expect("an answer");
        answer.uploads.remove(0).into_result().expect("cancelled")
    })
}

async fn a_small_opening_does_not_wait_until_a_large_upload_is_cancelled(site: Arc<Site>) {
    let server = site.server();
    let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
    let upload = site.bundle(30_000);
    open_one(&server, &eve, &upload).await.expect("opened");
    let cancelling = cancelling(&server, &eve, &upload.id);
    more_than(&site, EVENTS, 0).await;
    open_one(&server, &bob, &site.bundle(1)).await.expect("opened");
    assert!(site.number(EVENTS).await < 30_000, "all jobs were ended first");
    assert_eq!(cancelling.await.expect("no panic"), 30_000);
    assert_eq!(site.number(EVENTS).await, 30_000);
    assert!(server.queue.uploads(&eve, None).await.expect("a list").uploads.is_empty());
    assert_eq!(open_one(&server, &eve, &upload).await.expect("opened again").state, UploadState::Cancelled);
}

async fn a_cancel_that_was_given_up_goes_on_when_it_is_asked_for_again(site: Arc<Site>) {
    let server = site.server();
    let eve = site.user(&server, "evil", "eve").await;
    let upload = site.bundle(20_000);
    let id = send(&server, &eve, &upload).await;
    let given_up = cancelling(&server, &eve, &id);
    more_than(&site, EVENTS, 0).await;
    given_up.abort();
    let _given_up = given_up.await;
    // Two at once, of which each job is told once.
    let (one, other) = (cancelling(&server, &eve, &id), cancelling(&server, &eve, &id));
    let ended = one.await.expect("no panic") + other.await.expect("no panic");
    assert!((1..20_000).contains(&ended), "{ended}");
    assert_eq!(site.number(EVENTS).await, 20_000);
    assert_eq!(site.number("select count(*) from runs").await, 0);
    assert!(server.queue.uploads(&eve, None).await.expect("a list").uploads.is_empty());
}

async fn what_is_leased_when_a_large_upload_is_cancelled_ends_too(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(5000)).await;
    let leased = lease(&server, "n", 256).await;
    let held: u32 = runs(&leased).iter().map(|run| u32::try_from(run.jobs.len()).expect("few")).sum();
    assert_eq!(cancelling(&server, &ann, &id).await.expect("no panic"), 5000 - held);
    assert!(!report(&server, &runs(&leased)[0], &[]).await.cancelled.is_empty(), "its node is told");
    complete_all(&server, &leased).await;
    assert_eq!(results(&server, &ann).await.len(), 5000);
    assert!(server.queue.uploads(&ann, None).await.expect("a list").uploads.is_empty());
}

async fn what_comes_through_another_server_is_heard_while_many_large_uploads_are_abandoned(site: Arc<Site>) {
    let other = site.server();
    let (eve, bob) = (site.user(&other, "evil", "eve").await, site.user(&other, "acme", "bob").await);
    send(&other, &bob, &site.bundle(1)).await;
    let leased = lease(&other, "n", 1).await;
    for _ in 0..6 {
        open_one(&other, &eve, &large(&site)).await.expect("opened");
    }
    let server = site.server_with(DomainsConfig {
        maintenance: MaintenanceConfig { abandoned_after: Duration::ZERO, ..MaintenanceConfig::default() },
        ..DomainsConfig::default()
    });
    let mut listener = server.queue.watch_events(&bob);
    more_than(&site, EVENTS, 0).await;
    // It begins to look at what is listened to, and hears of what comes after that.
    let heard = Duration::from_secs(5);
    timeout(heard, listener.changed()).await.expect("nothing is looked at");
    complete_all(&other, &leased).await;
    timeout(heard, listener.changed()).await.expect("it is not heard of");
    assert!(
        !server.queue.uploads(&eve, None).await.expect("a list").uploads.is_empty(),
        "all of them were cancelled first"
    );
}
