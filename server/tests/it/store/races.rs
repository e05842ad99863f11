//! What many do at once, and what is interrupted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filemill_api::{CancelRequest, ErrorCode, Outcome, ReturnReason, UploadState};
use filemill_server::DomainsConfig;
use filemill_server::queue::QueueConfig;

use super::site::{
    Kind, LIMIT, POOL, Site, advance, assert_gapless, chunk, code, complete, complete_all, events, eventually,
    give_back, lease, lease_now, only, open_one, report, results, runs, send, wish,
};

super::on_both!(
    no_job_is_leased_twice_by_32_lessors,
    a_commit_that_is_late_loses_no_event,
    a_small_upload_does_not_wait_behind_a_flood,
    a_returned_run_does_not_overtake_for_ever,
    one_that_fails_does_not_fail_its_neighbours,
    whatever_happens_at_once_every_job_has_one_result,
    cancelling_while_nodes_lease_leaves_nothing_behind,
);

async fn no_job_is_leased_twice_by_32_lessors(site: Arc<Site>) {
    let first = site.server();
    let ann = site.user(&first, "acme", "ann").await;
    for files in [1, 1, 1, 64, 100, 700, 33] {
        send(&first, &ann, &site.bundle(files)).await;
    }
    let all = 900;
    let taken = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let mut lessors = tokio::task::JoinSet::new();
    for lessor in 0..32 {
        // A leasing task of its own for each.
        let (server, taken) = (site.server(), Arc::clone(&taken));
        lessors.spawn(async move {
            loop {
                let leased = lease_now(&server, &format!("n{lessor}"), 7, 0).await;
                let mut taken = taken.lock().expect("not poisoned");
                for work in &leased.uploads {
                    for index in work.spans.iter().flat_map(|run| &run.jobs) {
                        assert!(taken.insert((work.upload.clone(), *index)), "{} {index} twice", work.upload);
                    }
                }
                if taken.len() == all {
                    return;
                }
            }
        });
    }
    tokio::time::timeout(LIMIT, lessors.join_all()).await.expect("every job is leased by somebody");
}

async fn a_commit_that_is_late_loses_no_event(site: Arc<Site>) {
    let here = site.server();
    let there = site.other_server(DomainsConfig::default()).await;
    let ann = site.user(&here, "acme", "ann").await;
    let slow = send(&here, &ann, &site.bundle(1)).await;
    let slow_run = only(&lease(&here, "a", 1).await);
    send(&here, &ann, &site.bundle(30)).await;
    let fast_run = only(&lease(&there, "b", 30).await);
    // Whoever records the slow upload's result has its cursor long before it commits.
    let trigger = format!(
        "create function late() returns trigger language plpgsql as $$ begin
             if new.upload = (select number from uploads where id = '{slow}') then perform pg_sleep(1); end if;
             return null; end $$;
         create constraint trigger late after insert on events deferrable initially deferred
             for each row execute function late();"
    );
    if site.kind() == Kind::Postgres {
        site.sql("", &trigger).await;
    }
    let reading = Arc::new(AtomicBool::new(true));
    let reader = tokio::spawn({
        let (server, ann, reading) = (here.clone(), ann.clone(), Arc::clone(&reading));
        async move {
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let last_look = !reading.load(Ordering::Relaxed);
                let page = server.queue.events(&ann, after, None).await.expect("a page");
                after = page.next;
                seen.extend(page.events.into_iter().map(|event| event.cursor));
                if last_look {
                    return seen;
                }
            }
        }
    });
    let late = tokio::spawn({
        let here = here.clone();
        async move { complete(&here, &slow_run, &[0]).await.expect("recorded") }
    });
    for index in 0..30 {
        complete(&there, &fast_run, &[index]).await.expect("recorded");
    }
    late.await.expect("no panic");
    reading.store(false, Ordering::Relaxed);
    assert_gapless(&reader.await.expect("no panic"), 31);
}

async fn a_small_upload_does_not_wait_behind_a_flood(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "small", "bob").await);
    for _ in 0..10 {
        send(&server, &ann, &site.bundle(6400)).await;
    }
    // The flood is under way.
    complete_all(&server, &lease(&server, "n", 640).await).await;
    let small = send(&server, &bob, &site.bundle(3)).await;
    let leased = lease(&server, "n", 256).await;
    assert!(leased.uploads.iter().any(|work| work.upload == small), "it is among the next few runs");
    // And the flood is not starved by it either.
    assert!(leased.uploads.iter().any(|work| work.upload != small));
}

async fn a_returned_run_does_not_overtake_for_ever(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "other", "bob").await);
    let unlucky = send(&server, &ann, &site.bundle(1)).await;
    send(&server, &bob, &site.bundle(640)).await;
    // A node that returns it at once sees other work too.
    let mut others = 0;
    for _ in 0..20 {
        for run in runs(&lease(&server, "n", 1).await) {
            let leased_unlucky = server.queue.jobs(&ann, &unlucky).await.expect("jobs");
            if leased_unlucky
                .waiting
                .iter()
                .any(|state| matches!(state.reason, filemill_api::WaitReason::Running { .. }))
            {
                give_back(&server, &run, ReturnReason::NodeFault).await;
            } else {
                others += run.jobs.len();
            }
        }
    }
    assert!(others > 0, "the same run again and again");
}

async fn one_that_fails_does_not_fail_its_neighbours(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let cursed = send(&server, &ann, &site.bundle(2)).await;
    let cursed_run = only(&lease(&server, "n", 2).await);
    let mut fine = Vec::new();
    for _ in 0..20 {
        send(&server, &ann, &site.bundle(1)).await;
        fine.push(only(&lease(&server, "n", 1).await));
    }
    let condition = format!("(select number from uploads where id = '{cursed}')");
    site.sql(
        &format!(
            "create trigger cursed before insert on events when new.upload = {condition} and new.idx = 1
             begin select raise(abort, 'cursed'); end"
        ),
        &format!(
            "create function cursed() returns trigger language plpgsql as $$ begin
                 if new.upload = {condition} and new.idx = 1 then raise 'cursed'; end if; return new; end $$;
             create trigger cursed before insert on events for each row execute function cursed();"
        ),
    )
    .await;
    // At once, so that they meet in one transaction.
    let mut nodes = tokio::task::JoinSet::new();
    for run in fine {
        let server = server.clone();
        nodes.spawn(async move { complete(&server, &run, &[0]).await.expect("recorded") });
    }
    let failed = complete(&server, &cursed_run, &[0, 1]).await;
    assert_eq!(code(failed), ErrorCode::Internal);
    nodes.join_all().await;
    assert_eq!(results(&server, &ann).await.len(), 20, "of the one that failed nothing was recorded");
    assert!(report(&server, &cursed_run, &[]).await.lost.is_empty(), "its lease is as it was");
    site.sql("drop trigger cursed", "drop trigger cursed on events").await;
    complete(&server, &cursed_run, &[0, 1]).await.expect("recorded");
    let cursors: Vec<_> = events(&server, &ann).await.into_iter().map(|event| event.cursor).collect();
    assert_gapless(&cursors, 22);
}

/// Four clients and eight nodes that complete, return, stall and die at random, over two servers.
async fn whatever_happens_at_once_every_job_has_one_result(site: Arc<Site>) {
    let config = DomainsConfig {
        queue: QueueConfig { lease: Duration::from_secs(1), ..QueueConfig::default() },
        ..DomainsConfig::default()
    };
    let servers = [site.other_server(config.clone()).await, site.other_server(config).await];
    let ann = site.user(&servers[0], "acme", "ann").await;
    let bob = site.user(&servers[1], "other", "bob").await;
    let open = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..4_usize {
        let (server, site) = (servers[client % 2].clone(), Arc::clone(&site));
        let caller = if client < 2 { ann.clone() } else { bob.clone() };
        open.fetch_add(1, Ordering::Relaxed);
        let open = Arc::clone(&open);
        clients.spawn(async move {
            for round in 0..6 {
                let upload = if round % 2 == 0 { site.bundle(70) } else { site.large(3) };
                open_one(&server, &caller, &upload).await.expect("opened");
                for sequence in (0..upload.chunks).rev() {
                    let sent = advance(&server, &caller, &upload.id, sequence == 1, vec![chunk(sequence)]);
                    sent.await.expect("advanced");
                }
                advance(&server, &caller, &upload.id, true, vec![]).await.expect("advanced");
                tokio::task::yield_now().await;
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut nodes = tokio::task::JoinSet::new();
    for node in 0..8_u32 {
        let (server, done) = (servers[node as usize % 2].clone(), Arc::clone(&done));
        nodes.spawn(async move {
            let mut turn = node;
            while !done.load(Ordering::Relaxed) {
                let leased = server.queue.lease(POOL, wish(&format!("n{node}"), 16, 4, 100)).await.expect("leased");
                for run in runs(&leased) {
                    turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    match turn >> 28 {
                        // Dies without a word, before it starts.
                        0 => continue,
                        1 => {
                            give_back(&server, &run, ReturnReason::Stalled).await;
                        }
                        2 => {
                            give_back(&server, &run, ReturnReason::ShuttingDown).await;
                        }
                        // Dies in the middle of some.
                        3 if !run.alone => {
                            report(&server, &run, &run.jobs[..1]).await;
                            let _late = complete(&server, &run, &run.jobs[run.jobs.len() / 2..]).await;
                        }
                        _ => {
                            report(&server, &run, &run.jobs).await;
                            let _late = complete(&server, &run, &run.jobs).await;
                            let _again = complete(&server, &run, &run.jobs).await;
                        }
                    }
                }
            }
        });
    }
    clients.join_all().await;
    for (caller, files) in [(&ann, 2 * 3 * 71), (&bob, 2 * 3 * 71)] {
        eventually("every upload is done", || async {
            servers[0].queue.uploads(caller, None).await.expect("a list").uploads.is_empty().then_some(())
        })
        .await;
        let events = events(&servers[1], caller).await;
        assert_gapless(&events.iter().map(|event| event.cursor).collect::<Vec<_>>(), files);
        let outcomes = results(&servers[1], caller).await;
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Succeeded));
    }
    done.store(true, Ordering::Relaxed);
    nodes.join_all().await;
}

async fn cancelling_while_nodes_lease_leaves_nothing_behind(site: Arc<Site>) {
    let here = site.server();
    let there = site.other_server(DomainsConfig::default()).await;
    let ann = site.user(&here, "acme", "ann").await;
    for round in 0..10 {
        let id = send(&here, &ann, &site.bundle(500)).await;
        let node = tokio::spawn({
            let there = there.clone();
            async move {
                let mut held = Vec::new();
                for _ in 0..6 {
                    held.extend(runs(&lease_now(&there, "n", 5, 0).await));
                }
                held
            }
        });
        let request = CancelRequest { uploads: vec![id.clone()] };
        let cancelled =
            here.queue.cancel(&ann, request).await.expect("answers").uploads.remove(0).into_result().expect("done");
        let held = node.await.expect("no panic");
        for run in &held {
            give_back(&there, run, ReturnReason::ShuttingDown).await;
        }
        let state = here.queue.jobs(&ann, &id).await.expect("jobs");
        let run: usize = held.iter().map(|run| run.jobs.len()).sum();
        assert_eq!(state.upload.state, UploadState::Cancelled, "round {round}: {cancelled} + {run}: {state:?}");
    }
}
