//! Engines that read a file of many chunks by offset.

use filemill_seal::Outcome;

use super::mill::{Mill, noise};

/// The length of a chunk, and of the file's reads.
const CHUNK: usize = 64 << 10;
const ROUNDS: usize = 400;

/// Reads a byte of each chunk in turn, [`ROUNDS`] times over.
fn reads_back_and_forth() -> Vec<u8> {
    filemill_guests::component(&format!(
        r#";; access: seekable
(data (i32.const 1024) "{{}}")
(func (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $input i32) (param $parameters i32) (param $parameters_len i32)
  (result i32)
  (local $round i32) (local $at i64)
  (loop $rounds
    (local.set $at (i64.const 0))
    (loop $chunks
      (call $reset)
      (call $read_at (local.get $input) (local.get $at) (i64.const 1) (i32.const 16))
      (if (i32.load8_u (i32.const 16)) (then unreachable))
      (local.set $at (i64.add (local.get $at) (i64.const {CHUNK})))
      (br_if $chunks (i64.lt_u (local.get $at) (local.get $size))))
    (local.set $round (i32.add (local.get $round) (i32.const 1)))
    (br_if $rounds (i32.lt_u (local.get $round) (i32.const {ROUNDS}))))
  (call $report (i32.const 1024) (i32.const 2)))"#
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_is_read_as_often_as_an_engine_likes() {
    let mill = Mill::start(reads_back_and_forth()).await;
    let sent = mill.upload(&[noise(4 * CHUNK, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    let result = mill.result(&sent, 0).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{:?}", result.failure);
    assert_eq!((0..4).map(|sequence| sent.fetched(&mill.fake, sequence)).sum::<u32>(), 4);
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_stay_in_memory_is_fetched_so_often_and_no_more() {
    let mill = Mill::start_with(reads_back_and_forth(), |config| config.memory_budget_bytes = 1 << 20).await;
    // Twice what may be in memory, so that each is gone when it is wanted again.
    let chunks = 32;
    let sent = mill.upload(&[noise(chunks as usize * CHUNK, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    let result = mill.result(&sent, 0).await;
    let failure = result.failure.expect("it does not get through");
    assert!(failure.message.contains("back and forth"), "{}", failure.message);
    let fetched: u32 = (0..chunks).map(|sequence| sent.fetched(&mill.fake, sequence)).sum();
    // Eight of each and 64, and one for the verdict.
    assert_eq!(fetched, 8 * chunks + 64 + 1);
    mill.end().await;
}
