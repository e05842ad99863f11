//! Killed at any moment, and going on.

use std::fs;

use filemill_client::{Event, Reason, SendOptions};

use crate::world::{LIMIT, World, collect, eventually, noise};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_upload_goes_on_from_what_is_stored() {
    let world = World::new().await;
    world.write("large", noise(60));
    world.fake.lock().faults.hang_puts_from = Some(20);
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.stored.len() >= 12)).await;
    let before = world.fake.lock().seen.puts;
    world.fake.lock().faults.hang_puts_from = None;
    let ran = world.send().await;
    ran.assert_sizes(&[("large", 60 << 16)]);
    let inner = world.fake.lock();
    assert_eq!(inner.uploads.len(), 1, "it went on with the same upload");
    // The header and what was not stored; and eight that were on their way when it was killed may be counted only now.
    let sent = inner.seen.puts - before;
    assert!(sent <= 1 + (60 - 12) + 8, "{sent} objects were sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_results_it_still_gets_each_once() {
    let world = World::new().await;
    for index in 0..50 {
        world.write(&format!("f{index:02}"), vec![b'a'; index]);
    }
    world.fake.lock().faults.hold_results = true;
    world
        .send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.told_header && !upload.stored.is_empty()))
        .await;
    world.fake.process_all();
    let ran = world.send().await;
    assert_eq!(ran.finished.len(), 50);
    assert!(ran.finished.iter().all(|file| file.ending.succeeded()), "{}", ran.summary(&world.files()));
    assert_eq!(world.fake.lock().uploads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_meanwhile_is_never_mixed_with_what_was_sent() {
    let world = World::new().await;
    let path = world.write("large", noise(40));
    world.fake.lock().faults.hang_puts_from = Some(20);
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.stored.len() >= 8)).await;
    let mut content = noise(40);
    content[5] ^= 1;
    fs::write(&path, &content).unwrap();
    world.fake.lock().faults.hang_puts_from = None;
    let ran = world.resume().await;
    ran.assert_sizes(&[("large", 40 << 16)]);
    // The fake's processor checks the hash of what it got.
    assert_eq!(ran.finished[0].sha256, Some(filemill_seal::Digest::of(&content)));
    let inner = world.fake.lock();
    assert_eq!((inner.uploads.len(), inner.seen.cancels), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_finishes_everything_without_being_told_what() {
    let world = World::new().await;
    world.write("large", noise(40));
    world.write("small", "x");
    world.fake.lock().faults.hang_puts_from = Some(20);
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.stored.len() >= 8)).await;
    world.fake.lock().faults.hang_puts_from = None;
    world.resume().await.assert_sizes(&[("large", 40 << 16), ("small", 1)]);
    let ran = world.resume().await;
    assert!(ran.finished.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_chunks_are_sent_again_by_themselves() {
    let world = World::new().await;
    world.write("large", noise(10));
    world.fake.lock().faults.lose_chunks = vec![0, 4, 9];
    let ran = world.send().await;
    ran.assert_sizes(&[("large", 10 << 16)]);
    let inner = world.fake.lock();
    assert_eq!(inner.uploads.len(), 1);
    assert_eq!(inner.seen.puts, 1 + 10 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_chunks_of_a_file_that_changed_are_a_new_upload() {
    let world = World::new().await;
    world.write("a", vec![1; 200_000]);
    world.write("b", vec![2; 200_000]);
    world.fake.lock().faults.hold_results = true;
    let complete = |upload: &crate::fake::Upload| upload.told_header && upload.stored.len() == 7;
    world.send_and_die(|fake| fake.lock().uploads.values().any(complete)).await;
    world.write("a", vec![3; 200_000]);
    {
        let inner = &mut world.fake.lock();
        inner.faults.lose_chunks = vec![0, 1, 2, 3, 4, 5, 6];
    }
    world.fake.process_all();
    world.fake.lock().faults.lose_chunks.clear();
    let ran = world.resume().await;
    ran.assert_sizes(&[("a", 200_000), ("b", 200_000)]);
    assert!(ran.events.iter().any(|event| matches!(event, Event::Note(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_at_once_do_each_others_work_once() {
    let world = World::new().await;
    world.write("file", noise(20));
    world.fake.lock().faults.hold_results = true;
    let release = async {
        crate::world::eventually("both to wait", || world.fake.lock().uploads.values().any(|u| u.stored.len() == 20))
            .await;
        world.fake.process_all();
    };
    let (one, two, ()) = tokio::join!(
        world.send(),
        async {
            crate::world::eventually("the first", || !world.fake.lock().uploads.is_empty()).await;
            world.send().await
        },
        release
    );
    one.assert_sizes(&[("file", 20 << 16)]);
    two.assert_sizes(&[("file", 20 << 16)]);
    assert_eq!(world.fake.lock().uploads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_another_program_that_dies_is_taken_over_by_the_one_that_waits_for_it() {
    let world = World::new().await;
    world.write("file", noise(20));
    world.fake.lock().faults.hang_puts_from = Some(10);
    let second = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let waits = std::sync::atomic::AtomicBool::new(false);
    let second_waits_for_it = || waits.load(std::sync::atomic::Ordering::Relaxed);
    let first_dies = async {
        eventually("the second to wait", second_waits_for_it).await;
        world.fake.lock().faults.hang_puts_from = None;
    };
    let first = world.send_and_die(|fake| fake.lock().seen.puts >= 10 && second_waits_for_it());
    let second_waits = async {
        eventually("the first", || world.fake.lock().seen.puts >= 10).await;
        let (sending, told) = second.send(options);
        let all_found = async {
            eventually("all to be found", || sending.progress().all_found).await;
            waits.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        tokio::join!(collect(&sending, told), all_found).0
    };
    let (ran, (), ()) = tokio::join!(second_waits, first, first_dies);
    second.close().await;
    ran.assert_sizes(&[("file", 20 << 16)]);
    assert_eq!(world.fake.lock().uploads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_each_get_a_last_word_however_slowly_they_are_read() {
    const COPIES: usize = 1200;

    let world = World::new().await;
    for content in 0..5 {
        world.write(&format!("content{content}"), content.to_string().repeat(9));
    }
    world.fake.lock().faults.hold_results = true;
    world
        .send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.told_header && !upload.stored.is_empty()))
        .await;
    for copy in 0..COPIES {
        world.write(&format!("copy{copy}"), (copy % 5).to_string().repeat(9));
    }
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, mut told) = client.send(options);
    let release = async {
        eventually("copies to be found", || sending.progress().found_files > 300).await;
        world.fake.process_all();
    };
    let mut finished = 0;
    let read = async {
        while finished < COPIES + 5 {
            match told.next().await.unwrap() {
                Event::Finished(file) => finished += usize::from(file.ending.succeeded()),
                other => panic!("{other:?}"),
            }
            // Not to wait for anything: this is a terminal that is slow.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let all = async { tokio::join!(sending.ended(), release, read) };
    let (result, (), ()) = tokio::time::timeout(LIMIT, all).await.expect("a last word was lost");
    result.unwrap();
    client.close().await;
    assert_eq!(world.fake.lock().uploads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_is_sent_anew_by_whoever_sends_it_then() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.hold_results = true;
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.stored.len() == 1)).await;
    let upload = world.fake.lock().order[0].parse().unwrap();
    let client = world.client().await;
    assert_eq!(client.cancel(&[upload], |_, cancelled| assert!(cancelled.is_ok())).await.unwrap(), 1);
    client.close().await;
    world.fake.lock().faults.hold_results = false;
    world.send().await.assert_sizes(&[("file", 7)]);
    assert_eq!(world.fake.lock().uploads.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_is_called_so_and_has_not_failed() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.hold_results = true;
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.stored.len() == 1)).await;
    let client = world.client().await;
    assert_eq!(client.cancel(&[], |_, cancelled| assert!(cancelled.is_ok())).await.unwrap(), 1);
    let mut reasons = Vec::new();
    client.status(|file| reasons.push(file.reason)).await.unwrap();
    assert_eq!(reasons, [Reason::Cancelled]);
    let (resuming, told) = client.resume();
    let ran = collect(&resuming, told).await;
    assert!(matches!(&ran.finished[..], [file] if file.ending.is_cancelled()), "{ran:?}");
    let now = resuming.progress();
    assert_eq!((now.done_files, now.cancelled_files, now.failed_files), (1, 1, 0));
    client.status(|file| panic!("{file:?}")).await.unwrap();
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_failed_says_what_helps_and_is_forgotten_on_request() {
    let world = World::new().await;
    world.write("first", noise(40));
    let gone = world.write("gone", "content");
    // The first chunks hang in storage: the rest is not read before they are through, for lack of buffers.
    world.fake.lock().faults.hang_puts_from = Some(1);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let remove = async {
        eventually("a PUT", || world.fake.lock().seen.puts > 1).await;
        fs::remove_file(&gone).unwrap();
        world.fake.lock().faults.hang_puts_from = None;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), remove);
    assert!(ran.summary(&world.files()).contains("gone: it vanished"), "{ran:?}");
    let mut waiting = Vec::new();
    client.status(|file| waiting.push(file)).await.unwrap();
    let [file] = &waiting[..] else { panic!("{waiting:?}") };
    assert!(matches!(&file.reason, Reason::Failed { message } if message == "it vanished"), "{:?}", file.reason);
    let upload = file.place.unwrap().0;
    assert_eq!(client.forget_failed(&[filemill_seal::UploadId::random()]).await.unwrap(), 0);
    assert_eq!(client.forget_failed(&[upload]).await.unwrap(), 1);
    client.status(|file| panic!("{file:?}")).await.unwrap();
    client.close().await;
}
