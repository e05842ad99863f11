//! Servers and pools of release 0.1.0 beside those of this version.

use filemill_client::{Ending, Error, Event, Note, Reason, SendOptions, Trouble};
use filemill_seal::Format;

use crate::fake::{Fake, OTHER_TOKEN, Speaks};
use crate::world::{Ran, World, collect, eventually};

fn everything(world: &World) -> SendOptions {
    SendOptions { paths: vec![world.files()], ..SendOptions::default() }
}

/// The formats of all uploads, in the order of their opening.
fn formats(world: &World) -> Vec<u8> {
    let inner = world.fake.lock();
    inner.order.iter().map(|id| inner.uploads[id].open.format).collect()
}

/// Whether it is said that the older format is sent; because of an older server if that is so.
fn is_older_told(event: &Event, by_server: bool) -> bool {
    matches!(event, Event::Note(Note::OlderFormat { pool, format: 1, newest: 2, older_server }) if pool == "main" && *older_server == by_server)
}

/// How often that is said.
fn older_told(ran: &Ran, by_server: bool) -> usize {
    ran.events.iter().filter(|event| is_older_told(event, by_server)).count()
}

/// The pool's enrolment asks for format 2.
async fn ask_for_format_2(world: &World) {
    let enrolment = world.enrolment().with_lowest_format(Format::Two).to_json();
    std::fs::write(world.path("pool.json"), enrolment).unwrap();
    let done = world.login().await.unwrap();
    assert!(done.former_pool.is_none(), "it is the same pool");
    assert_eq!(done.config.enrolment.lowest_format(), Some(Format::Two));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_token_is_gone_leaves_the_lowest_format_as_it_was_pinned() {
    let world = World::new().await;
    ask_for_format_2(&world).await;
    std::fs::write(world.path("pool.json"), world.enrolment().to_json()).unwrap();
    let token = world.home().path().join("token");
    for damage in [None, Some("no token")] {
        match damage {
            None => std::fs::remove_file(&token).unwrap(),
            Some(text) => std::fs::write(&token, text).unwrap(),
        }
        let done = world.login().await.unwrap();
        assert_eq!(done.config.enrolment.lowest_format(), Some(Format::Two), "{damage:?}");
    }
}

/// Sends everything in the folder, and dies when the server was asked to open the upload, which it was not.
async fn die_before_it_is_opened(world: &World) {
    world.fake.lock().faults.refused_opens = (u32::MAX, Some(filemill_api::ErrorCode::Unavailable));
    world.send_and_die(|fake: &Fake| fake.lock().seen.opens > 0).await;
    world.fake.lock().faults.refused_opens = (0, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_of_version_1_everything_goes_on_in_format_1_and_that_is_said_once() {
    let world = World::new().await;
    world.fake.lock().faults.speaks = Speaks::OnlyOne;
    world.write("a", "1");
    world.write("b", vec![7; 200_000]);
    world.login().await.unwrap();
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 1), ("b", 200_000)]);
    assert_eq!((older_told(&ran, true), older_told(&ran, false)), (1, 0), "{:?}", ran.events);
    assert_eq!(formats(&world), [1]);
    world.write("c", "333");
    world.fake.lock().faults.hold_results = true;
    let client = world.client().await;
    let (sending, events) = client.send(everything(&world));
    let meanwhile = async {
        eventually("it to be stored", || world.fake.lock().uploads.len() == 2).await;
        let other = world.client().await;
        let mut reasons = Vec::new();
        other.status(|file| reasons.push(file.reason.code())).await.unwrap();
        assert!(reasons == ["no_processor"] || reasons == ["uploading"], "{reasons:?}");
        assert_eq!(other.cancel(&[], |_, _| {}).await.unwrap(), 1);
        other.close().await;
    };
    let (ran, ()) = tokio::join!(collect(&sending, events), meanwhile);
    client.close().await;
    assert_eq!(ran.finished.iter().filter(|file| file.ending.is_cancelled()).count(), 1, "{ran:?}");
    let client = world.client().await;
    assert_eq!(client.fetch_results().await.unwrap().unknown, 0);
    client.close().await;
    let devices = world.fake.lock().seen.devices.clone();
    assert_eq!(devices.into_iter().collect::<Vec<_>>(), [None], "version 1 has no word for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_that_passes_on_version_1_alone_everything_goes_on_in_format_1() {
    let world = World::new().await;
    world.fake.lock().faults.speaks = Speaks::OnlyOneByProxy;
    world.fake.lock().faults.lists_formats_in_v1 = true;
    world.write("a", "1");
    world.login().await.unwrap();
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 1)]);
    assert_eq!(formats(&world), [1]);
    assert_eq!(older_told(&ran, true), 1, "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_load_balancer_either_kind_of_server_may_answer_each_request() {
    let world = World::new().await;
    world.fake.lock().faults.speaks = Speaks::InTurn;
    world.fake.lock().faults.batch_of = Some(3);
    let mut sizes = Vec::new();
    for (round, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        world.write(name, vec![b'x'; round + 1]);
        sizes.push((name, round as u64 + 1));
        world.send().await.assert_sizes(&sizes);
    }
    let (by_v1, by_v2) = world.fake.lock().seen.by_major;
    assert!(by_v1 > 0 && by_v2 > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_format_2_come_through_a_server_that_is_asked_in_version_1() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.write(name, name);
    }
    world.die_before_results().await;
    assert_eq!(formats(&world), [2]);
    world.fake.lock().faults.speaks = Speaks::OnlyOne;
    let ran = world.resume().await;
    ran.assert_sizes(&[("a", 1), ("b", 1), ("c", 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_format_2_waits_for_a_server_that_knows_it_and_says_why() {
    waits_for_a_server_that_knows_it(Speaks::OnlyOne).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_format_2_waits_also_behind_a_proxy_that_passes_on_version_1_alone() {
    waits_for_a_server_that_knows_it(Speaks::OnlyOneByProxy).await;
}

async fn waits_for_a_server_that_knows_it(speaks: Speaks) {
    let world = World::new().await;
    world.write("a", "content");
    die_before_it_is_opened(&world).await;
    world.fake.lock().faults.speaks = speaks;
    let client = world.client().await;
    let (resuming, mut events) = client.resume();
    let mut finished = Vec::new();
    let read = async {
        while let Some(event) = events.next().await {
            match event {
                Event::Trouble(Trouble::UploadRefused { refusal, .. }) => {
                    assert!(refusal.message.contains("is of an earlier version"), "{refusal}");
                    assert!(refusal.hint.is_some_and(|hint| hint.contains("goes on by itself")));
                    let mut reasons = Vec::new();
                    client.status(|file| reasons.push(file.reason)).await.unwrap();
                    assert_eq!(reasons, [Reason::OlderServer]);
                    assert!(world.fake.lock().uploads.is_empty());
                    world.fake.lock().faults.speaks = Speaks::Both;
                }
                Event::Finished(file) => finished.push(file),
                _ => {}
            }
        }
        resuming.ended().await
    };
    tokio::time::timeout(crate::world::LIMIT, read).await.expect("it did not end in time").unwrap();
    assert!(finished.len() == 1 && finished[0].ending.succeeded(), "{finished:?}");
    assert_eq!(formats(&world), [2]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_that_of_the_pool_and_an_upload_keeps_its_own() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().formats = vec![1];
    die_before_it_is_opened(&world).await;
    // By now a processor reads the newer one.
    world.fake.lock().formats = vec![1, 2];
    let ran = world.resume().await;
    ran.assert_sizes(&[("a", 7)]);
    assert_eq!(formats(&world), [1], "it was sealed before");
    world.write("b", "more");
    let ran = world.send().await;
    ran.assert_sizes(&[("a", 7), ("b", 4)]);
    assert_eq!(formats(&world), [1, 2]);
    assert_eq!(older_told(&ran, false), 0);
    // And none that reads it is there.
    world.fake.lock().formats = Vec::new();
    world.write("c", "again");
    let ran = world.send().await;
    assert_eq!(older_told(&ran, false), 1);
    assert_eq!(formats(&world), [1, 2, 1]);
}

/// Sends while nothing may be sealed that the pool reads, and has that change when it was said.
async fn send_and_wait(world: &World, change: impl Fn(&Fake)) -> Ran {
    let client = world.client().await;
    let (sending, mut events) = client.send(everything(world));
    let mut ran = Ran { result: Ok(()), finished: Vec::new(), events: Vec::new() };
    let mut waits = 0;
    let read = async {
        while let Some(event) = events.next().await {
            if let Event::Trouble(Trouble::NothingSent {
                error: error @ (Error::NoFormat { pool, lowest: 2 } | Error::NoFormatThere { pool, lowest: 2 }),
            }) = &event
            {
                assert_eq!(pool, "main");
                let is_of_server = matches!(error, Error::NoFormatThere { .. });
                assert_eq!(is_of_server, world.fake.lock().faults.speaks == Speaks::OnlyOne, "who is too old");
                assert!(world.fake.lock().uploads.is_empty());
                waits += 1;
                change(&world.fake);
            }
            match event {
                Event::Finished(file) => ran.finished.push(*file),
                other => ran.events.push(other),
            }
        }
        sending.ended().await
    };
    ran.result = tokio::time::timeout(crate::world::LIMIT, read).await.expect("it did not end in time");
    assert_eq!(waits, 1, "{:?}", ran.events);
    client.close().await;
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_is_sent_than_the_enrolment_asks_for_whatever_a_server_says() {
    for speaks in [Speaks::Both, Speaks::OnlyOne] {
        let world = World::new().await;
        ask_for_format_2(&world).await;
        world.write("a", "content");
        {
            let mut inner = world.fake.lock();
            inner.faults.speaks = speaks;
            if speaks == Speaks::Both {
                inner.formats = vec![1];
            }
        }
        let ran = send_and_wait(&world, |fake| {
            let mut inner = fake.lock();
            (inner.faults.speaks, inner.formats) = (Speaks::Both, vec![1, 2]);
        })
        .await;
        ran.assert_sizes(&[("a", 7)]);
        assert_eq!(formats(&world), [2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_before_the_enrolment_asked_for_more_is_sealed_anew() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().formats = vec![1];
    die_before_it_is_opened(&world).await;
    world.fake.lock().formats = vec![1, 2];
    ask_for_format_2(&world).await;
    let ran = world.resume().await;
    ran.assert_sizes(&[("a", 7)]);
    assert_eq!(formats(&world), [2]);
    let given_up = |event: &Event| matches!(event, Event::Note(Note::UploadGivenUp { reason, .. }) if reason.to_string().contains("asks for a newer format"));
    assert!(ran.events.iter().any(given_up), "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_of_a_later_version_is_refused_and_the_login_stays() {
    let world = World::new().await;
    let text = world.enrolment().to_json().replace("\"filemill_enrolment\":1", "\"filemill_enrolment\":3");
    std::fs::write(world.path("pool.json"), text).unwrap();
    let error = world.login().await.unwrap_err();
    assert!(error.to_string().contains("enrolment has version 3, this program reads versions 1 and 2"), "{error}");
    world.write("a", "content");
    world.send().await.assert_sizes(&[("a", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_reads_as_one_device_whatever_program_of_it_reads() {
    let world = World::new().await;
    world.write("a", "content");
    world.fake.lock().faults.damaged_inline = 1;
    world.send().await.assert_sizes(&[("a", 7)]);
    let client = world.client().await;
    client.fetch_results().await.unwrap();
    client.close().await;
    // By another token, too.
    std::fs::write(world.path("token"), OTHER_TOKEN).unwrap();
    world.login().await.unwrap();
    let client = world.client().await;
    client.fetch_results().await.unwrap();
    client.close().await;
    let devices: Vec<_> = world.fake.lock().seen.devices.iter().cloned().collect();
    let [Some(device)] = &devices[..] else { panic!("{devices:?}") };
    assert!(device.len() == 32 && device.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{device}");
    assert!(!world.fake.lock().seen.wanted.is_empty(), "it was asked for again, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_processor_has_is_said_by_name() {
    let world = World::new().await;
    {
        let mut inner = world.fake.lock();
        inner.faults.hold_results = true;
        inner.faults.lacks = vec!["contract:2.0".to_owned()];
    }
    world.write("a", "content");
    let client = world.client().await;
    let (sending, _told) = client.send(everything(&world));
    let reason = || Reason::NoProcessor { lacks: vec!["contract:2.0".to_owned()] };
    let asked = async {
        while sending.why_waiting().await != Some(reason()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::world::LIMIT, asked).await.expect("it was not said");
    let other = world.client().await;
    let mut reasons = Vec::new();
    other.status(|file| reasons.push(file.reason)).await.unwrap();
    assert_eq!(reasons, [reason()]);
    other.close().await;
    sending.stop();
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_still_to_be_fetched_waits_while_only_version_1_is_spoken() {
    for speaks in [Speaks::OnlyOne, Speaks::OnlyOneByProxy] {
        fetches_what_was_left(speaks).await;
    }
}

async fn fetches_what_was_left(speaks: Speaks) {
    let world = World::new().await;
    world.write("a", "content");
    world.write("b", "more");
    world.fake.lock().faults.result_not_found = Some((0, u32::MAX));
    world.die_before_results().await;
    let client = world.client().await;
    assert_eq!(client.fetch_results().await.unwrap().left.len(), 2);
    // The event is read again then, which has all jobs of the batch.
    world.fake.lock().faults.speaks = speaks;
    world.fake.lock().faults.result_not_found = Some((0, 0));
    let fetched = client.fetch_results().await.unwrap();
    assert!(fetched.left.is_empty(), "{fetched:?}");
    let page = client.results(0).await.unwrap();
    assert!(page.files.len() == 2 && page.files.iter().all(|file| matches!(file.ending, Ending::Succeeded { .. })));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_release_0_1_0_tells_as_one_result_waits_for_a_server_that_knows_batches() {
    for (sealed, cancelled) in [("inline", false), ("in storage", false), ("none", true)] {
        let world = World::new().await;
        world.write("a", "content");
        world.write("b", "more");
        world.fake.lock().faults.large_results = sealed == "in storage";
        if cancelled {
            world.fake.lock().faults.cheat = crate::fake::Cheat::Quarantine;
        }
        world.die_before_results().await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.speaks, inner.faults.tells_batches_as_one) = (Speaks::OnlyOne, true);
        }
        let client = world.client().await;
        for _ in 0..2 {
            let left = client.fetch_results().await.unwrap().left;
            assert_eq!(left.len(), 1, "{sealed}");
            // Nothing was damaged.
            let reason = &left[0].reason;
            assert!(cancelled || reason.contains("of an earlier version"), "{sealed}: {reason}");
            assert!(client.results(0).await.unwrap().files.is_empty(), "{sealed}");
        }
        world.fake.lock().faults.speaks = Speaks::Both;
        world.fake.lock().faults.tells_batches_as_one = false;
        assert!(client.fetch_results().await.unwrap().left.is_empty(), "{sealed}");
        let page = client.results(0).await.unwrap();
        let good = |ending: &Ending| match cancelled {
            true => matches!(ending, Ending::EndedByServer { .. }),
            false => ending.succeeded(),
        };
        assert!(page.files.len() == 2 && page.files.iter().all(|file| good(&file.ending)), "{sealed}: {page:?}");
        client.close().await;
    }
}
