//! Storage that fails, and what answers in its place.

use filemill_client::{Error, Event, SendOptions, Trouble, WatchOptions};

use crate::world::{World, collect};

#[tokio::test(flavor = "multi_thread")]
async fn a_captive_portal_before_storage_gives_no_file_up() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.portal_puts = 5;
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 7)]);
    let said = |event: &Event| matches!(event, Event::Trouble(Trouble::Unreachable { error: Error::Storage { .. } }));
    assert!(ran.events.iter().any(said), "{:?}", ran.events);
    let inner = world.fake.lock();
    assert_eq!((inner.faults.portal_puts, inner.uploads.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_storage_refuses_has_not_failed_and_is_gone_on_with() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.refused_puts = true;
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let ran = collect(&sending, told).await;
    let Err(error @ Error::Storage { .. }) = &ran.result else { panic!("{:?}", ran.result) };
    assert_eq!(error.code(), "storage");
    assert!(ran.finished.is_empty(), "{:?}", ran.finished);
    let now = sending.progress();
    assert_eq!((now.found_files, now.done_files, now.failed_files), (1, 0, 0));
    client.close().await;
    world.fake.lock().faults.refused_puts = false;
    world.resume().await.assert_sizes(&[("a", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_whose_storage_refuses_goes_on_by_itself_and_says_so() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.refused_puts = true;
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (_watching, mut told) = client.watch(options);
    let stalled =
        |event: &Event| matches!(event, Event::Trouble(Trouble::UploadStalled { error: Error::Storage { .. }, .. }));
    while !stalled(&told.next().await.expect("it ended")) {}
    client.close().await;
}
