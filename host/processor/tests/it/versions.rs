//! Servers of both versions of the API, and what a node says that it has.

use filemill_api::{LeaseRequest, ReturnReason, SealedBody, paths};
use filemill_guests::guest;
use filemill_seal::Outcome;

use super::counts;
use super::fake::{Said, Speaks, World};
use super::mill::{Mill, Sent, noise};

/// How often the server was asked for this, by both versions.
fn calls(world: &World, path: &str) -> (u32, u32) {
    let asked = |path: &str| world.calls.get(path).copied().unwrap_or(0);
    (asked(&paths::in_v1(path)), asked(path))
}

fn asked(world: &World) -> Option<LeaseRequest> {
    world.said.iter().find_map(|said| match said {
        Said::Leased(request) => Some(request.clone()),
        _ => None,
    })
}

async fn speaking(speaks: Speaks) -> Mill {
    let mill = Mill::stopped(counts()).await;
    mill.fake.world(|world| world.speaks = speaks);
    mill.started()
}

fn offer(mill: &Mill, seed: u64) -> Sent {
    let sent = mill.upload(&[noise(10, seed), noise(300_000, seed), noise(20, seed)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    sent
}

async fn succeeds(mill: &Mill, sent: &Sent) {
    for index in 0..3 {
        assert_eq!(mill.result(sent, index).await.outcome, Outcome::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_names_all_that_it_has() {
    let mill = Mill::start_with(counts(), |config| config.abilities = vec!["gpu".into(), "licence:x".into()]).await;
    let request = mill.fake.until("a question for work", asked).await;
    let expected =
        ["backend:component", "contract:1.0", "contract:2.0", "gpu", "header:2", "licence:x", "long_parameters"];
    assert_eq!(request.abilities, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_version_1_is_asked_in_its_words() {
    let mill = speaking(Speaks::One).await;
    succeeds(&mill, &offer(&mill, 1)).await;
    let request = mill.fake.until("a question for work", asked).await;
    assert_eq!(request.abilities, ["contract:1.0", "contract:2.0", "backend:component", "long_parameters"]);
    mill.fake
        .until("the pool's statement", |world| {
            world.said.iter().any(|said| matches!(said, Said::Published(_))).then_some(())
        })
        .await;
    mill.fake.world(|world| {
        let by_version_2 = |path: &str| calls(world, path).1;
        for path in [paths::LEASES, paths::LEASE_REPORT, paths::RESULTS, paths::POOLS] {
            assert!(calls(world, path).0 > 0, "{path}");
        }
        assert!(by_version_2(paths::WHOAMI) <= 2 && by_version_2(paths::RESULTS) == 0, "{:?}", world.calls);
    });
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_lost, totals.leases_returned), (3, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_today_is_never_asked_in_version_1() {
    let mill = speaking(Speaks::Both).await;
    succeeds(&mill, &offer(&mill, 1)).await;
    mill.fake.world(|world| {
        assert!(world.calls.keys().all(|path| !paths::is_v1(path)), "{:?}", world.calls);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_back_to_version_1_and_comes_again_costs_nothing() {
    let mill = speaking(Speaks::Both).await;
    succeeds(&mill, &offer(&mill, 1)).await;
    mill.fake.world(|world| world.speaks = Speaks::One);
    succeeds(&mill, &offer(&mill, 2)).await;
    mill.fake.world(|world| world.speaks = Speaks::Both);
    succeeds(&mill, &offer(&mill, 3)).await;
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_lost, totals.leases_returned), (9, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_version_2_has_words_for_waits_for_it_under_its_lease() {
    let mill = Mill::stopped(counts()).await;
    // It is of version 1 from when the lease was given.
    mill.fake.world(|world| (world.speaks_then, world.lease_ms) = (Some(Speaks::One), 30_000));
    let mill = mill.started();
    let mut sent = mill.upload_two(&[noise(10, 1), noise(20, 2)], vec![mill.task()]).seal(&mill.fake);
    sent.leased.chunks = sent.chunks.clone();
    sent.offer(&mill.fake);
    mill.fake.until("three attempts", |world| (calls(world, paths::RESULTS).1 >= 3).then_some(())).await;
    mill.fake.world(|world| {
        assert_eq!(calls(world, paths::RESULTS).0, 0, "nothing of it goes by version 1");
        assert!(!world.said.iter().any(|said| matches!(said, Said::Completed(..) | Said::Returned(..))));
    });
    // What version 1 has words for is in its way no more than it is in theirs.
    let other = offer(&mill, 3);
    succeeds(&mill, &other).await;
    mill.fake.world(|world| world.speaks = Speaks::Both);
    for job in 0..2 {
        assert_eq!(mill.result(&sent, job).await.outcome, Outcome::Succeeded);
    }
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_lost, totals.leases_returned), (5, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_version_2_keeps_no_slot_for_longer_than_a_lease_lasts() {
    let mill = Mill::stopped(counts()).await;
    // It knows the lease, and confirms it for ever.
    mill.fake.world(|world| (world.speaks_then, world.lease_ms) = (Some(Speaks::One), 2000));
    let mill = mill.started_with(|config| config.slots = 1);
    // More results than there is room for.
    let task = mill.another_task(&guest!(echoes_its_parameters), &format!(r#"{{"a":"{}"}}"#, "x".repeat(300_000)));
    let files: Vec<_> = (0..40).map(|n| noise(10, n)).collect();
    let mut sent = mill.upload_two(&files, vec![task]).seal(&mill.fake);
    sent.leased.chunks = sent.chunks.clone();
    assert_eq!(sent.leased.spans.len(), 1);
    sent.offer(&mill.fake);
    mill.fake.until("an attempt", |world| (calls(world, paths::RESULT_URLS).1 >= 1).then_some(())).await;
    succeeds(&mill, &offer(&mill, 1)).await;
    assert_eq!(mill.fake.results(sent.span_of(0)), []);
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_lost, totals.leases_returned), (3, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_a_server_of_version_1_does_not_know_is_not_given_up() {
    let mill = Mill::stopped(counts()).await;
    mill.fake.world(|world| world.speaks_then = Some(Speaks::One));
    let mill = mill.started();
    let mut sent = mill.upload_two(&[noise(10, 1)], vec![mill.task()]).seal(&mill.fake);
    sent.leased.chunks = sent.chunks.clone();
    let span = sent.span_of(0);
    mill.fake.world(|world| world.lost.insert(span));
    sent.offer(&mill.fake);
    mill.fake.until("an attempt", |world| (calls(world, paths::RESULTS).1 >= 1).then_some(())).await;
    mill.fake.world(|world| {
        world.speaks = Speaks::Both;
        world.lost.clear();
    });
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    assert_eq!(mill.end().await.leases_lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_which_nobody_knows_any_more_ends_when_it_has_run_out() {
    let mill = Mill::stopped(counts()).await;
    mill.fake.world(|world| (world.speaks_then, world.lease_ms) = (Some(Speaks::One), 600));
    let mill = mill.started();
    let mut sent = mill.upload_two(&[noise(10, 1)], vec![mill.task()]).seal(&mill.fake);
    sent.leased.chunks = sent.chunks.clone();
    let span = sent.span_of(0);
    mill.fake.world(|world| world.lost.insert(span));
    sent.offer(&mill.fake);
    mill.fake.until("an attempt", |world| (calls(world, paths::RESULTS).1 >= 1).then_some(())).await;
    let totals = mill.end().await;
    assert_eq!((totals.leases_lost, totals.leases_returned), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_both_versions_behind_one_address_lose_nothing() {
    let mill = speaking(Speaks::InTurn).await;
    for seed in 1..4 {
        succeeds(&mill, &offer(&mill, seed)).await;
    }
    let mut sent = mill.upload_two(&[noise(10, 1), noise(20, 2)], vec![mill.task()]).seal(&mill.fake);
    sent.leased.chunks = sent.chunks.clone();
    sent.offer(&mill.fake);
    for job in 0..2 {
        let result = mill.fake.completion(sent.span_of(job), job).await;
        assert!(matches!(result.sealed, Some(SealedBody::Inline(_))), "{result:?}");
        mill.open(&sent, &result);
    }
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_lost, totals.leases_returned), (11, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_taken_for_an_older_server() {
    let mill = Mill::stopped(counts()).await;
    let component = mill.fake.world(|world| world.component.take());
    let mill = mill.started();
    let sent = offer(&mill, 1);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    mill.fake.world(|world| world.component = component);
    succeeds(&mill, &offer(&mill, 2)).await;
    mill.fake.world(|world| {
        assert_eq!(calls(world, paths::LEASES).0 + calls(world, paths::RESULTS).0, 0, "{:?}", world.calls);
    });
}
