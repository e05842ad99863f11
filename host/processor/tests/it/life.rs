//! Leases that end, servers that say no, and the end of the node itself.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{ReturnReason, SealedBody, paths};
use filemill_guests::Guest;
use filemill_processor::{NodeConfig, NodeError, PoolFolder, Renewal};
use filemill_runtime::{Runtime, RuntimeConfig};
use filemill_seal::{Digest, Outcome};
use tokio_util::sync::CancellationToken;

use super::fake::{Said, World};
use super::mill::{Mill, Sent, noise};

async fn started(mill: &Mill, sent: &Sent) {
    let span = sent.span_of(0);
    mill.fake
        .until("the job starts", |world| {
            world.said.iter().find(|said| matches!(said, Said::Started(key, _) if key.span == span)).map(|_| ())
        })
        .await;
}

fn completed(mill: &Mill, sent: &Sent) -> bool {
    let span = sent.span_of(0);
    mill.fake.world(|world| world.said.iter().any(|said| matches!(said, Said::Completed(key, _) if key.span == span)))
}

/// An engine that loops over files of 10 bytes and counts others, so that a slot can be seen to be free again.
fn loops_over_ten_bytes() -> Vec<u8> {
    let counts = Guest::Counts.text();
    let start = "(call $log (i32.const 1) (i32.const 1100) (i32.const 8))";
    assert!(counts.contains(start));
    let looping = "(if (i64.eq (local.get $size) (i64.const 10)) (then (loop $for_ever (br $for_ever))))";
    filemill_guests::component(&counts.replace(start, looping))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_lost_lease_is_discarded_and_its_slot_is_free_again() {
    let mill = Mill::start_with(loops_over_ten_bytes(), |config| config.slots = 1).await;
    mill.fake.world(|world| world.lease_ms = 300);
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    started(&mill, &sent).await;
    mill.fake.world(|world| world.lost.insert(sent.span_of(0)));
    let other = mill.upload(&[noise(11, 1)]).seal(&mill.fake);
    other.offer(&mill.fake);
    assert_eq!(mill.result(&other, 0).await.outcome, Outcome::Succeeded);
    assert!(!completed(&mill, &sent));
    assert_eq!(mill.end().await.leases_lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_and_leaves_its_slot() {
    let mill = Mill::start_with(loops_over_ten_bytes(), |config| config.slots = 1).await;
    mill.fake.world(|world| world.lease_ms = 300);
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    started(&mill, &sent).await;
    mill.fake.world(|world| world.cancelled.insert(sent.span_of(0)));
    // The server gives its jobs their verdict then, rather than when the lease has run out.
    mill.fake.returned(sent.span_of(0)).await;
    let other = mill.upload(&[noise(11, 1)]).seal(&mill.fake);
    other.offer(&mill.fake);
    assert_eq!(mill.result(&other, 0).await.outcome, Outcome::Succeeded);
    assert!(!completed(&mill, &sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_engine_costs_no_lease() {
    let mill = Mill::start_with(loops_over_ten_bytes(), |config| config.slots = 1).await;
    mill.fake.world(|world| world.lease_ms = 300);
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    started(&mill, &sent).await;
    let before = mill.fake.world(|world| world.reports);
    mill.fake.until("ten heartbeats", |world| (world.reports >= before + 10).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lease_is_reported_from_its_beginning() {
    let mill = Mill::start_with(super::counts(), |config| config.stall = Duration::from_secs(60)).await;
    mill.fake.world(|world| world.lease_ms = 300);
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    // Its chunk does not come: nothing starts, and the lease is held all the same.
    mill.fake.offer(sent.leased.clone(), Vec::new());
    mill.fake.until("twenty heartbeats", |world| (world.reports >= 20).then_some(())).await;
    assert!(!completed(&mill, &sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_completion_is_dropped_and_the_others_count() {
    let mill = Mill::start(super::counts()).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    mill.fake.world(|world| world.fenced.insert(sent.span_of(0)));
    sent.offer(&mill.fake);
    let other = mill.upload(&[noise(11, 1)]).seal(&mill.fake);
    other.offer(&mill.fake);
    let completion = mill.fake.completion(other.span_of(0), 0).await;
    assert!(matches!(completion.sealed, Some(SealedBody::Inline(_))));
    let totals = mill.end().await;
    assert_eq!((totals.jobs_completed, totals.leases_lost), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_comes_back_under_a_new_claim_is_run_under_that() {
    let mill = Mill::start_with(loops_over_ten_bytes(), |config| config.slots = 1).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    started(&mill, &sent).await;
    // The same run, as another upload's, so that this time it ends.
    let again = mill.upload(&[noise(11, 1)]).seal(&mill.fake);
    let span = sent.span_of(0);
    again.offer_with(&mill.fake, |leased| {
        leased.spans[0].span = span;
        leased.spans[0].fence = 2;
    });
    let completion = mill.fake.completion(span, 0).await;
    assert_eq!(mill.open(&again, &completion)[0].outcome, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_finishes_what_runs_and_hands_back_the_rest() {
    let mill = Mill::start_with(loops_over_ten_bytes(), |config| {
        config.slots = 1;
        config.grace = Duration::from_millis(300);
    })
    .await;
    // One job loops in the only slot, two wait behind it.
    let sent = mill.upload(&[noise(10, 1), noise(11, 2), noise(12, 3)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    started(&mill, &sent).await;
    let fake = mill.fake.clone();
    let totals = mill.end().await;
    assert_eq!(fake.returned(sent.span_of(0)).await, ReturnReason::ShuttingDown);
    assert_eq!((totals.jobs_completed, totals.leases_returned), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_nothing_to_do_stops_at_once() {
    let mill = Mill::start(super::counts()).await;
    mill.fake
        .until("a question for work", |world| {
            world.said.iter().find_map(|said| match said {
                Said::Leased(request) => Some(request.clone()),
                _ => None,
            })
        })
        .await;
    mill.stop();
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pools_statement_is_published_at_the_start() {
    let mill = Mill::start(super::counts()).await;
    let published = mill
        .fake
        .until("a publication", |world| {
            world.said.iter().find_map(|said| match said {
                Said::Published(signed) => Some(signed.clone()),
                _ => None,
            })
        })
        .await;
    let pool = PoolFolder::open(&mill.pool_dir()).expect("the pool");
    assert_eq!(serde_json::to_value(&published).expect("JSON"), serde_json::to_value(pool.signed()).expect("JSON"));
}

fn rotate(mill: &Mill) -> PoolFolder {
    let mut pool = PoolFolder::open(&mill.pool_dir()).expect("the pool");
    pool.renew(Renewal::NewIdentity, None).expect("rotated");
    pool
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_read_as_soon_as_a_header_needs_it() {
    let mill = Mill::start(super::counts()).await;
    let before = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    before.offer(&mill.fake);
    assert_eq!(mill.result(&before, 0).await.outcome, Outcome::Succeeded);
    rotate(&mill);
    let after = mill.upload(&[noise(10, 2)]).seal(&mill.fake);
    after.offer(&mill.fake);
    assert_eq!(mill.result(&after, 0).await.outcome, Outcome::Succeeded);
    assert_eq!(mill.end().await.leases_returned, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_refused_gives_way_to_a_newer_one() {
    let mill = Mill::stopped(super::counts()).await;
    mill.fake.world(|world| world.conflicts.insert(paths::POOLS.to_owned()));
    let mill = mill.started();
    mill.fake
        .until("a refusal", |world| {
            world.said.iter().find(|said| matches!(said, Said::Refused(path) if path == paths::POOLS)).map(|_| ())
        })
        .await;
    let newest = rotate(&mill);
    mill.fake.world(|world| world.conflicts.clear());
    // Its header makes the node read the folder again.
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    let newest = serde_json::to_value(newest.signed()).expect("JSON");
    mill.fake
        .until("the newest statement", |world| {
            world.said.iter().find_map(|said| match said {
                Said::Published(signed) if serde_json::to_value(signed).expect("JSON") == newest => Some(()),
                _ => None,
            })
        })
        .await;
}

async fn refusal(mill: &Mill, change: impl FnOnce(&mut NodeConfig)) -> NodeError {
    let mut config = mill.config();
    change(&mut config);
    let runtime = Runtime::new(RuntimeConfig::default()).expect("a runtime");
    filemill_processor::run(config, vec![Arc::new(runtime)], CancellationToken::new())
        .await
        .expect_err("it does not start")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_work_says_why_and_what_to_do() {
    let mill = Mill::stopped(super::counts()).await;
    let error = refusal(&mill, |config| config.token = "wrong".to_owned().into()).await;
    assert!(error.to_string().contains("refuses the token"), "{error}");
    assert!(error.hint().contains("filemill-server token"), "{}", error.hint());
    assert!(!error.to_string().contains("hint"), "one is enough: {error}");

    // What answers there is the storage.
    let storage = mill.fake.storage.clone();
    let error = refusal(&mill, |config| config.server = storage.parse().expect("a URL")).await;
    assert!(error.to_string().contains("does not answer as a filemill server"), "{error}");
    assert!(error.hint().contains("`listening`"), "{}", error.hint());

    // A newer server refuses for a reason of which this version does not know.
    mill.fake.world(|world| {
        world.conflicts.insert(paths::WHOAMI.to_owned());
        world.newer_code = Some("outdated");
    });
    let error = refusal(&mill, |_| {}).await;
    assert!(error.to_string().ends_with("it answers 409 Conflict: it is too old"), "{error}");
    mill.fake.world(|world| world.conflicts.clear());

    let error = refusal(&mill, |config| config.slots = 0).await;
    assert_eq!(error.to_string(), "--slots takes 1 to 1024");

    let error = refusal(&mill, |config| config.server = "http://filemill.example.org".parse().expect("a URL")).await;
    assert_eq!(error.to_string(), "`http://filemill.example.org` is asked over plain http");

    let error = refusal(&mill, |config| config.pool_dir = mill.dir().join("none")).await;
    assert!(error.to_string().ends_with("holds no pool: `pool.json` is missing"), "{error}");

    let elsewhere = mill.fake.elsewhere.clone();
    mill.fake.world(|world| world.stores_on = vec![elsewhere.clone()]);
    let error = refusal(&mill, |_| {}).await;
    let said = format!("the server stores on {elsewhere}, and --storage-origin names only {}", mill.fake.storage);
    assert_eq!(error.to_string(), said);
    assert_eq!(error.hint(), format!("add --storage-origin {elsewhere} if you trust it"));
    mill.fake.world(|world| {
        assert!(
            !world.said.iter().any(|said| matches!(said, Said::Leased(_))),
            "it would hand back all that it leases"
        );
        world.stores_on.clear();
    });

    mill.fake.world(|world| world.pool = Some("other".into()));
    let error = refusal(&mill, |_| {}).await;
    assert_eq!(error.to_string(), "the token is for the pool `other`, the pool's folder is that of `lab`");
    assert!(error.hint().ends_with("--pool lab`"), "{}", error.hint());

    mill.fake.world(|world| world.scope = "user".into());
    let error = refusal(&mill, |_| {}).await;
    assert_eq!(error.to_string(), "the token has scope `user`, a processor needs `processor`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_says_so_at_once_though_a_job_of_it_still_runs() {
    let mill = Mill::start_with(loops_over_ten_bytes(), |config| {
        config.slots = 1;
        // More than the test waits: it is said before that has passed.
        config.grace = Duration::from_secs(600);
    })
    .await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    started(&mill, &sent).await;
    mill.stop();
    let engines = mill
        .fake
        .until("the last offer", |world| {
            world.said.iter().any(|said| matches!(said, Said::SignedOff)).then(|| world.offered.last().map(Vec::len))
        })
        .await;
    assert_eq!(engines, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_servers_database_lost_is_told_again() {
    let mill = Mill::stopped(super::counts()).await;
    let digest = Digest::of(&mill.component).to_string();
    mill.fake.world(|world| world.describe = vec![digest.clone()]);
    let mill = mill.started();
    let told = |world: &World| {
        let published = world.said.iter().filter(|said| matches!(said, Said::Published(_))).count();
        (published, world.described.len())
    };
    mill.fake.until("statement and description", |world| (told(world) == (1, 1)).then_some(())).await;
    mill.fake.world(|world| {
        world.lacks = vec!["statement".to_owned(), "what only a newer server has".to_owned()];
        world.lacks_descriptions = vec![digest];
        world.unavailable.insert(paths::LEASES.to_owned(), 1);
    });
    // The node asks for more then, and finds that the server was away.
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    mill.fake.until("both once more", |world| (told(world) == (2, 2)).then_some(())).await;
    mill.fake.world(|world| {
        assert!(world.described.windows(2).all(|two| two[0] == two[1]));
        let asked = world.said.iter().find_map(|said| match said {
            Said::Leased(request) => request.told.clone(),
            _ => None,
        });
        let asked = asked.expect("it named what it had told");
        assert!(asked.statement.is_some() && asked.descriptions.len() == 1, "{asked:?}");
    });
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    mill.end().await;
}
