//! What went away comes back: results that cannot be fetched now, and servers that have forgotten.

use filemill_client::{AwaitedThing, Ending, Event, Note, Reason, SendOptions};

use crate::fake::Cheat;
use crate::world::{Ran, World, collect, eventually, noise};

fn everything(world: &World) -> SendOptions {
    SendOptions { paths: vec![world.files()], ..SendOptions::default() }
}

/// Why results could not be fetched, as was told of files that wait for them.
fn waits(ran: &Ran) -> Vec<String> {
    let reason = |event: &Event| match event {
        Event::Waiting { reason: AwaitedThing::Result { detail }, .. } => Some(detail.clone()),
        Event::Waiting { reason, .. } => panic!("{reason:?}"),
        _ => None,
    };
    ran.events.iter().filter_map(reason).collect()
}

/// Sends everything in the folder; while that runs, does `meanwhile`.
async fn send_while(world: &World, meanwhile: impl Future<Output = ()>) -> Ran {
    let client = world.client().await;
    let (sending, told) = client.send(everything(world));
    let (ran, ()) = tokio::join!(collect(&sending, told), meanwhile);
    client.close().await;
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_downloads_lose_no_result() {
    for (old, damaged) in [(false, 1), (false, 9), (true, 9)] {
        let world = World::new().await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.old, inner.faults.large_results, inner.faults.damaged_downloads) = (old, true, damaged);
        }
        world.write("a", "content");
        let ran = world.send().await;
        ran.assert_sizes(&[("a", 7)]);
        assert_eq!(!waits(&ran).is_empty(), damaged > 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_storage_does_not_hand_out_is_waited_for_and_says_so() {
    for old in [false, true] {
        let world = World::new().await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.old, inner.faults.result_not_found) = (old, Some((0, u32::MAX)));
        }
        for name in ["a", "b"] {
            world.write(name, name.repeat(5));
        }
        let meanwhile = async {
            let other = world.client().await;
            let reason = async || {
                let mut reasons = Vec::new();
                other.status(|file| reasons.push(file.reason)).await.unwrap();
                reasons.into_iter().find_map(|reason| match reason {
                    Reason::StillToFetch { detail } => Some(detail),
                    _ => None,
                })
            };
            let reason = loop {
                if let Some(reason) = reason().await {
                    break reason;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            };
            assert!(reason.contains("NoSuchKey (404 Not Found)"), "{reason}");
            other.close().await;
            world.fake.lock().faults.result_not_found = Some((0, 0));
        };
        let ran = send_while(&world, meanwhile).await;
        ran.assert_sizes(&[("a", 5), ("b", 5)]);
        let (wanted, fetched) = {
            let seen = &world.fake.lock().seen;
            (seen.wanted.len(), seen.fetched.len())
        };
        assert!(old || (wanted > 0 && fetched == 1), "{wanted} {fetched}");
        assert_eq!(world.send().await.finished.iter().filter(|file| !file.reused).count(), 0, "told twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_were_asked_for_while_storage_lacked_them_are_there_later() {
    for old in [false, true] {
        let world = World::new().await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.old, inner.faults.result_not_found) = (old, Some((0, u32::MAX)));
            inner.faults.hold_results = true;
        }
        world.write("a", "content");
        let stored = |fake: &crate::fake::Fake| fake.lock().uploads.values().any(|upload| upload.stored.len() == 1);
        world.send_and_die(stored).await;
        world.fake.process_all();
        let client = world.client().await;
        let still = client.fetch_results().await.unwrap().left;
        assert_eq!(still.len(), 1, "{still:?}");
        assert!(still[0].path.ends_with("a") && still[0].reason.contains("NoSuchKey"), "{still:?}");
        assert!(client.results(0).await.unwrap().files.is_empty(), "it was given up");
        assert_eq!(client.fetch_results().await.unwrap().left.len(), 1, "the cursor went on, and the result with it");
        world.fake.lock().faults.result_not_found = Some((0, 0));
        assert!(client.fetch_results().await.unwrap().left.is_empty());
        let page = client.results(0).await.unwrap();
        assert!(page.files.len() == 1 && page.files[0].ending.succeeded(), "{page:?}");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_not_given_up_because_a_server_is_busy_or_has_given_its_events_number_to_another() {
    for old in [false, true] {
        let world = World::new().await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.old, inner.faults.result_not_found) = (old, Some((0, u32::MAX)));
            // More often than one call is tried.
            inner.faults.refused_fetches = if old { 0 } else { 6 };
        }
        world.write("a", "content");
        let meanwhile = async {
            let is_asked = |read_again: u32, refused: u32| {
                let inner = world.fake.lock();
                if old { inner.seen.read_again >= read_again } else { inner.faults.refused_fetches <= 6 - refused }
            };
            eventually("it to be asked for again", || is_asked(1, 1)).await;
            let upload = world.fake.lock().events[0].upload.clone();
            if old {
                world.fake.lock().events[0].upload = filemill_seal::UploadId::random().to_string();
            }
            eventually("it to be asked for once more", || is_asked(3, 6)).await;
            let mut inner = world.fake.lock();
            inner.events[0].upload = upload;
            inner.faults.result_not_found = Some((0, 0));
        };
        let ran = send_while(&world, meanwhile).await;
        ran.assert_sizes(&[("a", 7)]);
        assert!(old || world.fake.lock().seen.read_again == 0, "the events were read for each result");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_run_waits_for_is_said_to_be_still_to_fetch() {
    let world = World::new().await;
    world.fake.lock().faults.result_not_found = Some((0, u32::MAX));
    world.fake.lock().faults.hold_results = true;
    world.write("a", "content");
    let stored = |fake: &crate::fake::Fake| fake.lock().uploads.values().any(|upload| upload.stored.len() == 1);
    world.send_and_die(stored).await;
    world.fake.process_all();
    let client = world.client().await;
    assert_eq!(client.fetch_results().await.unwrap().left.len(), 1);
    client.close().await;
    // Other results come with their events.
    world.fake.lock().faults.result_not_found = Some((9, u32::MAX));
    let other = world.write("b", "other");
    let ran = world.send_with(SendOptions { paths: vec![other], ..SendOptions::default() }).await;
    ran.assert_sizes(&[("b", 5)]);
    assert_eq!(waits(&ran), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_saying_that_it_is_another_is_left_alone_in_between() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.resets = 4;
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 7)]);
    let is_said = |event: &&Event| matches!(event, Event::Note(Note::OtherDatabase));
    assert_eq!(ran.events.iter().filter(is_said).count(), 4, "it was read on in the same stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_forgot_of_a_running_programs_upload_is_sent_again_by_that_program() {
    let world = World::new().await;
    world.fake.lock().faults.hold_results = true;
    world.write("first/.gitignore", "x");
    world.write("first/a", "content");
    world.write("second/b", "content");
    let send = |folder: &str| SendOptions { paths: vec![world.files().join(folder)], ..SendOptions::default() };
    let (first, second) = (world.client_of(1).await, world.client().await);
    let (first_sending, first_told) = first.send(send("first"));
    // It has told one thing, that rules do not count, and tells nothing else as long as this is not let go of.
    let held = tokio::sync::Notify::new();
    let first_ran = async {
        tokio::select! {
            result = first_sending.ended() => panic!("it ended before it was asked to go on: {result:?}"),
            () = held.notified() => {}
        }
        collect(&first_sending, first_told).await
    };
    let second_ran = async {
        eventually("the first to wait", || world.fake.lock().seen.advances > 0).await;
        let (sending, told) = second.send(send("second"));
        collect(&sending, told).await
    };
    let meanwhile = async {
        eventually("the second to wait", || world.fake.lock().seen.streams == 2).await;
        let waits = async || {
            let mut waiting = 0;
            let third = world.client().await;
            third.status(|_| waiting += 1).await.unwrap();
            third.close().await;
            waiting
        };
        while waits().await < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let asked_before = {
            let mut inner = world.fake.lock();
            inner.life += 1;
            inner.uploads.clear();
            inner.order.clear();
            inner.faults.resets = 2;
            inner.seen.asked_about
        };
        eventually("the second to look", || world.fake.lock().seen.asked_about > asked_before).await;
        world.fake.lock().faults.hold_results = false;
        held.notify_one();
    };
    let (first_ran, second_ran, ()) = tokio::join!(first_ran, second_ran, meanwhile);
    first_ran.assert_sizes(&[(".gitignore", 1), ("a", 7)]);
    second_ran.assert_sizes(&[("b", 7)]);
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_the_server_has_thrown_away_is_the_end_of_the_wait() {
    let world = World::new().await;
    world.fake.lock().faults.result_not_found = Some((0, u32::MAX));
    world.write("a", "content");
    let meanwhile = async {
        eventually("it to be asked for again", || !world.fake.lock().seen.wanted.is_empty()).await;
        world.fake.lock().faults.results_gone = true;
    };
    let ran = send_while(&world, meanwhile).await;
    ran.result.as_ref().unwrap();
    let said = ran.summary(&world.files());
    assert!(said.contains("the server does not have the result any more"), "{said}");
    assert!(matches!(ran.finished[0].ending, Ending::NotShown { .. }));
    // And then it can be sent again.
    {
        let mut inner = world.fake.lock();
        (inner.faults.result_not_found, inner.faults.results_gone) = (None, false);
    }
    world.send().await.assert_sizes(&[("a", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_result_that_is_damaged_on_its_way_is_asked_for_again() {
    let world = World::new().await;
    world.fake.lock().faults.damaged_inline = 1;
    world.write("a", "content");
    world.send().await.assert_sizes(&[("a", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_that_is_forged_is_not_waited_for() {
    let world = World::new().await;
    {
        let mut inner = world.fake.lock();
        (inner.faults.large_results, inner.faults.cheat) = (true, Cheat::Forge);
    }
    world.write("a", "content");
    let ran = world.send().await;
    let said = ran.summary(&world.files());
    assert!(said.starts_with("a: result was not made by a processor of the pool"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_silences_nobody_and_tells_nothing_twice() {
    let world = World::new().await;
    world.write("a", "1");
    world.send().await.assert_sizes(&[("a", 1)]);
    let backup = world.fake.back_up();
    for (name, content) in [("b", "12"), ("c", "123"), ("d", "1234")] {
        world.write(name, content);
    }
    assert_eq!(world.send().await.finished.len(), 4);
    world.fake.restore(&backup);
    // Its results have numbers that others had before the client's cursor.
    world.write("e", "12345");
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]);
    assert_eq!(world.fake.lock().uploads.len(), 2, "what has its result was sent again");
    let client = world.client().await;
    client.fetch_results().await.unwrap();
    assert_eq!(client.results(0).await.unwrap().files.len(), 5);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_database_forgot_while_it_was_waited_for_is_sent_again() {
    for (old, content) in [(false, vec![b'x'; 9]), (false, noise(20)), (true, noise(20))] {
        let world = World::new().await;
        world.fake.lock().faults.old = old;
        world.write("a", "1");
        world.send().await.assert_sizes(&[("a", 1)]);
        let backup = world.fake.back_up();
        world.write("b", &content);
        world.fake.lock().faults.hold_results = true;
        let meanwhile = async {
            let waits = || world.fake.lock().uploads.values().filter(|upload| upload.told_header).count() == 2;
            eventually("everything to be stored", || {
                waits()
                    && world.fake.lock().uploads.values().all(|upload| upload.stored.len() as u32 == upload.open.chunks)
            })
            .await;
            world.fake.restore(&backup);
            world.fake.lock().faults.hold_results = false;
        };
        let ran = send_while(&world, meanwhile).await;
        ran.assert_sizes(&[("a", 1), ("b", content.len() as u64)]);
        assert_eq!(world.fake.lock().uploads.len(), 2, "the same upload was opened again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_while_nobody_ran_is_sent_again_by_resume() {
    let world = World::new().await;
    let backup = world.fake.back_up();
    world.write("a", "content");
    world.fake.lock().faults.hold_results = true;
    let stored = |fake: &crate::fake::Fake| fake.lock().uploads.values().any(|upload| upload.stored.len() == 1);
    world.send_and_die(stored).await;
    world.fake.restore(&backup);
    world.fake.lock().faults.hold_results = false;
    world.resume().await.assert_sizes(&[("a", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_a_failover_forgot_are_sent_again_though_the_cursor_is_good() {
    for (chunks, upload_too) in [(20, false), (20, true), (1, false)] {
        let world = World::new().await;
        world.write("a", noise(chunks));
        world.fake.lock().faults.hold_results = true;
        let meanwhile = async {
            eventually("everything to be stored", || {
                let inner = world.fake.lock();
                inner.uploads.values().any(|upload| upload.stored.len() as u32 == upload.open.chunks)
            })
            .await;
            // The client has heard that all is stored, and waits.
            eventually("the journal to know", || {
                let inner = world.fake.lock();
                inner.seen.advances > 0
            })
            .await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let mut inner = world.fake.lock();
            inner.life += 1;
            for upload in inner.uploads.values_mut() {
                upload.stored.clear();
                upload.lost = true;
            }
            if upload_too {
                inner.uploads.clear();
                inner.order.clear();
            }
            inner.faults.hold_results = false;
        };
        let ran = send_while(&world, meanwhile).await;
        ran.assert_sizes(&[("a", (chunks as u64) << 16)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_at_the_end_of_all_numbers_spoils_nothing() {
    for old in [false, true] {
        let world = World::new().await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.old, inner.faults.last_cursor) = (old, true);
        }
        world.write("a", "1");
        world.send().await.assert_sizes(&[("a", 1)]);
        assert!(!world.fake.lock().faults.last_cursor, "it was not sent");
        world.write("b", "12");
        world.send().await.assert_sizes(&[("a", 1), ("b", 2)]);
        let client = world.client().await;
        client.fetch_results().await.unwrap();
        client.close().await;
        world.write("c", "123");
        world.send().await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captive_portal_before_the_server_ends_no_run_and_loses_nothing() {
    let world = World::new().await;
    world.write("a", "content");
    // Also one that says what a server says of tokens and paths.
    world.fake.lock().faults.portal = 5;
    world.send().await.assert_sizes(&[("a", 7)]);
    assert_eq!(world.fake.lock().faults.portal, 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_journal_that_has_no_room_costs_no_key_of_what_is_on_its_way() {
    use std::process::Command;

    use filemill_client::{Error, begin_new_journal};

    use crate::minding::SmallDisk;

    let world = World::new().await;
    let (home, aside) = (world.path("home"), world.path("aside"));
    std::fs::rename(&home, &aside).unwrap();
    let Some(disk) = SmallDisk::mount(&home, 8192) else { return };
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&home).status().unwrap().success());
    for number in 0..300 {
        world.write(&format!("{number:03}-{}", "name".repeat(50)), format!("{number}"));
    }
    world.fake.lock().faults.hold_results = true;
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| !upload.stored.is_empty())).await;
    let journal = home.join("journal.db");
    // All of it lies in one file then.
    let client = world.client().await;
    client.close().await;
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes.windows(7).position(|window| window == b"200-nam").expect("a file's name is there") / 4096 * 4096;
    bytes[at..at + 4096].fill(0x5a);
    std::fs::write(&journal, bytes).unwrap();
    disk.fill();
    for _ in 0..2 {
        let error = begin_new_journal(&world.home()).await.unwrap_err();
        assert!(matches!(error, Error::JournalFull { .. }), "{error:?}");
    }
    disk.free();
    let new = begin_new_journal(&world.home()).await.unwrap();
    assert!(new.uploads > 0 && new.files > 200, "{new:?}");
    assert!(new.aside.is_some_and(|aside| aside.exists()));
}
