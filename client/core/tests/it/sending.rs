//! Files out, results in.

use std::fs;

use filemill_api::ErrorCode;
use filemill_client::{
    AwaitedThing, Ending, Error, Event, Note, Reason, SendOptions, SkipReason, Trouble, WatchOptions,
};

use crate::world::{LIMIT, World, collect, eventually, noise};

#[tokio::test(flavor = "multi_thread")]
async fn every_file_gets_its_result_in_two_requests_a_bundle() {
    let world = World::new().await;
    for index in 0..500 {
        world.write(&format!("dir{}/f{index:03}", index % 7), vec![b'x'; index * 10 % 777]);
    }
    let ran = world.send().await;
    ran.result.as_ref().unwrap();
    assert_eq!(ran.finished.len(), 500);
    assert!(ran.finished.iter().all(|file| file.ending.succeeded() && file.sha256.is_some()));
    let inner = world.fake.lock();
    assert_eq!(inner.uploads.len(), 1, "500 small files are one bundle");
    let calls = inner.seen.opens + inner.seen.advances;
    assert!(calls <= 8, "{calls} requests for one bundle");
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_around_chunks_empty_and_strange_names_all_arrive() {
    use std::os::unix::ffi::OsStrExt;

    let world = World::new().await;
    world.write("a-empty", "");
    world.write("b-chunk", vec![1; 64 << 10]);
    world.write("c-chunk-and-one", vec![2; (64 << 10) + 1]);
    world.write("d-many", (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    world.write("e\nline", "newline");
    fs::write(world.files().join(std::ffi::OsStr::from_bytes(b"f\xff")), "not utf-8").unwrap();
    std::os::unix::fs::symlink(".", world.files().join("loop")).unwrap();
    let ran = world.send().await;
    ran.assert_sizes(&[
        ("a-empty", 0),
        ("b-chunk", 65536),
        ("c-chunk-and-one", 65537),
        ("d-many", 4_000_000),
        ("e\nline", 7),
        ("f\u{fffd}", 9),
    ]);
    assert!(ran.events.iter().any(|event| matches!(event, Event::Skipped { path, .. } if path.ends_with("loop"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_storage_expired_urls_and_a_busy_server_only_cost_time() {
    let world = World::new().await;
    {
        let faults = &mut world.fake.lock().faults;
        faults.busy_puts = 3;
        faults.expired_puts = 3;
        faults.busy_calls = 3;
    }
    world.write("file", vec![7; 300_000]);
    world.send().await.assert_sizes(&[("file", 300_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_stream_is_asked_for_pages() {
    let world = World::new().await;
    world.fake.lock().faults.no_stream = true;
    world.write("file", "content");
    world.send().await.assert_sizes(&[("file", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_stops_with_a_message_and_loses_nothing() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.revoked = true;
    let ran = world.send().await;
    assert!(matches!(ran.result, Err(Error::Unauthenticated { .. })), "{:?}", ran.result);
    world.fake.lock().faults.revoked = false;
    world.send().await.assert_sizes(&[("file", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_fails_by_itself() {
    let world = World::new().await;
    world.write("good", "content");
    let paths = vec![world.files(), world.path("missing")];
    let ran = world.send_with(SendOptions { paths, ..SendOptions::default() }).await;
    ran.result.as_ref().unwrap();
    let summary = ran.summary(&world.files());
    assert!(summary.contains("good: {\"bytes\":7}") && summary.contains("missing: it does not exist"), "{summary}");
    let engines: Vec<&str> = ran.finished.iter().map(|file| file.engine.as_str()).collect();
    assert_eq!(engines, ["size", ""], "what does not exist goes to no engine");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_sent_once_unless_asked() {
    let world = World::new().await;
    world.write("one", "the same content");
    world.send().await.assert_sizes(&[("one", 16)]);
    world.write("two", "the same content");
    let ran = world.send().await;
    ran.assert_sizes(&[("one", 16), ("two", 16)]);
    assert!(ran.finished.iter().all(|file| file.reused));
    assert_eq!(world.fake.lock().uploads.len(), 1);
    let again = SendOptions { paths: vec![world.files()], again: true, ..SendOptions::default() };
    world.send_with(again).await.assert_sizes(&[("one", 16), ("two", 16)]);
    assert_eq!(world.fake.lock().uploads.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_new() {
    let world = World::new().await;
    world.write("file", "before");
    world.send().await.assert_sizes(&[("file", 6)]);
    world.write("file", "behind");
    let ran = world.send().await;
    ran.assert_sizes(&[("file", 6)]);
    assert!(!ran.finished[0].reused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_under_the_reader_is_sent_again_and_shown_once() {
    let world = World::new().await;
    let path = world.write("file", vec![1; 4 << 20]);
    world.write("neighbour", "calm");
    // The first chunks hang in storage: the rest is not read before they are through, for lack of buffers.
    world.fake.lock().faults.hang_puts_from = Some(1);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let change = async {
        eventually("a PUT", || world.fake.lock().seen.puts > 1).await;
        fs::write(&path, vec![2; 3 << 20]).unwrap();
        world.fake.lock().faults.hang_puts_from = None;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), change);
    client.close().await;
    ran.assert_sizes(&[("file", 3 << 20), ("neighbour", 4)]);
    assert!(ran.events.iter().any(|event| matches!(event, Event::SentAgain { .. })), "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_results_are_kept_and_open_again() {
    let world = World::new().await;
    world.write("sub/file.txt", "content");
    let export = world.path("out");
    let options = SendOptions { paths: vec![world.files()], export: Some(export.clone()), ..SendOptions::default() };
    world.send_with(options).await.assert_sizes(&[("file.txt", 7)]);
    let client = world.client().await;
    let opened = client.open_file(&export.join("sub/file.txt.age")).await.unwrap();
    assert!(opened.ending.succeeded());
    assert_eq!(opened.size, 7);
    fs::write(export.join("broken.age"), "nonsense").unwrap();
    assert!(matches!(client.open_file(&export.join("broken.age")).await, Err(Error::NotSealed { .. })));
    let mut cut = fs::read(export.join("sub/file.txt.age")).unwrap();
    cut.pop();
    fs::write(export.join("broken.age"), cut).unwrap();
    assert!(matches!(client.open_file(&export.join("broken.age")).await, Err(Error::Result(_))));
    let page = client.results(0).await.unwrap();
    assert_eq!(page.files.len(), 1);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_were_kept_in_a_folder_are_not_sent_by_a_later_command_and_everything_else_there_is() {
    let world = World::new().await;
    world.write("file", "content");
    let export = Some(world.files().join("results"));
    let options = SendOptions { paths: vec![world.files()], export, ..SendOptions::default() };
    world.send_with(options).await.assert_sizes(&[("file", 7)]);
    world.write("results/letter", "in it, too");
    let results = |event: &Event| matches!(event, Event::Skipped { reason: SkipReason::KeptResults, .. });
    // Also if it is named itself.
    let named = SendOptions { paths: vec![world.files().join("results")], ..SendOptions::default() };
    for ran in [world.send_with(named).await, world.send().await] {
        assert!(ran.finished.iter().all(|file| !file.path.to_string_lossy().ends_with(".age")), "{:?}", ran.finished);
        assert!(ran.finished.iter().any(|file| file.path.ends_with("results/letter")), "{:?}", ran.finished);
        assert!(ran.events.iter().any(results), "{:?}", ran.events);
    }
    // And the status of a watcher gives the same reason.
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let read = async {
        let mut finished = 0;
        while let Some(event) = told.next().await {
            finished += usize::from(matches!(event, Event::Finished(_)));
            if finished == 2 {
                let other = world.client().await;
                let mut reasons = Vec::new();
                other.status(|file| reasons.push((file.path, file.reason))).await.unwrap();
                other.close().await;
                let why = Reason::Skipped { reason: SkipReason::KeptResults };
                assert_eq!(reasons, [(world.files().join("results"), why)]);
                watching.stop();
            }
        }
    };
    let work = async {
        watching.ended().await.unwrap();
        client.close().await;
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(work, read) }).await.expect("it took too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_several_times_is_sent_and_counted_once() {
    let world = World::new().await;
    let file = world.write("sub/file", "content");
    let (dotted, missing) = (world.files().join("./sub/../sub/file"), world.files().join("missing"));
    let paths = vec![
        file.clone(),
        file.clone(),
        dotted,
        world.files(),
        world.files().join("sub"),
        missing.clone(),
        world.files().join("./missing"),
    ];
    let client = world.client().await;
    let (sending, told) = client.send(SendOptions { paths, ..SendOptions::default() });
    let ran = collect(&sending, told).await;
    let summary = ran.summary(&world.files());
    assert_eq!(summary, "missing: it does not exist\nsub/file: {\"bytes\":7}\n");
    let now = sending.progress();
    assert_eq!((now.found_files, now.found_bytes, now.done_files), (2, 7, 2));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nothing_is_there_to_send_is_told_with_what_was_left_out() {
    let world = World::new().await;
    let nothing = async |ignore: &[&str]| {
        let ignore = ignore.iter().map(|glob| (*glob).to_owned()).collect();
        let ran = world.send_with(SendOptions { paths: vec![world.files()], ignore, ..SendOptions::default() }).await;
        ran.result.unwrap();
        let of = |event| if let Event::Note(note) = event { note } else { panic!("{event:?}") };
        ran.events.into_iter().map(of).collect::<Vec<_>>()
    };
    let named = vec![world.files()];
    let none = Note::NothingFound { named: named.clone(), files: 0, folders: 0, by_pattern: 0, built_in: 0 };
    assert_eq!(nothing(&[]).await, [none]);
    world.write("a.txt", "1");
    world.write("b.txt", "2");
    world.write("sub/c", "3");
    let all = Note::NothingFound { named, files: 2, folders: 1, by_pattern: 3, built_in: 0 };
    assert_eq!(nothing(&["*.txt", "sub"]).await, [all]);
    assert_eq!(nothing(&["*.txt"]).await, [], "one was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_and_quarantined_files_say_that_the_server_said_so() {
    let world = World::new().await;
    world.fake.lock().faults.cheat = crate::fake::Cheat::Quarantine;
    world.write("file", "content");
    let ran = world.send().await;
    assert!(matches!(ran.finished[0].ending, Ending::EndedByServer { .. }), "{ran:?}");

    world.fake.lock().faults.hold_results = true;
    world.write("other", "content of another");
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files().join("other")], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let cancel = async {
        eventually("the upload", || world.fake.lock().uploads.len() == 2).await;
        let other = world.client().await;
        assert_eq!(other.cancel(&[], |_, _| {}).await.unwrap(), 1);
        other.close().await;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), cancel);
    client.close().await;
    assert_eq!(ran.summary(&world.files()), "other: cancelled (said by the server)\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_why_each_file_waits() {
    let world = World::new().await;
    world.fake.lock().faults.hold_results = true;
    world.write("file", "content");
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let ask = async {
        let other = world.client().await;
        eventually("everything to be stored", || {
            world.fake.lock().uploads.values().any(|upload| !upload.stored.is_empty())
        })
        .await;
        let mut reasons = Vec::new();
        other.status(|file| reasons.push(file.reason.code())).await.unwrap();
        other.close().await;
        world.fake.process_all();
        reasons
    };
    let (ran, reasons) = tokio::join!(collect(&sending, told), ask);
    client.close().await;
    ran.assert_sizes(&[("file", 7)]);
    assert_eq!(reasons, ["no_processor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_take_yet_is_asked_again_ever_more_seldom_and_said() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.refused_advances = (4, Some(ErrorCode::OverQuota));
    let ran = world.send().await;
    ran.assert_sizes(&[("file", 7)]);
    let said = |event: &&Event| matches!(event, Event::Trouble(Trouble::UploadRefused { refusal, .. }) if refusal.message == "not now");
    // Said when it was refused twice in a row, not when it was refused once, four times.
    assert_eq!(ran.events.iter().filter(said).count(), 1, "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_the_server_lost_is_the_reason_that_is_said() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.refused_opens = (u32::MAX, Some(ErrorCode::NotFound));
    let ran = world.send().await;
    let said = ran.summary(&world.files());
    assert!(said.starts_with("file: it was sent 5 times in vain") && said.ends_with(": not now\n"), "{said}");
    // Once it is there again.
    world.fake.lock().faults.refused_opens = (1, Some(ErrorCode::NotFound));
    world.send().await.assert_sizes(&[("file", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_in_an_upload_that_is_cancelled_gets_a_last_word() {
    let world = World::new().await;
    // All of the second file lies in the last chunk.
    let first = world.write("a", noise(40));
    let second = world.write("b", "content");
    world.fake.lock().faults.hang_puts_from = Some(5);
    let client = world.client().await;
    let options = SendOptions { paths: vec![first, second.clone()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let cancel = async {
        eventually("a PUT", || world.fake.lock().seen.puts >= 5).await;
        fs::write(&second, "another content").unwrap();
        world.fake.lock().faults.hang_puts_from = Some(42);
        eventually("the last PUT", || world.fake.lock().seen.puts >= 42).await;
        let other = world.client().await;
        other.cancel(&[], |_, _| {}).await.unwrap();
        other.close().await;
        world.fake.lock().faults.hang_puts_from = None;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), cancel);
    client.close().await;
    ran.result.as_ref().unwrap();
    let said = ran.summary(&world.files());
    assert_eq!(said, "a: cancelled (said by the server)\nb: cancelled (said by the server)\n");
    assert!(world.resume().await.finished.is_empty(), "it was sent although it was cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_long_for_an_upload_fails_by_itself() {
    let world = World::new().await;
    world.write("good", "content");
    // Only its length is large. A chunk has 64 KiB here, and an upload at most 2^20 of them.
    fs::File::create(world.files().join("sparse")).unwrap().set_len((64 << 30) + 1).unwrap();
    let ran = world.send().await;
    ran.result.as_ref().unwrap();
    let said = ran.summary(&world.files());
    assert!(said.contains("good: {\"bytes\":7}") && said.contains("sparse: it is too long for one upload: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_storage_lost_does_not_keep_the_others_back() {
    let world = World::new().await;
    {
        let mut inner = world.fake.lock();
        (inner.faults.result_not_found, inner.faults.batch_of) = (Some((0, u32::MAX)), Some(1));
    }
    for name in ["a", "b", "c"] {
        world.write(name, name.repeat(5));
    }
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let others = async {
        eventually("the others", || sending.progress().done_files == 2).await;
        // It is said before it is asked for again.
        eventually("the third to be asked for again", || !world.fake.lock().seen.wanted.is_empty()).await;
        sending.stop();
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), others);
    client.close().await;
    assert_eq!(ran.finished.iter().filter(|file| file.ending.succeeded()).count(), 2);
    let waits = |event: &Event| matches!(event, Event::Waiting { reason: AwaitedThing::Result { detail }, .. } if detail.contains("NoSuchKey (404"));
    assert!(ran.events.iter().any(waits), "{:?}", ran.events);
    world.fake.lock().faults.result_not_found = Some((0, 0));
    let ran = world.send().await;
    assert_eq!(ran.finished.iter().filter(|file| file.ending.succeeded()).count(), 3);
}
