//! Fair shares: between organisations, between members of one, and whatever came of the last turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_api::{CancelRequest, FileRange, LeasedSpan, MissingRequest, OpenUpload, ReturnReason};
use filemill_server::Domains;
use filemill_server::accounts::Caller;
use filemill_server::queue::{Leased, Mark, Position, RecordedKind};

use super::site::{
    Kind, POOL, Site, advance, chunk, complete, complete_all, content, events, give_back, key, lease, lease_now,
    make_pool, only, open_one, results, runs, send,
};

super::on_both!(
    uploads_of_which_nothing_is_stored_keep_no_other_file_waiting,
    a_run_that_is_missing_again_and_again_rests_ever_longer,
    what_is_missing_of_an_upload_is_told_in_one_event,
    work_that_is_handed_back_has_had_its_turn,
    opening_and_cancelling_again_and_again_wins_nothing,
    a_backlog_for_another_pool_without_nodes_is_nothing_to_this_one,
    a_member_does_not_wait_behind_a_colleagues_flood,
    what_becomes_ready_while_others_write_is_leased_in_its_turn,
    ten_members_of_an_organisation_get_no_more_than_one_of_another,
    members_who_come_and_go_add_nothing_to_their_organisation,
    servers_on_one_database_share_fairly_between_them,
    what_no_node_can_run_is_not_gone_through_for_what_one_can,
    work_from_before_turns_were_the_members_goes_on,
);

/// What each upload's runs are whose.
fn jobs_of(leased: &Leased, uploads: &[String]) -> usize {
    let theirs = leased.uploads.iter().filter(|work| uploads.contains(&work.upload));
    theirs.flat_map(|work| &work.spans).map(|run| run.jobs.len()).sum()
}

async fn miss(server: &Domains, run: &LeasedSpan, sequence: u32, content_of: u64) {
    let chunks = vec![(sequence, content(sequence, content_of).sha256)];
    let request = MissingRequest { node: "n".to_owned(), lease: key(run), chunks, header: false };
    assert!(server.queue.missing(POOL, request).await.expect("an answer").lost.is_empty());
}

async fn uploads_of_which_nothing_is_stored_keep_no_other_file_waiting(site: Arc<Site>) {
    let server = site.server();
    let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
    let mut empty = Vec::new();
    for _ in 0..16 {
        empty.push(send(&server, &eve, &site.bundle(256)).await);
    }
    // What a node finds of them, and what they say again at once.
    let find = async |leased: &Leased| {
        for work in leased.uploads.iter().filter(|work| empty.contains(&work.upload)) {
            for run in &work.spans {
                miss(&server, run, 0, 1).await;
            }
        }
        for id in &empty {
            advance(&server, &eve, id, true, vec![chunk(0)]).await.expect("advanced");
        }
    };
    for _ in 0..40 {
        find(&lease(&server, "n", 64).await).await;
    }
    let mine = send(&server, &bob, &site.bundle(1)).await;
    for turn in 0.. {
        let leased = lease(&server, "n", 64).await;
        if jobs_of(&leased, std::slice::from_ref(&mine)) > 0 {
            break;
        }
        assert!(turn < 3, "the file waits behind what was never stored");
        find(&leased).await;
    }
}

async fn a_run_that_is_missing_again_and_again_rests_ever_longer(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(2)).await;
    miss(&server, &only(&lease(&server, "n", 2).await), 0, 1).await;
    advance(&server, &ann, &id, true, vec![chunk(0)]).await.expect("advanced");
    let again = only(&lease_now(&server, "n", 2, 0).await);
    let mut last = Duration::from_millis(500);
    let mut run = again;
    for _ in 0..2 {
        let began = Instant::now();
        miss(&server, &run, 0, 1).await;
        advance(&server, &ann, &id, true, vec![chunk(0)]).await.expect("advanced");
        assert!(runs(&lease_now(&server, "n", 2, 2).await).is_empty(), "it rests");
        // A server that starts meanwhile knows of it.
        assert!(runs(&lease_now(&site.server(), "n", 2, 2).await).is_empty(), "it rests");
        let waiting = server.queue.jobs(&ann, &id).await.expect("jobs").waiting;
        assert_ne!(waiting[0].reason, filemill_api::WaitReason::Uploading, "all of it is said to be stored");
        run = only(&lease(&server, "n", 2).await);
        let rested = began.elapsed();
        assert!(rested > last.mul_f64(1.4), "{rested:?} after {last:?}");
        last = Duration::from_millis(1300);
    }
    complete(&server, &run, &[0, 1]).await.expect("it was there in the end");
    assert_eq!(results(&server, &ann).await.len(), 2);
}

async fn what_is_missing_of_an_upload_is_told_in_one_event(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let jobs = (0..20).map(|n| FileRange { first_index: n, count: 1, first_chunk: n, last_chunk: n }).collect();
    let upload = site.upload(20, jobs);
    send(&server, &ann, &upload).await;
    let other = site.upload(1, vec![FileRange { first_index: 0, count: 1, first_chunk: 0, last_chunk: 0 }]);
    send(&server, &ann, &other).await;
    let leased = lease(&server, "n", 100).await;
    for run in runs(&leased).iter().rev() {
        miss(&server, run, run.first_chunk, u64::from(run.first_chunk) + 1).await;
    }
    let told = async || {
        let mut told: HashMap<String, Vec<Vec<u32>>> = HashMap::new();
        for event in events(&server, &ann).await {
            let RecordedKind::ChunksMissing { sequences } = event.kind else { panic!("{event:?}") };
            told.entry(event.upload).or_default().push(sequences);
        }
        told
    };
    let first = told().await;
    assert_eq!(first[&upload.id], [(0..20).collect::<Vec<_>>()], "one event that says all");
    assert_eq!(first[&other.id], [vec![0]]);
    // It stands at that event, and sends some again, of which one is missing once more.
    let page = server.queue.events(&ann, 0, None).await.expect("a page");
    let stands = page.events.iter().rfind(|event| event.upload == upload.id).expect("it was told").clone();
    let some = (0..10).map(chunk).collect();
    advance(&server, &ann, &upload.id, true, some).await.expect("advanced");
    let run = runs(&lease(&server, "n", 1).await).remove(0);
    miss(&server, &run, run.first_chunk, u64::from(run.first_chunk) + 1).await;
    let missing: Vec<_> = std::iter::once(run.first_chunk).chain(10..20).collect();
    assert_eq!(told().await[&upload.id], [missing], "what was sent is not asked for again");
    let position = Position { after: stands.cursor, mark: Mark::Known(stands.mark), ..Position::default() };
    let page = site.server().queue.events_behind(&ann, position, None).await.expect("a page");
    assert!(!page.reset && !page.events.is_empty(), "{page:?}");
    // The header, too: that has an event of its own, and neither hides the other.
    advance(&server, &ann, &upload.id, true, (0..20).map(chunk).collect()).await.expect("advanced");
    let leased = runs(&lease(&server, "n", 2).await);
    for (run, header) in leased.iter().zip([true, false]) {
        let request = MissingRequest {
            node: "n".to_owned(),
            lease: key(run),
            chunks: if header { Vec::new() } else { vec![(run.first_chunk, chunk(run.first_chunk).sha256)] },
            header,
        };
        assert!(server.queue.missing(POOL, request).await.expect("an answer").lost.is_empty());
    }
    assert_eq!(told().await[&upload.id], [vec![], vec![leased[1].first_chunk]]);
}

async fn work_that_is_handed_back_has_had_its_turn(site: Arc<Site>) {
    for reason in [ReturnReason::ShuttingDown, ReturnReason::Stalled, ReturnReason::NodeFault] {
        let server = site.server();
        let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
        let (mut hers, mut his) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            hers.push(send(&server, &eve, &site.bundle(64)).await);
        }
        for _ in 0..20 {
            his.push(send(&server, &bob, &site.bundle(64)).await);
        }
        let mut done = 0;
        for _ in 0..20 {
            let leased = lease(&server, "n", 64).await;
            for work in &leased.uploads {
                for run in &work.spans {
                    if hers.contains(&work.upload) {
                        give_back(&server, run, reason).await;
                    } else {
                        done += 1;
                        complete(&server, run, &run.jobs).await.expect("completed");
                    }
                }
            }
        }
        assert!(done >= 8, "{reason:?}: {done} of 20 turns");
        for caller in [&eve, &bob] {
            let uploads = hers.iter().chain(&his).cloned().collect();
            server.queue.cancel(caller, CancelRequest { uploads }).await.expect("an answer");
        }
    }
}

async fn opening_and_cancelling_again_and_again_wins_nothing(site: Arc<Site>) {
    let server = site.server();
    let (eve, bob) = (site.user(&server, "evil", "eve").await, site.user(&server, "acme", "bob").await);
    let flood = send(&server, &bob, &site.bundle(6400)).await;
    let mut his = 0;
    for _ in 0..20 {
        let hers = send(&server, &eve, &site.bundle(640)).await;
        for _ in 0..2 {
            let leased = lease(&server, "n", 64).await;
            his += jobs_of(&leased, std::slice::from_ref(&flood));
            complete_all(&server, &leased).await;
        }
        server.queue.cancel(&eve, CancelRequest { uploads: vec![hers] }).await.expect("cancelled");
    }
    assert!(his >= 18 * 64, "{his} of {} jobs", 40 * 64);
}

async fn a_backlog_for_another_pool_without_nodes_is_nothing_to_this_one(site: Arc<Site>) {
    let server = site.server();
    make_pool(&server, "idle").await;
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "other", "bob").await);
    for _ in 0..20 {
        send(&server, &ann, &OpenUpload { pool: "idle".to_owned(), ..site.bundle(6400) }).await;
    }
    send(&server, &bob, &site.bundle(6400)).await;
    complete_all(&server, &lease(&server, "n", 640).await).await;
    let mine = send(&server, &ann, &site.bundle(3)).await;
    let leased = lease(&server, "n", 256).await;
    assert_eq!(jobs_of(&leased, &[mine]), 3, "it waits behind work of another pool");
}

async fn a_member_does_not_wait_behind_a_colleagues_flood(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "acme", "bob").await);
    for _ in 0..10 {
        send(&server, &ann, &site.bundle(6400)).await;
    }
    complete_all(&server, &lease(&server, "n", 640).await).await;
    for _ in 0..5 {
        let small = send(&server, &bob, &site.bundle(3)).await;
        let leased = lease(&server, "n", 256).await;
        assert_eq!(jobs_of(&leased, &[small]), 3, "it is among the next few runs");
        assert!(leased.uploads.len() > 1, "and the flood goes on");
        complete_all(&server, &leased).await;
    }
}

async fn what_becomes_ready_while_others_write_is_leased_in_its_turn(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "globex", "bob").await);
    send(&server, &ann, &site.bundle(6400)).await;
    complete_all(&server, &lease(&server, "n", 64).await).await;
    let small = site.bundle(3);
    open_one(&server, &bob, &small).await.expect("opened");
    let writing = site.keep_writing().await;
    let (advanced, leased, ()) = tokio::join!(
        biased;
        advance(&server, &bob, &small.id, true, (0..small.chunks).map(chunk).collect()),
        lease(&server, "n", 256),
        async {
            // Both wait for their turns to write, in this order, or the lease is not asked for yet.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            drop(writing);
        }
    );
    advanced.expect("advanced");
    // PostgreSQL has many writers: the one may be over before the other has begun.
    if site.kind() == Kind::Sqlite {
        assert_eq!(jobs_of(&leased, &[small.id]), 3, "it was ready before anything was leased");
    }
}

/// Leases so much in steps, from each of the servers in turn; answers how many jobs of these uploads there were.
async fn share(servers: &[Domains], jobs: usize, step: u32, uploads: &[&[String]]) -> Vec<usize> {
    let mut shares = vec![0; uploads.len()];
    for turn in 0.. {
        if shares.iter().sum::<usize>() >= jobs {
            break;
        }
        let server = &servers[turn % servers.len()];
        let leased = lease(server, "n", step).await;
        for (share, uploads) in shares.iter_mut().zip(uploads) {
            *share += jobs_of(&leased, uploads);
        }
        complete_all(server, &leased).await;
    }
    shares
}

async fn ten_members_of_an_organisation_get_no_more_than_one_of_another(site: Arc<Site>) {
    let server = site.server();
    let bob = site.user(&server, "other", "bob").await;
    let his = [send(&server, &bob, &site.bundle(20_000)).await];
    let mut theirs = Vec::new();
    for member in 0..10 {
        let one = site.user(&server, "acme", &format!("m{member}")).await;
        // One after the other, each with more at once than before.
        theirs.push(send(&server, &one, &site.bundle(2000 + member * 64)).await);
        complete_all(&server, &lease(&server, "n", 64).await).await;
    }
    let shares = share(&[server], 8000, 256, &[&his, &theirs]).await;
    assert!(shares[0].abs_diff(shares[1]) < 400, "{shares:?}");
}

async fn members_who_come_and_go_add_nothing_to_their_organisation(site: Arc<Site>) {
    let server = site.server();
    let bob = site.user(&server, "other", "bob").await;
    let his = [send(&server, &bob, &site.bundle(20_000)).await];
    let (mut got, mut others) = (0, 0);
    let mut members: Vec<Caller> = Vec::new();
    for round in 0..30_usize {
        if members.len() < 12 {
            members.push(site.user(&server, "acme", &format!("m{round}")).await);
        }
        // Ever other ones, each with little.
        let mut theirs = Vec::new();
        for member in members.iter().skip(round % 5).step_by(2) {
            theirs.push(send(&server, member, &site.bundle(40)).await);
        }
        let shares = share(std::slice::from_ref(&server), 128, 64, &[&his, &theirs]).await;
        (got, others) = (got + shares[0], others + shares[1]);
        server.queue.cancel(&members[0], CancelRequest { uploads: theirs.clone() }).await.expect("an answer");
    }
    assert!(got * 11 >= others * 10, "{got} {others}");
}

async fn servers_on_one_database_share_fairly_between_them(site: Arc<Site>) {
    let servers = [site.other_server(Default::default()).await, site.other_server(Default::default()).await];
    let bob = site.user(&servers[0], "other", "bob").await;
    let his = [send(&servers[0], &bob, &site.bundle(20_000)).await];
    let mut theirs = Vec::new();
    for member in 0..4_usize {
        let one = site.user(&servers[0], "acme", &format!("m{member}")).await;
        theirs.push(vec![send(&servers[member % 2], &one, &site.bundle(5000)).await]);
    }
    let mut uploads: Vec<&[String]> = vec![&his];
    uploads.extend(theirs.iter().map(Vec::as_slice));
    let shares = share(&servers, 8000, 256, &uploads).await;
    let organisation = shares[1..].iter().sum::<usize>();
    assert!(shares[0].abs_diff(organisation) < 800, "{shares:?}");
    assert!(shares[1..].iter().all(|share| share.abs_diff(organisation / 4) < 400), "{shares:?}");
}

async fn what_no_node_can_run_is_not_gone_through_for_what_one_can(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "acme", "bob").await);
    send(&server, &ann, &site.bundle(640)).await;
    // Its engine needs a contract that no node has.
    site.sql("update runs set needs = 9", "update runs set needs = 9").await;
    let mine = send(&server, &ann, &site.bundle(3)).await;
    let his = send(&server, &bob, &site.bundle(3)).await;
    let leased = lease(&server, "n", 256).await;
    assert_eq!((jobs_of(&leased, &[mine]), jobs_of(&leased, &[his])), (3, 3));
}

async fn work_from_before_turns_were_the_members_goes_on(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "acme", "bob").await);
    for caller in [&ann, &bob] {
        send(&server, caller, &site.bundle(200)).await;
    }
    let held = only(&lease(&server, "n", 64).await);
    let begun = site.large(2);
    open_one(&server, &ann, &begun).await.expect("opened");
    advance(&server, &ann, &begun.id, true, vec![chunk(0)]).await.expect("advanced");
    // As the version before had it.
    let before = "drop index runs_ready_turns; drop index runs_partial_turns; drop index runs_due;
        create index runs_ready on runs (pool, vstart, id) where state = 2;
        create index runs_partial on runs (pool, vstart, id) where state = 1;
        alter table runs drop column member; alter table runs drop column missed; alter table runs drop column due_at;
        update runs set vstart = vstart * 64000 where vstart > 0;
        delete from _sqlx_migrations where version = 2;";
    site.sql(before, before).await;
    let server = site.other_server(Default::default()).await;
    complete(&server, &held, &held.jobs).await.expect("who holds a lease goes on");
    let leased = lease(&server, "n", 128).await;
    let uploads: Vec<_> = leased.uploads.iter().map(|work| work.spans.len()).collect();
    assert_eq!(uploads, [1, 1], "both members have their turns");
    complete_all(&server, &leased).await;
    advance(&server, &ann, &begun.id, true, vec![chunk(1)]).await.expect("advanced");
    for _ in 0..2 {
        complete_all(&server, &lease(&server, "n", 128).await).await;
    }
    assert_eq!(results(&server, &ann).await.len() + results(&server, &bob).await.len(), 401);
}
