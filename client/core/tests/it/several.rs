//! Several activities at once in one client: each file belongs to one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use filemill_client::{Error, Event, Events, Finished, SendOptions, WatchOptions};

use crate::world::{LIMIT, World, collect, eventually, noise};

#[path = "../../examples/several.rs"]
#[allow(dead_code, reason = "only its function is called")]
mod example;

fn folder(world: &World, name: &str) -> SendOptions {
    SendOptions { paths: vec![world.files().join(name)], ..SendOptions::default() }
}

/// Reads the last words that come until an activity has ended.
async fn finished(mut told: Events) -> Vec<Finished> {
    let mut finished = Vec::new();
    while let Some(event) = told.next().await {
        if let Event::Finished(file) = event {
            finished.push(*file);
        }
    }
    finished
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_prints_json_and_tells_each_file_once_in_its_own_activity() {
    let world = World::new().await;
    for (name, content) in [("one/a", "1"), ("one/b", "22"), ("two/c", "333"), ("watched/d", "4444")] {
        world.write(name, content);
    }
    // What is left out is told, too.
    std::os::unix::fs::symlink("a", world.files().join("one/link")).unwrap();
    let [one, two, watched] = ["one", "two", "watched"].map(|name| world.files().join(name));
    let client = world.client().await;
    let mut output = Vec::new();
    let work = example::several(&client, [one, two], watched, &mut output);
    tokio::time::timeout(LIMIT, work).await.expect("it did not end in time").unwrap();
    client.close().await;
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for line in &lines {
        let activity = line["activity"].as_str().unwrap().to_owned();
        if line.get("ended").is_some() {
            assert_eq!(line["ended"]["done_files"], line["ended"]["found_files"], "{line}");
            assert!(ended.insert(activity), "it ended twice: {line}");
            continue;
        }
        let event = &line["event"];
        match event["kind"].as_str().unwrap() {
            "finished" => {
                let path = event["path"].as_str().unwrap();
                let name = path.strip_prefix(world.files().to_str().unwrap()).unwrap().trim_start_matches('/');
                assert_eq!(event["ending"]["code"], "succeeded", "{line}");
                assert_eq!(event["ending"]["report"]["json"]["bytes"], event["size"], "{line}");
                files.entry(activity).or_default().push(name.to_owned());
            }
            "skipped" => assert_eq!(event["reason"]["code"], "link", "{line}"),
            "note" => assert_eq!(event["code"], "watching", "{line}"),
            other => panic!("{other}: {line}"),
        }
    }
    assert_eq!(ended.len(), 3, "{output}");
    let mut files: Vec<Vec<String>> = files.into_values().collect();
    files.iter_mut().for_each(|names| names.sort());
    files.sort();
    assert_eq!(files, [vec!["one/a", "one/b"], vec!["two/c"], vec!["watched/d"]]);
    assert!(lines.iter().any(|line| line["event"]["kind"] == "skipped"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_resumes_of_one_client_start_no_upload_twice() {
    let world = World::new().await;
    world.write("file", noise(40));
    world.fake.lock().faults.hang_puts_from = Some(10);
    world.send_and_die(|fake| fake.lock().seen.puts >= 10).await;
    let client = world.client().await;
    let opens = world.fake.lock().seen.opens;
    let ((_one, of_one), (_two, of_two)) = (client.resume(), client.resume());
    let go_on = async {
        eventually("one to begin", || world.fake.lock().seen.opens > opens).await;
        world.fake.lock().faults.hang_puts_from = None;
    };
    let all = async { tokio::join!(finished(of_one), finished(of_two), go_on) };
    let (one, two, ()) = tokio::time::timeout(LIMIT, all).await.expect("they did not end in time");
    client.close().await;
    assert_eq!(one.len() + two.len(), 1, "told by both: {one:?} {two:?}");
    assert!(one.iter().chain(&two).all(|file| file.ending.succeeded()));
    let inner = world.fake.lock();
    assert_eq!((inner.uploads.len(), inner.seen.opens - opens), (1, 1), "both began it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_beside_a_resume_starts_no_upload_twice_and_waits_for_what_is_its_own() {
    let world = World::new().await;
    world.write("file", noise(40));
    world.fake.lock().faults.hang_puts_from = Some(10);
    world.send_and_die(|fake| fake.lock().seen.puts >= 10).await;
    let client = world.client().await;
    let opens = world.fake.lock().seen.opens;
    let (resuming, of_resuming) = client.resume();
    eventually("it to begin", || world.fake.lock().seen.opens > opens).await;
    let (sending, of_sending) = client.send(SendOptions { paths: vec![world.files()], ..SendOptions::default() });
    let go_on = async {
        eventually("the file to be found", || sending.progress().all_found).await;
        world.fake.lock().faults.hang_puts_from = None;
    };
    let (resumed, sent, ()) = tokio::join!(collect(&resuming, of_resuming), collect(&sending, of_sending), go_on);
    client.close().await;
    resumed.assert_sizes(&[("file", 40 << 16)]);
    sent.assert_sizes(&[("file", 40 << 16)]);
    let inner = world.fake.lock();
    assert_eq!((inner.uploads.len(), inner.seen.opens - opens), (1, 1), "both began it");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_one_activity_leaves_the_others_alone_and_its_upload_to_whoever_comes_next() {
    let world = World::new().await;
    world.write("one/a", "1");
    world.write("two/b", "22");
    world.fake.lock().faults.hold_results = true;
    let client = world.client().await;
    let ((one, of_one), (two, of_two)) = (client.send(folder(&world, "one")), client.send(folder(&world, "two")));
    let steps = async {
        eventually("both to be stored", || world.fake.lock().files() == 2).await;
        eventually("both to be counted", || one.progress().stored_bytes + two.progress().stored_bytes == 3).await;
        one.stop();
        assert!(matches!(one.ended().await, Err(Error::Stopped)));
        assert!(one.has_begun().await.unwrap());
        let (resuming, of_resuming) = client.resume();
        let of_resuming = collect(&resuming, of_resuming);
        let go_on = async {
            // Else the other one may have taken its result in before, and there is nothing to go on with.
            eventually("it to be found", || resuming.progress().found_files == 1).await;
            world.fake.lock().faults.hold_results = false;
            world.fake.process_all();
        };
        tokio::join!(of_resuming, go_on).0
    };
    let (stopped, sent, resumed) = tokio::join!(collect(&one, of_one), collect(&two, of_two), steps);
    assert!(stopped.finished.is_empty(), "{stopped:?}");
    sent.assert_sizes(&[("b", 2)]);
    resumed.assert_sizes(&[("a", 1)]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_nobody_listens_to_goes_on() {
    let world = World::new().await;
    for number in 0..100 {
        world.write(&format!("{number}"), number.to_string());
    }
    let client = world.client_of(1).await;
    let (sending, told) = client.send(SendOptions { paths: vec![world.files()], ..SendOptions::default() });
    drop(told);
    tokio::time::timeout(LIMIT, sending.ended()).await.expect("it waits to be read").unwrap();
    assert_eq!(sending.progress().done_files, 100);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_closed_ends_what_goes_on_in_it() {
    let world = World::new().await;
    world.write("watched/a", "1");
    world.write("sent/b", "22");
    world.fake.lock().faults.hold_results = true;
    let client = world.client().await;
    let (watching, of_watching) =
        client.watch(WatchOptions { folders: vec![world.files().join("watched")], ..WatchOptions::default() });
    let (sending, of_sending) = client.send(folder(&world, "sent"));
    eventually("both to be stored", || world.fake.lock().files() == 2).await;
    let all = async { tokio::join!(client.close(), finished(of_watching), finished(of_sending)) };
    tokio::time::timeout(LIMIT, all).await.expect("it does not close");
    watching.ended().await.unwrap();
    assert!(matches!(sending.ended().await, Err(Error::Stopped)));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_watchers_of_one_client_do_not_watch_the_same_folder() {
    let world = World::new().await;
    fs::create_dir(world.files().join("sub")).unwrap();
    world.write("file", "1");
    let client = world.client().await;
    let watch = |path| client.watch(WatchOptions { folders: vec![path], ..WatchOptions::default() });
    let (first, mut told) = watch(world.files());
    while !matches!(told.next().await.expect("it goes on"), Event::Finished(_)) {}
    let (second, _) = watch(world.files().join("sub"));
    let refused = second.ended().await;
    assert!(matches!(refused, Err(Error::Watched { .. })), "{refused:?}");
    first.stop();
    assert!(finished(told).await.is_empty());
    first.ended().await.unwrap();
    client.close().await;
}
