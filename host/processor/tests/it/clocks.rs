//! Clocks that differ: this machine's and the server's.

use filemill_api::{ReturnReason, SignedStatement};
use filemill_processor::PoolFolder;
use filemill_seal::{Outcome, PoolRoot, Statement};

use super::fake::Said;
use super::mill::{Mill, Sent, noise, now};

const DAY: i64 = 24 * 3600;

/// An upload that lasts so many seconds from now on.
fn lasts(mill: &Mill, seconds: i64) -> Sent {
    let mut upload = mill.upload(&[noise(10, 1)]);
    upload.header.not_after = now().checked_add_signed(seconds).expect("a time");
    upload.seal(&mill.fake)
}

async fn ahead(seconds: i64) -> Mill {
    let mill = Mill::stopped(super::counts()).await;
    // The server is behind by what the node is ahead.
    mill.fake.world(|world| world.date_ahead = Some(-seconds));
    mill.started()
}

fn asked_for_work(mill: &Mill) -> usize {
    mill.fake.world(|world| world.said.iter().filter(|said| matches!(said, Said::Leased(_))).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_ahead_hands_back_what_is_over_by_its_clock_alone() {
    let mill = ahead(8 * DAY).await;
    mill.fake.world(|world| world.never_held = true);
    let sent = lasts(&mill, -DAY);
    sent.offer(&mill.fake);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    assert_eq!(sent.fetched(&mill.fake, 0), 0);
    // It may have asked before it judged. Whoever compares clocks has no question open.
    let compared = mill.fake.world(|world| world.whoami_calls);
    mill.fake.until("a comparison of clocks", |world| (world.whoami_calls > compared).then_some(())).await;
    let asked = asked_for_work(&mill);
    let again = lasts(&mill, -DAY);
    // The clocks agree: it asks for work again, and judges.
    mill.fake.world(|world| world.date_ahead = Some(0));
    // However often it came back: that was no fault of the job.
    again.offer_with(&mill.fake, |leased| leased.spans[0].attempt = 9);
    assert_eq!(mill.result(&again, 0).await.outcome, Outcome::Refused);
    assert!(asked_for_work(&mill) > asked);
    assert_eq!(mill.end().await.leases_returned, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_by_one_clock_only_never_runs_whatever_the_server_says() {
    for (node_ahead, seconds) in [(8 * DAY, -DAY), (400 * DAY, -1), (-8 * DAY, DAY)] {
        let mill = ahead(node_ahead).await;
        let sent = lasts(&mill, seconds);
        sent.offer_with(&mill.fake, |leased| leased.spans[0].attempt = 9);
        assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault, "{node_ahead} {seconds}");
        assert_eq!(sent.fetched(&mill.fake, 0), 0);
        assert_eq!(mill.end().await.jobs_completed, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_by_both_clocks_is_refused_and_what_lasts_by_both_runs() {
    for node_ahead in [8 * DAY, -8 * DAY, 60] {
        let mill = ahead(node_ahead).await;
        let over = lasts(&mill, -9 * DAY);
        over.offer(&mill.fake);
        assert_eq!(mill.result(&over, 0).await.outcome, Outcome::Refused);
        let going = lasts(&mill, 30 * DAY);
        going.offer(&mill.fake);
        assert_eq!(mill.result(&going, 0).await.outcome, Outcome::Succeeded);
    }
}

/// The pool's root, which the folder has.
fn root(mill: &Mill) -> PoolRoot {
    let text = std::fs::read_to_string(mill.pool_dir().join("root.key")).expect("the root");
    let seed = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).expect("hex");
    PoolRoot::from_seed(&seed.try_into().expect("32 bytes"))
}

fn signed(mill: &Mill, serial: u64, not_before: u64) -> serde_json::Value {
    let recipient = PoolFolder::open(&mill.pool_dir()).expect("the folder").identities()[0].recipient();
    let statement =
        Statement { pool: "lab".into(), recipient, not_before, not_after: not_before + 7 * DAY as u64, serial };
    serde_json::to_value(root(mill).sign(&statement).expect("a statement")).expect("JSON")
}

/// A folder whose statement a clock signed that was a year ahead, for some seconds.
fn sign_next_year(mill: &Mill) {
    let (path, begin) = (mill.pool_dir().join("pool.json"), now() + 365 * DAY as u64);
    let mut record: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).expect("a record")).expect("JSON");
    let current = &mut record["current"];
    current["signed"] = signed(mill, 2, begin);
    current["not_before"] = begin.into();
    current["not_after"] = (begin + 7 * DAY as u64).into();
    current["serial"] = 2.into();
    std::fs::write(path, record.to_string()).expect("written");
}

fn published(said: &Said) -> Option<u64> {
    let Said::Published(signed) = said else { return None };
    serde_json::from_str::<serde_json::Value>(&signed.statement).expect("JSON")["serial"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_for_next_year_is_replaced_by_one_that_clients_take() {
    for date_ahead in [None, Some(0)] {
        let mill = Mill::stopped(super::counts()).await;
        sign_next_year(&mill);
        mill.fake.world(|world| world.date_ahead = date_ahead);
        let mill = mill.started();
        let serial = mill.fake.until("a statement", |world| world.said.iter().find_map(published)).await;
        assert_eq!(serial, 3);
        let folder = PoolFolder::open(&mill.pool_dir()).expect("the folder");
        folder.enrolment().verify(folder.signed(), now(), 2).expect("it is valid now");
        mill.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_by_a_clock_that_is_not_the_servers() {
    let mill = Mill::stopped(super::counts()).await;
    // It is to be renewed by this clock, which the server contradicts.
    sign_next_year(&mill);
    mill.fake.world(|world| world.date_ahead = Some(8 * DAY));
    let mill = mill.started();
    let serial = mill.fake.until("a statement", |world| world.said.iter().find_map(published)).await;
    assert_eq!(serial, 2, "what there is is told");
    assert_eq!(PoolFolder::open(&mill.pool_dir()).expect("the folder").serial(), 2);
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_restored_signs_above_what_its_root_has_signed_since() {
    let mill = Mill::stopped(super::counts()).await;
    let since: SignedStatement = serde_json::from_value(signed(&mill, 9, now())).expect("the same JSON");
    // Nothing that another key signed counts.
    let forged = SignedStatement { signature: "ab".repeat(64), statement: since.statement.replace(":9", ":99") };
    mill.fake.world(|world| world.pools = vec![since.clone()]);
    let mill = mill.started();
    let serial = mill.fake.until("a statement", |world| world.said.iter().find_map(published)).await;
    assert_eq!(serial, 10);
    mill.end().await;
    let mill = Mill::stopped(super::counts()).await;
    mill.fake.world(|world| world.pools = vec![forged]);
    let mill = mill.started();
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    mill.result(&sent, 0).await;
    assert_eq!(PoolFolder::open(&mill.pool_dir()).expect("the folder").serial(), 1);
    mill.end().await;
}
