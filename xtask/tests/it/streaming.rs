//! Processing begins while the upload still runs, and an upload that stands still is nobody else's loss.
//!
//! Order is taken from what was recorded, not from a clock: the number of stored chunks is read *after* an event was seen,
//! so it is at least what it was when the event happened.

use anyhow::{Context, Result};
use xtask::stack::ProcessorOptions;
use xtask::wait;

use crate::harness::{Backend, Deed, LIMIT, Stage, on_both};

on_both!(the_engine_reads_before_half_of_a_slow_upload_is_stored, an_upload_that_stands_still_holds_no_slot,);

/// Bytes a second of the slow uplink.
const UPLINK: u32 = 20_000_000;

fn the_engine_reads_before_half_of_a_slow_upload_is_stored(backend: Backend) -> Result<()> {
    const SIZE: u64 = 400_000_000;
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    let recorded = stage.processor(ProcessorOptions::default())?;
    let file = stage.folder("files")?.write_incompressible("large", SIZE)?;
    between.storage.limit_uplink(UPLINK);
    let ada = stage.person("ada")?;
    let sending = ada.start_sending([&file])?;

    recorded.until("job first byte", |_| true)?;
    let stored = between.storage.stored_chunks().len();
    let uploads = ada.asker().uploads()?;
    let chunks = uploads.first().context("the upload is done already")?.chunks as usize;
    assert!(chunks >= 40, "{chunks} chunks are no test");
    assert!(stored < chunks / 2, "{stored} of {chunks} chunks were stored before the engine read a byte");

    let lines = sending.end(LIMIT)?.well()?.lines()?;
    assert_eq!(lines[0].number("bytes"), Some(SIZE));
    // The uplink was the bottleneck, so nothing went over it twice.
    assert_eq!(between.storage.stored_chunks().len(), chunks);
    stage.end()
}

fn an_upload_that_stands_still_holds_no_slot(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    let recorded = stage.processor(ProcessorOptions { slots: Some(1), ..ProcessorOptions::default() })?;
    let files = stage.folder("files")?;
    let large = files.write_incompressible("large", 30 << 20)?;
    let small = files.write("small", b"one line\n")?;

    // Everything behind the first chunk of a larger upload waits.
    between.storage.rule(|asked| match asked.sequence() {
        Some(1..) if asked.is_chunk_put() => Deed::Hold,
        _ => Deed::Pass,
    });
    let slow = stage.person("slow")?;
    let standing = slow.start_sending([&large])?;
    recorded.until("job first byte", |_| true)?;
    let upload = slow.asker().uploads()?.remove(0).id;

    // Others go on, on the only slot.
    let quick = stage.person("quick")?;
    let lines = quick.send([&small])?.well()?.lines()?;
    assert_eq!(lines[0].number("lines"), Some(1));
    assert!(slow.asker().results()?.is_empty());

    // The lease goes back in time, and is not taken again while the upload stands still.
    let back = recorded.until("returned stalled", |event| event.text("upload") == Some(&upload))?;
    let waited =
        back.seconds_after(&recorded.until("job first byte", |event| event.text("upload") == Some(&upload))?)?;
    assert!(waited < 15.0, "handed back after {waited} s instead of 10");
    let leases = |upload: &str| -> Result<usize> {
        let leases = recorded.all("lease")?;
        Ok(leases.iter().filter(|event| event.text("upload") == Some(upload)).count())
    };
    assert_eq!(leases(&upload)?, 1);
    quick.send([&files.write("another", b"one\ntwo\n")?])?.well()?;
    assert_eq!(leases(&upload)?, 1, "a stalled upload was leased again before it was complete");

    between.storage.pass();
    let lines = standing.end(LIMIT)?.well()?.lines()?;
    assert_eq!(lines[0].number("bytes"), Some(30 << 20));
    assert_eq!(leases(&upload)?, 2);
    wait::until("no upload to be left", LIMIT, || Ok(slow.asker().uploads()?.is_empty().then_some(())))?;
    stage.end()
}
