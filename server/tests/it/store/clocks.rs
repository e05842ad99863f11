//! The database's clock jumps: nobody is blamed for it, and nothing is deleted by it at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_api::{LeaseRequest, Offer, OfferRequest, Outcome, UploadState, WaitReason};
use filemill_server::rules::{Rules, RulesConfig};

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
async fn jump(site: &Site, by: i64) {
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
async fn settable(site: &Site, config: RulesConfig) -> Rules {
    let name = "create table if not exists skew (ms bigint not null);
        insert into skew select 0 where not exists (select 1 from skew);
        create or replace function public.clock_timestamp() returns timestamptz language sql volatile as
            'select pg_catalog.clock_timestamp() + (select ms from skew) * interval ''1 millisecond''';
        do $$ begin execute format('alter database %I set search_path = public, pg_catalog', current_database()); end $$";
    site.sql("select 1", name).await;
    site.other_server(config).await
}

fn hasty() -> RulesConfig {
    RulesConfig { lease: Duration::from_millis(900), ..RulesConfig::default() }
}

async fn a_jump_ends_no_lease_and_blames_nobody(site: Arc<Site>) {
    let rules = settable(&site, hasty()).await;
    let ann = site.user(&rules, "acme", "ann").await;
    let id = send(&rules, &ann, &site.bundle(1)).await;
    let run = only(&lease(&rules, "n", 1).await);
    // Four times: at the fourth death a job used to be quarantined.
    for by in [HOUR, HOUR, 365 * DAY, HOUR, -400 * DAY] {
        jump(&site, by).await;
        let jumped = Instant::now();
        // Longer than a lease, and than the looks that end one.
        while jumped.elapsed() < Duration::from_millis(1300) {
            assert_eq!(report(&rules, &run, &[0]).await.lost, [], "after a jump by {by} ms");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waiting = rules.jobs(&ann, &id).await.expect("jobs").waiting;
        assert_eq!(waiting[0].reason, WaitReason::Running { per_mille: 500, attempt: 1 });
    }
    complete(&rules, &run, &[0]).await.expect("it is still held");
    assert_eq!(results(&rules, &ann).await, [(0, Outcome::Succeeded)]);
}

async fn a_dead_node_is_noticed_though_the_clock_jumped_back(site: Arc<Site>) {
    let rules = settable(&site, hasty()).await;
    let ann = site.user(&rules, "acme", "ann").await;
    send(&rules, &ann, &site.bundle(1)).await;
    let dead = only(&lease(&rules, "a", 1).await);
    report(&rules, &dead, &[0]).await;
    jump(&site, -365 * DAY).await;
    let heir = only(&lease(&rules, "b", 1).await);
    assert!(heir.alone && heir.fence == dead.fence + 1);
    complete(&rules, &heir, &[0]).await.expect("completed");
}

async fn a_lease_ends_once_however_many_servers_look(site: Arc<Site>) {
    let rules = settable(&site, hasty()).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(site.other_server(hasty()).await);
    }
    let ann = site.user(&rules, "acme", "ann").await;
    send(&rules, &ann, &site.bundle(64)).await;
    let dead = only(&lease(&rules, "a", 64).await);
    report(&rules, &dead, &[7]).await;
    let mut fences = Vec::new();
    let mut jobs = 0;
    while jobs < 64 {
        let leased = lease(&rules, "b", 64).await;
        for run in super::site::runs(&leased) {
            fences.push(run.fence);
            jobs += run.indexes.len();
        }
        complete_all(&rules, &leased).await;
    }
    assert!(fences.iter().all(|fence| *fence == dead.fence + 1), "{fences:?}");
}

async fn a_server_that_starts_gives_every_lease_its_full_time(site: Arc<Site>) {
    let before = settable(&site, RulesConfig::default()).await;
    let ann = site.user(&before, "acme", "ann").await;
    send(&before, &ann, &site.bundle(1)).await;
    let run = only(&lease(&before, "n", 1).await);
    // It was off, and the lease is long over by the clock.
    jump(&site, HOUR).await;
    let rules = site.other_server(hasty()).await;
    let started = Instant::now();
    assert!(lease_now(&rules, "m", 1, 0).await.uploads.is_empty());
    eventually("the lease passes on", || async {
        let leased = lease_now(&rules, "m", 1, 0).await;
        (!leased.uploads.is_empty()).then_some(())
    })
    .await;
    assert!(started.elapsed() >= hasty().lease, "{:?}", started.elapsed());
    assert_eq!(report(&rules, &run, &[0]).await.lost, [key(&run)]);
}

/// A finished upload, whose results were taken in.
async fn finished(site: &Site, rules: &Rules) -> (filemill_server::rules::Caller, String) {
    let ann = site.user(rules, "acme", "ann").await;
    let id = send(rules, &ann, &site.bundle(2)).await;
    complete_all(rules, &lease(rules, "n", 2).await).await;
    let page = rules.events(&ann, 0, None).await.expect("events");
    rules.events(&ann, page.next, None).await.expect("events");
    delete(rules).await;
    (ann, id)
}

/// Deletes all that may go.
async fn delete(rules: &Rules) {
    loop {
        let doomed = rules.doomed(1000).await.expect("an answer");
        if doomed.is_empty() {
            return;
        }
        rules.forget(doomed).await.expect("forgotten");
    }
}

async fn a_jump_deletes_no_result_for_a_day(site: Arc<Site>) {
    let rules = settable(&site, RulesConfig::default()).await;
    let (ann, id) = finished(&site, &rules).await;
    jump(&site, 400 * DAY).await;
    for _ in 0..3 {
        delete(&rules).await;
    }
    assert_eq!(results(&rules, &ann).await.len(), 2);
    // Mended in time.
    jump(&site, -400 * DAY).await;
    delete(&rules).await;
    for _ in 0..3 {
        a_day_passes(&site).await;
        delete(&rules).await;
    }
    assert_eq!(results(&rules, &ann).await.len(), 2);
    // And if nobody mends it, deletion goes on after a day.
    jump(&site, 400 * DAY).await;
    delete(&rules).await;
    a_day_passes(&site).await;
    delete(&rules).await;
    assert!(rules.jobs(&ann, &id).await.is_err(), "it was finished 400 days ago");
}

async fn a_jump_cancels_no_open_upload_for_a_day(site: Arc<Site>) {
    let rules = settable(&site, RulesConfig::default()).await;
    let ann = site.user(&rules, "acme", "ann").await;
    let open = site.large(2);
    open_one(&rules, &ann, &open).await.expect("opened");
    delete(&rules).await;
    for by in [7 * DAY + HOUR, 30 * DAY, 365 * DAY] {
        jump(&site, by).await;
        looked_for_abandoned(&site).await;
        let state = rules.jobs(&ann, &open.id).await.expect("jobs").upload.state;
        assert_eq!(state, UploadState::Uploading, "after a jump by {by} ms");
    }
    a_day_passes(&site).await;
    site.other_server(RulesConfig::default()).await;
    eventually("it is abandoned", || async {
        let state = rules.jobs(&ann, &open.id).await.expect("jobs").upload.state;
        (state == UploadState::Cancelled).then_some(())
    })
    .await;
}

/// A server starts, and looks first of all for what was abandoned; behind that it forgets nodes.
async fn looked_for_abandoned(site: &Site) {
    let long_gone = "insert into nodes (pool, id, runs, seen_at) values ('p', 'gone', 0, 0)";
    site.sql(long_gone, long_gone).await;
    site.other_server(RulesConfig::default()).await;
    eventually("it has looked", || async {
        (site.number("select count(*) from nodes where id = 'gone'").await == 0).then_some(())
    })
    .await;
}

async fn a_restart_in_the_middle_of_a_jump_deletes_nothing(site: Arc<Site>) {
    let rules = settable(&site, RulesConfig::default()).await;
    let (ann, _) = finished(&site, &rules).await;
    jump(&site, 400 * DAY).await;
    for _ in 0..5 {
        let restarted = site.other_server(RulesConfig::default()).await;
        delete(&restarted).await;
        // Another machine, of whose time nothing is known.
        let boot = "update clocks set boot = 'other'";
        site.sql(boot, boot).await;
    }
    assert_eq!(results(&rules, &ann).await.len(), 2);
}

async fn a_jump_makes_no_node_absent_and_keeps_none(site: Arc<Site>) {
    let present = Duration::from_secs(3);
    let rules = settable(&site, RulesConfig { node_present: present, ..RulesConfig::default() }).await;
    let ann = site.user(&rules, "acme", "ann").await;
    let offer = Offer {
        name: "mine".to_owned(),
        digest: format!("{:064x}", 7),
        length: 100,
        contract: 1,
        description: "{}".to_owned(),
        stored: true,
    };
    let offers = OfferRequest { node: "n".to_owned(), engines: vec![offer], stopping: false };
    let listed = async || {
        let releases = rules.releases(&ann, Some(POOL)).await.expect("a list").releases;
        releases.iter().any(|release| release.engine == "local/mine")
    };
    for by in [HOUR, 365 * DAY, -366 * DAY] {
        // A node of that id, made known or seen again.
        rules.lease(POOL, LeaseRequest { node: "n".to_owned(), ..wish("n", 1, 0, 0) }).await.expect("an answer");
        rules.offer_engines(POOL, POOL, &offers).await.expect("offered");
        jump(&site, by).await;
        assert!(listed().await, "after a jump by {by} ms");
        eventually("it is gone, since nobody hears of it", || async { (!listed().await).then_some(()) }).await;
    }
}
