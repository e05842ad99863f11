//! The database's clock jumps: nobody is blamed for it, and nothing is deleted by it at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_api::{LeaseRequest, Offer, OfferRequest, Outcome, UploadState, WaitReason};
use filemill_server::catalog::CatalogConfig;
use filemill_server::queue::QueueConfig;
use filemill_server::{Domains, DomainsConfig};

use super::site::{
    POOL, Site, complete, complete_all, eventually, key, lease, lease_now, only, open_one, report, results, send, wish,
};

super::on_both!(
    a_jump_ends_no_lease_and_blames_nobody,
    a_dead_node_is_noticed_though_the_clock_jumped_back,
    a_lease_ends_once_however_many_servers_look,
    a_server_that_starts_gives_every_lease_its_full_time,
    a_jump_deletes_no_result_for_a_day,
    a_jump_cancels_no_open_upload_for_a_day,
    a_restart_in_the_middle_of_a_jump_deletes_nothing,
    a_jump_makes_no_node_absent_and_keeps_none,
);

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Moves the database's clock by so much, for servers that were made by [`settable`].
///
/// PostgreSQL is given another clock. SQLite has none but the machine's: there everything that was written down by that clock moves the
/// other way, which comes to the same.
pub(super) async fn jump(site: &Site, by: i64) {
    let columns = [
        ("uploads", "created_at"),
        ("uploads", "touched_at"),
        ("uploads", "finished_at"),
        ("runs", "lease_until"),
        ("events", "created_at"),
        ("replaced", "due"),
        ("components", "used_at"),
        ("components", "seen_at"),
        ("descriptions", "said_at"),
        ("join_codes", "created_at"),
        ("join_codes", "expires_at"),
        ("join_codes", "redeemed_at"),
        ("clocks", "wall"),
        ("clocks", "deletable"),
    ];
    let moved: Vec<_> = columns.map(|(table, column)| format!("update {table} set {column} = {column} - {by}")).into();
    let sqlite = format!("begin immediate; {}; commit", moved.join("; "));
    site.sql(&sqlite, &format!("update skew set ms = ms + {by}")).await;
}

/// A day passes, which the machine's clock confirms.
async fn a_day_passes(site: &Site) {
    jump(site, DAY).await;
    let uptime = format!("update clocks set uptime = uptime - {DAY}");
    site.sql(&uptime, &uptime).await;
}

/// A server whose database has a clock that [`jump`] moves.
pub(super) async fn settable(site: &Site, config: DomainsConfig) -> Domains {
    let name = "create table if not exists skew (ms bigint not null);
        insert into skew select 0 where not exists (select 1 from skew);
        create or replace function public.clock_timestamp() returns timestamptz language sql volatile as
            'select pg_catalog.clock_timestamp() + (select ms from skew) * interval ''1 millisecond''';
        do $$ begin execute format('alter database %I set search_path = public, pg_catalog', current_database()); end $$";
    site.sql("select 1", name).await;
    site.other_server(config).await
}

fn hasty() -> DomainsConfig {
    DomainsConfig {
        queue: QueueConfig { lease: Duration::from_millis(900), ..QueueConfig::default() },
        ..DomainsConfig::default()
    }
}

async fn a_jump_ends_no_lease_and_blames_nobody(site: Arc<Site>) {
    let server = settable(&site, hasty()).await;
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(1)).await;
    let run = only(&lease(&server, "n", 1).await);
    // Four times: at the fourth death a job used to be quarantined.
    for by in [HOUR, HOUR, 365 * DAY, HOUR, -400 * DAY] {
        jump(&site, by).await;
        let jumped = Instant::now();
        // Longer than a lease, and than the looks that end one.
        while jumped.elapsed() < Duration::from_millis(1300) {
            assert_eq!(report(&server, &run, &[0]).await.lost, [], "after a jump by {by} ms");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waiting = server.queue.jobs(&ann, &id).await.expect("jobs").waiting;
        assert_eq!(waiting[0].reason, WaitReason::Running { per_mille: 500, attempt: 1 });
    }
    complete(&server, &run, &[0]).await.expect("it is still held");
    assert_eq!(results(&server, &ann).await, [(0, Outcome::Succeeded)]);
}

async fn a_dead_node_is_noticed_though_the_clock_jumped_back(site: Arc<Site>) {
    let server = settable(&site, hasty()).await;
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(1)).await;
    let dead = only(&lease(&server, "a", 1).await);
    report(&server, &dead, &[0]).await;
    jump(&site, -365 * DAY).await;
    let heir = only(&lease(&server, "b", 1).await);
    assert!(heir.alone && heir.fence == dead.fence + 1);
    complete(&server, &heir, &[0]).await.expect("completed");
}

async fn a_lease_ends_once_however_many_servers_look(site: Arc<Site>) {
    let server = settable(&site, hasty()).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(site.other_server(hasty()).await);
    }
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(64)).await;
    let dead = only(&lease(&server, "a", 64).await);
    report(&server, &dead, &[7]).await;
    let mut fences = Vec::new();
    let mut jobs = 0;
    while jobs < 64 {
        let leased = lease(&server, "b", 64).await;
        for run in super::site::runs(&leased) {
            fences.push(run.fence);
            jobs += run.jobs.len();
        }
        complete_all(&server, &leased).await;
    }
    assert!(fences.iter().all(|fence| *fence == dead.fence + 1), "{fences:?}");
}

async fn a_server_that_starts_gives_every_lease_its_full_time(site: Arc<Site>) {
    let before = settable(&site, DomainsConfig::default()).await;
    let ann = site.user(&before, "acme", "ann").await;
    send(&before, &ann, &site.bundle(1)).await;
    let run = only(&lease(&before, "n", 1).await);
    // It was off, and the lease is long over by the clock.
    jump(&site, HOUR).await;
    let server = site.other_server(hasty()).await;
    let started = Instant::now();
    assert!(lease_now(&server, "m", 1, 0).await.uploads.is_empty());
    eventually("the lease passes on", || async {
        let leased = lease_now(&server, "m", 1, 0).await;
        (!leased.uploads.is_empty()).then_some(())
    })
    .await;
    assert!(started.elapsed() >= hasty().queue.lease, "{:?}", started.elapsed());
    assert_eq!(report(&server, &run, &[0]).await.lost, [key(&run)]);
}

/// A finished upload, whose results were taken in.
async fn finished(site: &Site, server: &Domains) -> (filemill_server::accounts::Caller, String) {
    let ann = site.user(server, "acme", "ann").await;
    let id = send(server, &ann, &site.bundle(2)).await;
    complete_all(server, &lease(server, "n", 2).await).await;
    let page = server.queue.events(&ann, 0, None).await.expect("events");
    server.queue.events(&ann, page.next, None).await.expect("events");
    delete(server).await;
    (ann, id)
}

/// Deletes all that may go.
async fn delete(server: &Domains) {
    loop {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        if doomed.is_empty() {
            return;
        }
        server.maintenance.forget(doomed).await.expect("forgotten");
    }
}

async fn a_jump_deletes_no_result_for_a_day(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let (ann, id) = finished(&site, &server).await;
    jump(&site, 400 * DAY).await;
    for _ in 0..3 {
        delete(&server).await;
    }
    assert_eq!(results(&server, &ann).await.len(), 2);
    // Mended in time.
    jump(&site, -400 * DAY).await;
    delete(&server).await;
    for _ in 0..3 {
        a_day_passes(&site).await;
        delete(&server).await;
    }
    assert_eq!(results(&server, &ann).await.len(), 2);
    // And if nobody mends it, deletion goes on after a day.
    jump(&site, 400 * DAY).await;
    delete(&server).await;
    a_day_passes(&site).await;
    delete(&server).await;
    assert!(server.queue.jobs(&ann, &id).await.is_err(), "it was finished 400 days ago");
}

async fn a_jump_cancels_no_open_upload_for_a_day(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let ann = site.user(&server, "acme", "ann").await;
    let open = site.large(2);
    open_one(&server, &ann, &open).await.expect("opened");
    delete(&server).await;
    for by in [7 * DAY + HOUR, 30 * DAY, 365 * DAY] {
        jump(&site, by).await;
        looked_for_abandoned(&site).await;
        let state = server.queue.jobs(&ann, &open.id).await.expect("jobs").upload.state;
        assert_eq!(state, UploadState::Uploading, "after a jump by {by} ms");
    }
    a_day_passes(&site).await;
    site.other_server(DomainsConfig::default()).await;
    eventually("it is abandoned", || async {
        let state = server.queue.jobs(&ann, &open.id).await.expect("jobs").upload.state;
        (state == UploadState::Cancelled).then_some(())
    })
    .await;
}

/// A server starts, and looks first of all for what was abandoned; behind that it forgets nodes.
async fn looked_for_abandoned(site: &Site) {
    let long_gone = "insert into nodes (pool, id, runs, seen_at) values ('p', 'gone', 0, 0)";
    site.sql(long_gone, long_gone).await;
    site.other_server(DomainsConfig::default()).await;
    eventually("it has looked", || async {
        (site.number("select count(*) from nodes where id = 'gone'").await == 0).then_some(())
    })
    .await;
}

async fn a_restart_in_the_middle_of_a_jump_deletes_nothing(site: Arc<Site>) {
    let server = settable(&site, DomainsConfig::default()).await;
    let (ann, _) = finished(&site, &server).await;
    jump(&site, 400 * DAY).await;
    for _ in 0..5 {
        let restarted = site.other_server(DomainsConfig::default()).await;
        delete(&restarted).await;
        // Another machine, of whose time nothing is known.
        let boot = "update clocks set boot = 'other'";
        site.sql(boot, boot).await;
    }
    assert_eq!(results(&server, &ann).await.len(), 2);
}

async fn a_jump_makes_no_node_absent_and_keeps_none(site: Arc<Site>) {
    let present = Duration::from_secs(3);
    let server = settable(
        &site,
        DomainsConfig {
            catalog: CatalogConfig { node_present: present, ..CatalogConfig::default() },
            ..DomainsConfig::default()
        },
    )
    .await;
    let ann = site.user(&server, "acme", "ann").await;
    let offer = Offer {
        name: "mine".to_owned(),
        digest: format!("{:064x}", 7),
        length: 100,
        contract: 1,
        minor: 0,
        description: "{}".to_owned(),
        stored: true,
    };
    let offers = OfferRequest { node: "n".to_owned(), engines: vec![offer], stopping: false };
    let listed = async || {
        let releases = server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases;
        releases.iter().any(|release| release.engine == "local/mine")
    };
    for by in [HOUR, 365 * DAY, -366 * DAY] {
        // A node of that id, made known or seen again.
        server.queue.lease(POOL, LeaseRequest { node: "n".to_owned(), ..wish("n", 1, 0, 0) }).await.expect("an answer");
        server.catalog.offer_engines(POOL, POOL, &offers).await.expect("offered");
        jump(&site, by).await;
        assert!(listed().await, "after a jump by {by} ms");
        eventually("it is gone, since nobody hears of it", || async { (!listed().await).then_some(()) }).await;
    }
}
