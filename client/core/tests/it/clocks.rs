//! This machine's clock is not the server's.

use filemill_client::Error;
use filemill_seal::PoolError;

use crate::world::World;

const DAY: u64 = 24 * 3600;
/// 2015-01-01 and 2100-01-01, in seconds since 1970.
const LONG_AGO: (&str, u64) = ("Thu, 01 Jan 2015 00:00:00 GMT", 1_420_070_400);
const FAR_AHEAD: (&str, u64) = ("Fri, 01 Jan 2100 00:00:00 GMT", 4_102_444_800);

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_named_where_it_makes_a_good_recipient_unusable() {
    for ((date, there), side) in [(LONG_AGO, "ahead of"), (FAR_AHEAD, "behind")] {
        let world = World::new().await;
        world.write("file", "content");
        {
            let mut fake = world.fake.lock();
            fake.faults.date = Some(date);
            fake.pools = vec![fake.statement_between(2, there - DAY, there + DAY)];
        }
        let ran = world.send().await;
        let Err(error @ Error::Clock { .. }) = ran.result else { panic!("{:?}", ran.result) };
        assert!(error.to_string().contains(side) && error.to_string().contains("days"), "{error}");
        assert!(world.fake.lock().uploads.is_empty());
        // It was mended, or the server's: the next one is accepted, and its serial is not too low.
        {
            let mut fake = world.fake.lock();
            fake.faults.date = None;
            fake.pools = vec![fake.statement(1)];
        }
        world.send().await.assert_sizes(&[("file", 7)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_that_is_over_for_everybody_else_before_it_begins() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.date = Some(FAR_AHEAD.0);
    let ran = world.send().await;
    assert!(matches!(ran.result, Err(Error::Clock { ahead_s, .. }) if ahead_s < 0), "{:?}", ran.result);
    assert!(world.fake.lock().uploads.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_from_the_future_is_passed_over_for_one_that_holds() {
    let world = World::new().await;
    world.write("file", "content");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let early = world.fake.lock().statement_between(7, now + 365 * DAY, now + 372 * DAY);
    let current = world.fake.lock().statement(6);
    world.fake.lock().pools = vec![early.clone(), current];
    world.send().await.assert_sizes(&[("file", 7)]);
    // Alone it is refused, and by a clock that is right that is no matter of the clock.
    world.fake.lock().pools = vec![early];
    world.write("file", "other content");
    let ran = world.send().await;
    assert!(matches!(ran.result, Err(Error::Pool(PoolError::NotYetValid { .. }))), "{:?}", ran.result);
    // It counts for nothing: the one that replaces it is accepted, and so is the one before.
    let current = world.fake.lock().statement(6);
    world.fake.lock().pools = vec![current];
    world.send().await.assert_sizes(&[("file", 13)]);
}
