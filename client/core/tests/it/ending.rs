//! How a client ends, and what it counts until then.

use filemill_client::{Error, Event, Note, ProgressNow, Reason, Recovery, SendOptions, Trouble, WatchOptions};

use crate::world::{LIMIT, World, collect, eventually, noise};

/// Watches the folder until `steps` are done, and returns what was counted then.
async fn watch(world: &World, steps: impl AsyncFnOnce(&dyn Fn() -> ProgressNow)) -> ProgressNow {
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let work = async {
        watching.ended().await.unwrap();
        client.close().await;
    };
    let read = async { while told.next().await.is_some() {} };
    let steps = async {
        steps(&|| watching.progress()).await;
        watching.stop();
    };
    let all = async { tokio::join!(work, read, steps) };
    tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    watching.progress()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stop_ends_a_client_whose_server_fails_in_the_middle_of_an_upload() {
    let world = World::new().await;
    world.write("big", noise(40));
    world.fake.lock().faults.hang_puts_from = Some(5);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let fail = async {
        eventually("a PUT", || world.fake.lock().seen.puts >= 5).await;
        world.fake.lock().faults.busy_calls = u32::MAX;
        world.fake.lock().faults.hang_puts_from = None;
        eventually("calls that fail", || world.fake.lock().faults.busy_calls < u32::MAX - 2).await;
        sending.stop();
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), fail);
    assert!(matches!(ran.result, Err(filemill_client::Error::Stopped)), "{:?}", ran.result);
    assert!(sending.has_begun().await.unwrap());
    tokio::time::timeout(LIMIT, client.close()).await.expect("it asks on");
    world.fake.lock().faults.busy_calls = 0;
    let ran = world.resume().await;
    ran.assert_sizes(&[("big", 40 << 16)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_stopped_before_it_began_anything_has_nothing_to_resume() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().pools.clear();
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    sending.stop();
    let ran = collect(&sending, told).await;
    assert!(matches!(ran.result, Err(filemill_client::Error::Stopped)), "{:?}", ran.result);
    assert!(!sending.has_begun().await.unwrap());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_found_again_is_counted_once_and_never_as_done() {
    let world = World::new().await;
    world.write("one", "1");
    world.write("two", "22");
    world.fake.lock().faults.hold_results = true;
    let stored = async |now: &dyn Fn() -> ProgressNow| {
        eventually("both to be stored", || world.fake.lock().files() == 2 && now().stored_bytes == 3).await;
    };
    let first = watch(&world, stored).await;
    assert_eq!((first.found_files, first.found_bytes, first.done_files), (2, 3, 0));
    // The second one waits for them from its beginning, and meets them in the folder besides.
    let second = watch(&world, async |now: &dyn Fn() -> ProgressNow| {
        eventually("both to be waited for", || now().found_files == 2).await;
        world.write("three", "333");
        eventually("the third to be stored", || world.fake.lock().files() == 3).await;
    })
    .await;
    assert_eq!((second.found_files, second.found_bytes, second.done_files), (3, 6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_resumed_is_counted_with_its_bytes() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.hold_results = true;
    let stored = |fake: &crate::fake::Fake| fake.lock().uploads.values().any(|upload| upload.stored.len() == 1);
    world.send_and_die(stored).await;
    let client = world.client().await;
    let (resuming, told) = client.resume();
    let counted = async {
        eventually("it to be counted", || resuming.progress().stored_bytes == 7).await;
        assert_eq!((resuming.progress().found_files, resuming.progress().found_bytes), (1, 7));
        world.fake.process_all();
    };
    let (ran, ()) = tokio::join!(collect(&resuming, told), counted);
    ran.assert_sizes(&[("file", 7)]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_watcher_that_waits_for_its_pool_names_the_files_that_wait() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().pools.clear();
    watch(&world, async |_: &dyn Fn() -> ProgressNow| {
        let mut reasons = Vec::new();
        let start = std::time::Instant::now();
        while reasons.is_empty() {
            assert!(start.elapsed() < LIMIT, "it says nothing");
            let other = world.client().await;
            other.status(|file| reasons.push(file.reason)).await.unwrap();
            other.close().await;
        }
        assert!(matches!(&reasons[..], [Reason::NoRecipient { .. }]), "{reasons:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_reached_its_server_says_what_waits_for_the_next_one() {
    let world = World::new().await;
    world.fake.lock().faults.busy_calls = u32::MAX;
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    while !matches!(told.next().await.expect("it ended"), Event::Trouble(Trouble::Unreachable { .. })) {}
    world.write("one", "1");
    world.write("two", "22");
    watching.stop();
    let ran = collect(&watching, told).await;
    ran.result.unwrap();
    assert!(
        ran.events.iter().any(|event| matches!(event, Event::Note(Note::LeftForLater { count: 2, is_all: true }))),
        "{:?}",
        ran.events
    );
    let now = watching.progress();
    assert_eq!((now.found_files, now.found_bytes, now.done_files), (2, 3, 0));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stored_files_wait_for_can_be_asked_while_they_wait() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.hold_results = true;
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let ask = async {
        let stored = || world.fake.lock().uploads.values().any(|upload| upload.stored.len() == 1);
        eventually("it to be stored", stored).await;
        assert!(matches!(sending.why_waiting().await, Some(Reason::NoProcessor { .. })));
        world.fake.process_all();
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), ask);
    ran.assert_sizes(&[("file", 7)]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_the_same_again_can_ask_what_it_waits_for_too() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.hold_results = true;
    let client = world.client().await;
    let send = |path| client.send(SendOptions { paths: vec![path], ..SendOptions::default() });
    let (first, first_told) = send(world.files().join("file"));
    let copy = world.path("copy");
    let ask = async {
        let stored = || world.fake.lock().uploads.values().any(|upload| upload.stored.len() == 1);
        eventually("it to be stored", stored).await;
        let (again, told) = send(world.files().join("file"));
        eventually("it to be waited for", || again.progress().stored_bytes == 7).await;
        assert!(matches!(again.why_waiting().await, Some(Reason::NoProcessor { .. })));
        // The same content at another path need not be stored at all.
        std::fs::write(&copy, "content").unwrap();
        let (of_copy, copy_told) = send(copy.clone());
        eventually("the copy to be waited for", || of_copy.progress().needless_bytes == 7).await;
        assert!(matches!(of_copy.why_waiting().await, Some(Reason::NoProcessor { .. })));
        world.fake.process_all();
        let (again, of_copy_ran) = tokio::join!(collect(&again, told), collect(&of_copy, copy_told));
        assert_eq!((again.finished.len(), of_copy_ran.finished.len()), (1, 1));
        let now = of_copy.progress();
        assert_eq!((now.needless_bytes, now.stored_bytes, now.done_files), (7, 0, 1), "it was counted twice");
    };
    let (ran, ()) = tokio::join!(collect(&first, first_told), ask);
    ran.assert_sizes(&[("file", 7)]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_requests_and_never_answers_is_said_to_be_waited_for() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.hang_calls = true;
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, mut told) = client.send(options);
    let first = tokio::time::timeout(LIMIT, told.next()).await.expect("it says nothing");
    assert!(matches!(&first, Some(Event::Trouble(Trouble::Silent { .. }))), "{first:?}");
    tokio::time::timeout(LIMIT, client.server_is_silent()).await.expect("others hear nothing of it");
    world.fake.lock().faults.hang_calls = false;
    let ran = collect(&sending, told).await;
    ran.assert_sizes(&[("file", 7)]);
    assert!(matches!(&ran.events[..], [Event::Recovered(Recovery::Server { .. })]), "{:?}", ran.events);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_long_for_one_request_and_answers_others_is_not_said_to_be_silent() {
    let world = World::new().await;
    world.write("file", "content");
    let hangs_from = std::time::Instant::now();
    world.fake.lock().faults.hang_opens = true;
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let others = async {
        // Longer than anybody waits for an answer before it is said.
        while hangs_from.elapsed() < std::time::Duration::from_secs(8) {
            client.status(|_| {}).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        world.fake.lock().faults.hang_opens = false;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), others);
    ran.assert_sizes(&[("file", 7)]);
    assert!(ran.events.is_empty(), "{:?}", ran.events);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_takes_nothing_is_said_and_so_is_that_it_takes_again() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.busy_puts = 6;
    let ran = world.send().await;
    ran.assert_sizes(&[("file", 7)]);
    let is_slow = |error: &Error| error.to_string().contains("keeps failing: SlowDown");
    assert!(
        matches!(
            &ran.events[..],
            [
                Event::Trouble(Trouble::Unreachable { error }),
                Event::Recovered(Recovery::Storage { .. })
            ] if is_slow(error)
        ),
        "{:?}",
        ran.events
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_need_not_be_stored_counts_as_such() {
    let world = World::new().await;
    world.write("same", "content");
    world.send().await.assert_sizes(&[("same", 7)]);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    collect(&sending, told).await.assert_sizes(&[("same", 7)]);
    let now = sending.progress();
    client.close().await;
    assert_eq!((now.found_bytes, now.needless_bytes, now.stored_bytes), (7, 7, 0));
    // What a program that was killed has stored is stored.
    world.write("other", "others");
    world.fake.lock().faults.hold_results = true;
    world.send_and_die(|fake| fake.lock().uploads.values().filter(|upload| upload.told_header).count() == 2).await;
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let process = async {
        eventually("it to count as stored", || sending.progress().stored_bytes == 6).await;
        world.fake.process_all();
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), process);
    ran.assert_sizes(&[("other", 6), ("same", 7)]);
    assert_eq!(sending.progress().stored_bytes, 6);
    client.close().await;
}
