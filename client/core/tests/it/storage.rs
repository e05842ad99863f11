//! Storage that fails, and what answers in its place.

use filemill_client::{Error, Notice, SendOptions, WatchOptions};
use tokio_util::sync::CancellationToken;

use crate::world::{World, collect};

#[tokio::test(flavor = "multi_thread")]
async fn a_captive_portal_before_storage_gives_no_file_up() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.portal_puts = 5;
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 7)]);
    let said = |notice: &Notice| matches!(notice, Notice::Trouble { message, .. } if message.ends_with("trying again"));
    assert!(ran.notices.iter().any(said), "{:?}", ran.notices);
    let inner = world.fake.lock();
    assert_eq!((inner.faults.portal_puts, inner.uploads.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_storage_refuses_has_not_failed_and_is_gone_on_with() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.refused_puts = true;
    let (client, told) = world.client().await;
    let stop = CancellationToken::new();
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let ran = collect(client.send(options, &stop), told).await;
    let Err(error @ Error::Storage { .. }) = &ran.result else { panic!("{:?}", ran.result) };
    assert!(error.hint().is_some_and(|hint| hint.contains("filemill resume")), "{error}");
    assert!(ran.finished.is_empty(), "{:?}", ran.finished);
    let now = client.progress().now();
    assert_eq!((now.found_files, now.done_files, now.failed_files), (1, 0, 0));
    client.close().await;
    world.fake.lock().faults.refused_puts = false;
    world.resume().await.assert_sizes(&[("a", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_whose_storage_refuses_says_that_it_goes_on_by_itself() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.refused_puts = true;
    let (client, mut told) = world.client().await;
    let stop = CancellationToken::new();
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let hint = async {
        loop {
            match told.recv().await.expect("it ended") {
                Notice::Trouble { message, hint } if message.contains("does not go on") => break hint,
                _ => {}
            }
        }
    };
    let hint = tokio::select! {
        ended = client.watch(options, &stop) => panic!("{ended:?}"),
        hint = hint => hint.unwrap_or_default(),
    };
    assert!(hint.contains("goes on by itself") && !hint.contains("filemill resume"), "{hint}");
    client.close().await;
}
