//! Leases that end by themselves: who is suspected, who is not, and who is not run again.

use std::sync::Arc;

use filemill_api::{CancelRequest, ErrorCode, Outcome, UploadState, WaitReason};

use super::site::{
    Site, advance, chunk, code, complete, complete_all, eventually, lease, lease_now, only, open_one, report, results,
    runs, send,
};

super::on_both!(
    a_dead_node_is_fenced_out,
    jobs_that_were_not_started_are_not_suspected,
    suspects_run_alone_and_the_innocent_go_on,
    the_first_job_of_a_run_can_be_the_suspect,
    three_deaths_alone_end_a_job,
    a_suspect_is_not_waited_for_while_it_comes_in,
    a_cancelled_lease_that_dies_ends_as_cancelled,
    a_lease_whose_end_cannot_be_recorded_keeps_no_other,
);

async fn a_dead_node_is_fenced_out(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(3)).await;
    let dead = only(&lease(&server, "a", 3).await);
    complete(&server, &dead, &[0]).await.expect("recorded");
    let heir = lease(&server, "b", 3).await;
    assert_eq!((only(&heir).jobs, only(&heir).fence, only(&heir).attempt), (vec![1, 2], dead.fence + 1, 2));
    assert_eq!(code(complete(&server, &dead, &[1, 2]).await), ErrorCode::Fenced);
    assert_eq!(report(&server, &dead, &[1]).await.lost.len(), 1);
    complete_all(&server, &heir).await;
    assert_eq!(results(&server, &ann).await.len(), 3);
}

async fn jobs_that_were_not_started_are_not_suspected(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(5)).await;
    for attempt in 1..=5 {
        let run = only(&lease(&server, "n", 64).await);
        assert_eq!((run.jobs.len(), run.alone, run.attempt), (5, false, attempt), "nobody is blamed");
    }
}

async fn suspects_run_alone_and_the_innocent_go_on(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(64)).await;
    let dead = only(&lease(&server, "a", 64).await);
    report(&server, &dead, &[3, 5, 63, 64, 999]).await;
    complete(&server, &dead, &[0, 5]).await.expect("recorded");
    // 5 is done; 3 and 63 were running; 0 is done; the others had not begun.
    let mut innocent = Vec::new();
    let mut suspects = Vec::new();
    while innocent.len() + suspects.len() < 62 {
        let leased = lease(&server, "b", 64).await;
        for run in runs(&leased) {
            assert_eq!(run.fence, dead.fence + 1, "fences go on in every part");
            if run.alone {
                assert_eq!((run.jobs.len(), runs(&leased).len()), (1, 1), "nothing is leased beside a suspect");
                suspects.extend(run.jobs.clone());
            } else {
                innocent.extend(run.jobs.clone());
            }
        }
        complete_all(&server, &leased).await;
    }
    suspects.sort_unstable();
    assert_eq!(suspects, [3, 63]);
    assert_eq!(results(&server, &ann).await.len(), 64);
}

async fn the_first_job_of_a_run_can_be_the_suspect(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(6)).await;
    let dead = only(&lease(&server, "a", 64).await);
    report(&server, &dead, &[0, 2]).await;
    complete(&server, &dead, &[1]).await.expect("recorded");
    let mut parts = Vec::new();
    eventually("all parts are leased and completed", || async {
        let leased = lease_now(&server, "b", 64, 0).await;
        complete_all(&server, &leased).await;
        let state = server.queue.jobs(&ann, &id).await.expect("jobs").upload.state;
        Some(leased).filter(|_| state == UploadState::Done)
    })
    .await;
    parts.extend(results(&server, &ann).await);
    assert_eq!(parts.len(), 6);
}

async fn three_deaths_alone_end_a_job(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(2)).await;
    // Both were running when the node died: that counts for neither.
    let together = only(&lease(&server, "a", 2).await);
    report(&server, &together, &[0, 1]).await;
    let (mut deaths, mut unstarted) = (0, 0);
    while deaths < 3 {
        let run = only(&lease(&server, "b", 64).await);
        assert!(run.alone);
        match run.jobs[0] {
            0 => {
                complete(&server, &run, &[0]).await.expect("the other was not to blame");
            }
            // A death before it started counts for nothing.
            _ if unstarted < 2 => unstarted += 1,
            _ => {
                report(&server, &run, &[1]).await;
                deaths += 1;
            }
        }
    }
    let results = eventually("the verdict", || async {
        let results = results(&server, &ann).await;
        (results.len() == 2).then_some(results)
    });
    assert_eq!(results.await, [(0, Outcome::Succeeded), (1, Outcome::Quarantined)]);
    assert_eq!(server.queue.jobs(&ann, &id).await.expect("jobs").upload.state, UploadState::Done);
}

async fn a_suspect_is_not_waited_for_while_it_comes_in(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    let large = site.large(2);
    open_one(&server, &ann, &large).await.expect("opened");
    advance(&server, &ann, &large.id, true, vec![chunk(0)]).await.expect("advanced");
    let dead = only(&lease_now(&server, "a", 1, 1).await);
    report(&server, &dead, &[0]).await;
    eventually("the lease ends", || async {
        let lost = report(&server, &filemill_api::LeasedSpan { fence: 9, ..dead.clone() }, &[]).await;
        assert_eq!(lost.lost.len(), 1);
        let waiting = server.queue.jobs(&ann, &large.id).await.expect("jobs").waiting;
        (!matches!(waiting[0].reason, WaitReason::Running { .. })).then_some(())
    })
    .await;
    assert!(runs(&lease_now(&server, "b", 1, 1).await).is_empty(), "a node would stand still beside it");
    advance(&server, &ann, &large.id, true, vec![chunk(1)]).await.expect("advanced");
    let again = only(&lease(&server, "b", 1).await);
    assert!(again.alone);
    complete(&server, &again, &[0]).await.expect("completed");
}

async fn a_cancelled_lease_that_dies_ends_as_cancelled(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(2)).await;
    let run = only(&lease(&server, "a", 2).await);
    report(&server, &run, &[0, 1]).await;
    let cancel = filemill_api::CancelRequest { uploads: vec![id] };
    server.queue.cancel(&ann, cancel).await.expect("an answer");
    let results = eventually("the lease ends", || async {
        let results = results(&server, &ann).await;
        (results.len() == 2).then_some(results)
    });
    assert_eq!(results.await, [(0, Outcome::Cancelled), (1, Outcome::Cancelled)]);
}

async fn a_lease_whose_end_cannot_be_recorded_keeps_no_other(site: Arc<Site>) {
    let server = site.hasty_server();
    let ann = site.user(&server, "acme", "ann").await;
    let bob = site.user(&server, "umbrella", "bob").await;
    let id = send(&server, &ann, &site.bundle(1)).await;
    only(&lease(&server, "a", 1).await);
    server.queue.cancel(&ann, CancelRequest { uploads: vec![id] }).await.expect("cancelled");
    // There is no number left for the event that says so.
    let full = format!("update organisations set cursor = {} where name = 'acme'", i64::MAX);
    site.sql(&full, &full).await;
    send(&server, &bob, &site.bundle(1)).await;
    let dead = only(&lease(&server, "a", 1).await);
    let heir = only(&lease(&server, "b", 1).await);
    assert_eq!((heir.span, heir.attempt), (dead.span, 2));
}
