//! Leasing, reporting and handing back.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::abilities::{backend, contract};
use filemill_api::{
    ChunksRequest, ErrorCode, FileRange, LeaseRequest, MissingRequest, Outcome, ReturnReason, SpanKey, UploadState,
    WaitReason,
};
use filemill_server::DomainsConfig;
use filemill_server::catalog::NewRelease;
use filemill_server::queue::{QueueConfig, RecordedKind};

use super::site::{
    Kind, LIMIT, POOL, Site, abilities, advance, chunk, code, complete, complete_all, content, events, eventually,
    give_back, key, lease, lease_now, only, open_one, report, results, runs, send, wish,
};

super::on_both!(
    a_run_is_cut_at_64_and_at_what_the_node_takes,
    a_waiting_node_is_woken_when_work_comes,
    a_node_gets_only_what_it_can_run,
    every_waiting_node_gets_a_part_of_one_run,
    incomplete_uploads_take_idle_slots_only,
    chunks_are_told_as_they_arrive,
    a_stalled_job_waits_until_it_is_complete,
    a_returned_lease_goes_to_the_next_without_blame,
    a_fault_of_nodes_does_not_go_on_for_ever,
    what_stalls_for_however_long_is_not_given_up,
    what_a_node_was_not_told_of_is_no_attempt,
    what_nobody_holds_is_told_without_a_turn_to_write,
    nodes_that_a_full_pool_has_no_room_for_take_no_turn_to_write,
    a_lease_of_many_uploads_names_few_chunks_of_each,
    a_report_prolongs_and_names_what_is_lost,
    missing_chunks_are_asked_for_and_the_job_runs_again,
    a_missing_header_is_asked_for_and_the_jobs_run_again,
    a_chunk_stored_anew_is_not_missing,
    work_of_one_server_wakes_the_nodes_of_another,
    a_node_that_goes_away_while_it_waits_takes_nothing,
    a_report_is_not_kept_waiting_for_its_node_to_be_written_down,
    what_a_node_runs_is_written_down_when_it_changes,
);

async fn a_run_is_cut_at_64_and_at_what_the_node_takes(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(150)).await;
    let sizes = |leased| runs(&leased).iter().map(|run| run.jobs.len()).collect::<Vec<_>>();
    assert_eq!(sizes(lease(&server, "a", 10).await), [10]);
    assert_eq!(sizes(lease(&server, "b", 100).await), [54, 46]);
    let last = lease(&server, "c", 1000).await;
    assert_eq!(last.uploads.len(), 1);
    assert_eq!(sizes(last), [18, 22]);
    assert!(runs(&lease_now(&server, "d", 1000, 1000).await).is_empty());
}

async fn a_waiting_node_is_woken_when_work_comes(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { lease(&server, "n", 5).await }
    });
    send(&server, &ann, &site.bundle(5)).await;
    assert_eq!(only(&waiting.await.expect("no panic")).jobs, [0, 1, 2, 3, 4]);
    let empty = server.queue.lease(POOL, wish("n", 5, 5, 50)).await.expect("an answer");
    assert!(empty.uploads.is_empty(), "nothing came in time");
}

async fn a_node_gets_only_what_it_can_run(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(1)).await;
    for unfit in [
        filemill_api::LeaseRequest { abilities: abilities(&[(2, 0)]), ..wish("n", 8, 8, 0) },
        filemill_api::LeaseRequest { abilities: vec![contract(1, 0), backend("container")], ..wish("n", 8, 8, 0) },
        filemill_api::LeaseRequest { pool: "other".to_owned(), ..wish("n", 8, 8, 0) },
        filemill_api::LeaseRequest { max_jobs: 0, ..wish("n", 8, 8, 0) },
    ] {
        assert!(
            server.queue.lease(&unfit.pool.clone(), unfit.clone()).await.expect("an answer").uploads.is_empty(),
            "{unfit:?}"
        );
    }
    assert_eq!(runs(&lease(&server, "n", 8).await).len(), 1);
}

async fn every_waiting_node_gets_a_part_of_one_run(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let mut nodes = tokio::task::JoinSet::new();
    for node in 0..8 {
        let server = server.clone();
        nodes.spawn(async move { only(&lease(&server, &format!("n{node}"), 8).await).jobs });
    }
    send(&server, &ann, &site.bundle(64)).await;
    let mut all = nodes.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, (0..64).collect::<Vec<_>>());
}

async fn incomplete_uploads_take_idle_slots_only(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let large = site.large(4);
    open_one(&server, &ann, &large).await.expect("opened");
    advance(&server, &ann, &large.id, true, vec![chunk(0)]).await.expect("advanced");
    assert!(runs(&lease_now(&server, "n", 8, 0).await).is_empty(), "no idle slot");
    send(&server, &ann, &site.bundle(4)).await;
    let full = server.queue.lease(POOL, wish("n", 4, 4, 0)).await.expect("leased");
    assert_eq!(only(&full).jobs.len(), 4, "the complete upload goes first and takes the node");
    let idle = server.queue.lease(POOL, wish("n", 4, 1, 0)).await.expect("leased");
    assert_eq!(idle.uploads[0].upload, large.id);
    assert_eq!(idle.uploads[0].chunks.len(), 1);
    assert_eq!((only(&idle).first_chunk, only(&idle).last_chunk, idle.uploads[0].chunks_expected), (0, 3, 4));
}

async fn chunks_are_told_as_they_arrive(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let large = site.large(4);
    open_one(&server, &ann, &large).await.expect("opened");
    advance(&server, &ann, &large.id, true, vec![chunk(0)]).await.expect("advanced");
    let run = only(&lease_now(&server, "n", 1, 1).await);
    let ask = |from, wait_ms| ChunksRequest { lease: key(&run), from, count: 64, wait_ms };
    assert!(server.queue.lease_chunks(POOL, ask(1, 0)).await.expect("an answer").is_empty());
    let waiting = tokio::spawn({
        let (server, ask) = (server.clone(), ask(1, 20_000));
        async move { server.queue.lease_chunks(POOL, ask).await.expect("an answer") }
    });
    advance(&server, &ann, &large.id, true, vec![chunk(3)]).await.expect("advanced");
    advance(&server, &ann, &large.id, true, vec![chunk(1)]).await.expect("advanced");
    let arrived = waiting.await.expect("no panic");
    assert_eq!(arrived.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1], "not beyond the gap");
    assert_eq!(arrived[0].1.sha256, chunk(1).sha256);
    assert_eq!(code(server.queue.lease_chunks(POOL, ask(4, 0)).await), ErrorCode::BadRequest);
    let stranger = ChunksRequest { lease: SpanKey { fence: 9, ..key(&run) }, ..ask(0, 0) };
    assert_eq!(code(server.queue.lease_chunks(POOL, stranger).await), ErrorCode::Fenced);
}

async fn a_stalled_job_waits_until_it_is_complete(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let large = site.large(3);
    open_one(&server, &ann, &large).await.expect("opened");
    advance(&server, &ann, &large.id, true, vec![chunk(0)]).await.expect("advanced");
    let run = only(&lease_now(&server, "n", 1, 1).await);
    report(&server, &run, &[0]).await;
    assert!(give_back(&server, &run, ReturnReason::Stalled).await.lost.is_empty());
    advance(&server, &ann, &large.id, true, vec![chunk(1)]).await.expect("advanced");
    assert!(runs(&lease_now(&server, "n", 1, 1).await).is_empty(), "it stalled once: it has to be complete");
    advance(&server, &ann, &large.id, true, vec![chunk(2)]).await.expect("advanced");
    let again = only(&lease(&server, "n", 1).await);
    assert_eq!((again.fence, again.attempt, again.alone), (run.fence + 1, 1, false), "nobody tried it, or died of it");
}

async fn a_returned_lease_goes_to_the_next_without_blame(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(10)).await;
    let run = only(&lease(&server, "a", 10).await);
    report(&server, &run, &[0, 1, 2]).await;
    complete(&server, &run, &[0]).await.expect("completed");
    give_back(&server, &run, ReturnReason::ShuttingDown).await;
    assert_eq!(give_back(&server, &run, ReturnReason::ShuttingDown).await.lost, [key(&run)], "it is not held any more");
    let next = only(&lease(&server, "b", 10).await);
    assert_eq!((next.jobs.as_slice(), next.alone), ([1, 2, 3, 4, 5, 6, 7, 8, 9].as_slice(), false));
    assert_eq!(code(complete(&server, &run, &[1]).await), ErrorCode::Fenced);
}

async fn a_fault_of_nodes_does_not_go_on_for_ever(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let mut attempts = 0;
    while results(&server, &ann).await.is_empty() {
        give_back(&server, &only(&lease(&server, "n", 2).await), ReturnReason::NodeFault).await;
        attempts += 1;
        assert!(attempts < 100, "handed back for ever");
    }
    assert!(attempts > 5, "given up after {attempts} attempts");
    assert_eq!(results(&server, &ann).await, [(0, Outcome::HostFailed), (1, Outcome::HostFailed)]);
}

async fn what_stalls_for_however_long_is_not_given_up(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    for _ in 0..40 {
        give_back(&server, &only(&lease(&server, "n", 2).await), ReturnReason::Stalled).await;
    }
    give_back(&server, &only(&lease(&server, "n", 2).await), ReturnReason::NodeFault).await;
    assert_eq!(results(&server, &ann).await, []);
    assert_eq!(only(&lease(&server, "n", 2).await).attempt, 2, "what no node could fetch was not tried");
}

async fn what_a_node_was_not_told_of_is_no_attempt(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let mut fences = Vec::new();
    for _ in 0..3 {
        let leased = lease(&server, "n", 2).await;
        let run = only(&leased);
        assert_eq!(run.attempt, 1);
        fences.push(run.fence);
        server.queue.take_back(POOL, &leased).await;
    }
    assert!(fences.is_sorted_by(|one, next| one < next), "each is a lease of its own: {fences:?}");
    give_back(&server, &only(&lease(&server, "n", 2).await), ReturnReason::NodeFault).await;
    assert_eq!(only(&lease(&server, "n", 2).await).attempt, 2, "what was handed back was tried");
}

async fn what_nobody_holds_is_told_without_a_turn_to_write(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let run = only(&lease(&server, "n", 2).await);
    give_back(&server, &run, ReturnReason::ShuttingDown).await;
    let writing = site.keep_writing().await;
    let answers = async {
        assert_eq!(give_back(&server, &run, ReturnReason::ShuttingDown).await.lost, [key(&run)]);
        let missing = MissingRequest {
            node: "n".to_owned(),
            lease: key(&run),
            chunks: vec![(0, chunk(0).sha256)],
            header: false,
        };
        assert_eq!(server.queue.missing(POOL, missing).await.expect("an answer").lost, [key(&run)]);
    };
    // Who waits for a turn to write does so for 10 s.
    tokio::time::timeout(Duration::from_secs(5), answers).await.expect("it waits");
    drop(writing);
}

async fn nodes_that_a_full_pool_has_no_room_for_take_no_turn_to_write(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    lease_now(&server, "known", 1, 0).await;
    let most = filemill_api::limits::MAX_POOL_NODES;
    let copy = |numbers: &str| {
        format!(
            "insert into nodes (pool, id, runs, seen_at)
             select n.pool, 'node-' || s.i, n.runs, n.seen_at from nodes n cross join {numbers}
             where n.pool = '{POOL}' and n.id = 'known'"
        )
    };
    let sqlite = format!("with recursive s(i) as (select 1 union all select i + 1 from s where i < {most}) ");
    site.sql(&(sqlite + &copy("s")), &copy(&format!("generate_series(1, {most}) as s(i)"))).await;
    assert_eq!(code(server.queue.lease(POOL, wish("new", 1, 0, 0)).await), ErrorCode::OverQuota);
    let writing = site.keep_writing().await;
    let answers = async {
        for node in ["new", "newer"] {
            assert_eq!(code(server.queue.lease(POOL, wish(node, 1, 0, 0)).await), ErrorCode::OverQuota);
        }
    };
    tokio::time::timeout(Duration::from_secs(1), answers).await.expect("it waits");
    drop(writing);
    // A node that is known goes on.
    send(&server, &ann, &site.bundle(1)).await;
    lease(&server, "node-7", 1).await;
}

async fn a_lease_of_many_uploads_names_few_chunks_of_each(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    for _ in 0..40 {
        send(&server, &ann, &site.large(64)).await;
    }
    let leased = lease(&server, "n", 40).await;
    let chunks: Vec<_> = leased.uploads.iter().map(|work| work.chunks.len()).collect();
    assert_eq!(chunks.len(), 40);
    assert!(chunks.iter().all(|count| *count >= 1) && chunks.iter().sum::<usize>() <= 1024, "{chunks:?}");
    assert_eq!(leased.uploads[0].chunks[0].0, 0, "from the first on");
}

async fn a_report_prolongs_and_names_what_is_lost(site: Arc<Site>) {
    let server = site.server_with(DomainsConfig {
        queue: QueueConfig { lease: Duration::from_secs(1), ..QueueConfig::default() },
        ..DomainsConfig::default()
    });
    let ann = site.user(&server, "acme", "ann").await;
    let upload = send(&server, &ann, &site.bundle(2)).await;
    let run = only(&lease(&server, "n", 2).await);
    let started = std::time::Instant::now();
    // Longer than two leases, and than the beat that ends them.
    while started.elapsed() < Duration::from_millis(2500) {
        let answer = report(&server, &run, &[0]).await;
        assert_eq!((answer.lost, answer.lease_ms), (vec![], 1000));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let waiting = server.queue.jobs(&ann, &upload).await.expect("jobs").waiting;
    assert_eq!(waiting[0].reason, WaitReason::Running { per_mille: 500, attempt: 1 });
    let stranger = filemill_api::LeasedSpan { fence: 7, ..run.clone() };
    assert_eq!(report(&server, &stranger, &[]).await.lost, [key(&stranger)]);
    eventually("the lease is lost without reports", || async {
        let again = lease_now(&server, "m", 2, 0).await;
        (!again.uploads.is_empty()).then_some(())
    })
    .await;
    assert_eq!(report(&server, &run, &[]).await.lost, [key(&run)]);
}

async fn missing_chunks_are_asked_for_and_the_job_runs_again(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let range = |first_index, chunk| FileRange { first_index, count: 1, first_chunk: chunk, last_chunk: chunk };
    let upload = site.upload(3, vec![range(0, 0), range(1, 1), range(2, 2)]);
    send(&server, &ann, &upload).await;
    let first = only(&lease(&server, "a", 1).await);
    let second = only(&lease(&server, "b", 1).await);
    assert_eq!(second.jobs, [1]);
    let missing = MissingRequest {
        node: "b".to_owned(),
        lease: key(&second),
        chunks: vec![(1, chunk(1).sha256), (2, chunk(2).sha256)],
        header: false,
    };
    assert!(server.queue.missing(POOL, missing.clone()).await.expect("an answer").lost.is_empty());
    assert_eq!(
        server.queue.missing(POOL, missing).await.expect("an answer").lost,
        [key(&second)],
        "the lease has ended"
    );
    let asked = events(&server, &ann).await.remove(0);
    assert_eq!(asked.kind, RecordedKind::ChunksMissing { sequences: vec![1] }, "a lease speaks for its own chunks");
    assert!(runs(&lease_now(&server, "b", 8, 8).await).is_empty());
    let state = server.queue.jobs(&ann, &upload.id).await.expect("jobs");
    assert_eq!((state.upload.stored, state.upload.state), (2, UploadState::Uploading));
    assert_eq!(state.waiting[1].reason, WaitReason::ChunksMissing);
    complete(&server, &first, &[0]).await.expect("who holds a lease goes on");
    advance(&server, &ann, &upload.id, false, vec![content(1, 99)]).await.expect("advanced");
    let again = lease(&server, "b", 8).await;
    assert_eq!(runs(&again).iter().map(|run| run.jobs[0]).collect::<Vec<_>>(), [1, 2]);
    complete_all(&server, &again).await;
    assert_eq!(results(&server, &ann).await.len(), 3);
}

async fn a_missing_header_is_asked_for_and_the_jobs_run_again(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(128)).await;
    let run = only(&lease(&server, "a", 64).await);
    let missing = MissingRequest { node: "a".to_owned(), lease: key(&run), chunks: Vec::new(), header: true };
    assert!(server.queue.missing(POOL, missing).await.expect("an answer").lost.is_empty());
    let asked = events(&server, &ann).await.remove(0);
    assert_eq!(asked.kind, RecordedKind::ChunksMissing { sequences: Vec::new() });
    assert!(runs(&lease_now(&server, "b", 128, 128).await).is_empty(), "leased without a header");
    let state = server.queue.jobs(&ann, &id).await.expect("jobs").upload;
    assert_eq!((state.stored, state.state), (1, UploadState::Uploading));
    advance(&server, &ann, &id, true, Vec::new()).await.expect("advanced");
    complete_all(&server, &lease(&server, "b", 128).await).await;
    assert_eq!(results(&server, &ann).await.len(), 128);
}

async fn a_chunk_stored_anew_is_not_missing(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &site.bundle(1)).await;
    let run = only(&lease(&server, "a", 1).await);
    advance(&server, &ann, &id, false, vec![content(0, 50)]).await.expect("advanced");
    let missing =
        MissingRequest { node: "a".to_owned(), lease: key(&run), chunks: vec![(0, chunk(0).sha256)], header: false };
    server.queue.missing(POOL, missing).await.expect("an answer");
    assert!(events(&server, &ann).await.is_empty());
    let again = lease(&server, "a", 1).await;
    assert_eq!(again.uploads[0].chunks[0].1.sha256, content(0, 50).sha256);
}

async fn work_of_one_server_wakes_the_nodes_of_another(site: Arc<Site>) {
    let here = site.server();
    let there = site.other_server(Default::default()).await;
    let ann = site.user(&here, "acme", "ann").await;
    let waiting = tokio::spawn({
        let there = there.clone();
        async move { lease(&there, "n", 5).await }
    });
    send(&here, &ann, &site.bundle(5)).await;
    let leased = waiting.await.expect("no panic");
    let mut listener = here.queue.watch_events(&ann);
    complete_all(&there, &leased).await;
    let seen = tokio::time::timeout(LIMIT, async {
        while events(&here, &ann).await.len() < 5 {
            listener.changed().await;
        }
    });
    seen.await.expect("the listener hears of it");
}

async fn a_node_that_goes_away_while_it_waits_takes_nothing(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let gone =
        tokio::time::timeout(Duration::from_millis(50), server.queue.lease(POOL, wish("gone", 8, 0, 30_000))).await;
    assert!(gone.is_err(), "it waits");
    send(&server, &ann, &site.bundle(8)).await;
    assert_eq!(only(&lease(&server, "here", 8).await).jobs.len(), 8);
}

async fn a_report_is_not_kept_waiting_for_its_node_to_be_written_down(site: Arc<Site>) {
    if site.kind() == Kind::Sqlite {
        // It has one lock for everything.
        return;
    }
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let run = only(&lease(&server, "node", 2).await);
    // Neither has heard of the node.
    let (two, three) = (site.server(), site.server());
    let locked = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.sql("", "begin; lock table nodes; select pg_sleep(4); commit").await }
    });
    eventually("nobody gets at the nodes", async || {
        let asked = tokio::time::timeout(Duration::from_millis(200), lease_now(&site.server(), "m", 1, 0)).await;
        asked.is_err().then_some(())
    })
    .await;
    report(&two, &run, &[0]).await;
    complete(&three, &run, &[0, 1]).await.expect("completed");
    assert!(!locked.is_finished(), "they waited");
    locked.await.expect("no panic");
}

async fn what_a_node_runs_is_written_down_when_it_changes(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    lease_now(&server, "n", 1, 0).await;
    let more = LeaseRequest { abilities: abilities(&[(1, 0), (2, 0)]), ..wish("n", 1, 0, 0) };
    server.queue.lease(POOL, more).await.expect("an answer");
    let release = NewRelease {
        engine: "e".into(),
        version: "1".into(),
        digest: format!("{:064x}", 2),
        contract: 2,
        minor: 0,
        needs: Vec::new(),
        length: 1,
    };
    server.catalog.add_release(&release).await.expect("added");
    let listed = server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases;
    assert!(listed.iter().any(|one| one.digest == release.digest && one.describing), "{listed:?}");
}
