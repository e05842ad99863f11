//! Rules that are written while a watcher's files wait for the server.

use std::fs;

use filemill_api::ErrorCode;
use filemill_client::{Ending, Event, Note, SendOptions, WatchOptions};

use crate::minding::{in_folder, watching};
use crate::world::{World, die, eventually};

/// Names of what was stored, or is about to be.
fn uploads_that_live(world: &World) -> usize {
    world.fake.lock().uploads.values().filter(|upload| !upload.cancelled && !upload.stored.is_empty()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_written_while_the_server_is_away_keeps_what_waits_for_it() {
    let world = World::new().await;
    world.fake.lock().faults.refused_opens = (u32::MAX, Some(ErrorCode::Unavailable));
    world.write("a.secret", "secret");
    world.write("other", "other");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            eventually("the upload", || world.fake.lock().seen.opens > 0).await;
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
            world.write(".gitignore", "*.secret\n");
            let left_out = |event: &Event| {
                matches!(event, Event::Skipped { path, reason } if path.ends_with("a.secret") && reason.to_string().contains("*.secret"))
            };
            watching.until("the rule to hold", |told| told.iter().any(left_out)).await;
            world.fake.lock().faults.refused_opens = (0, None);
            watching.until_finished(world, "other").await;
            world.write("after", "after");
            watching.until_finished(world, "after").await;
            assert!(!watching.names(world).iter().any(|name| name.ends_with(".secret")));
            fs::remove_file(world.files().join(".gitignore")).unwrap();
            watching.until_finished(world, "a.secret").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_rule_names_outlive_any_number_of_new_rules() {
    const RULES: u32 = 6;

    let world = World::new().await;
    world.fake.lock().faults.refused_opens = (u32::MAX, Some(ErrorCode::Unavailable));
    for number in 0..RULES {
        world.write(&format!("{number}.secret"), format!("secret {number}"));
    }
    world.write("other", "other");
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            let mut rules = String::new();
            for number in 0..RULES {
                let opens = world.fake.lock().seen.opens;
                eventually("the upload", || world.fake.lock().seen.opens > opens).await;
                rules.push_str(&format!("{number}.secret\n"));
                // It is not sent itself.
                world.write(".filemillignore", &rules);
                let name = format!("{number}.secret");
                let left_out = |event: &Event| matches!(event, Event::Skipped { path, .. } if path.ends_with(&name));
                watching.until("the rule to hold", |told| told.iter().any(left_out)).await;
            }
            world.fake.lock().faults.refused_opens = (0, None);
            watching.until_finished(world, "other").await;
            let other = watching.finished().remove(0);
            assert!(matches!(other.ending, Ending::Succeeded { .. }), "{:?}", other.ending);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_by_hand_is_under_no_rules_of_a_watcher_that_goes_on_with_it() {
    for changes in [false, true] {
        let world = World::new().await;
        world.fake.lock().faults.hang_puts_from = Some(0);
        world.write("private.log", "private");
        world.send_and_die(|fake| fake.lock().seen.puts > 0).await;
        if changes {
            world.write("private.log", "private, and longer");
        }
        world.write(".gitignore", "*.log\n");
        world.fake.lock().faults.hang_puts_from = None;
        watching(&world, in_folder(&world), |watching| {
            let world = &world;
            async move {
                watching.until_finished(world, "private.log").await;
                let is_it = |file: &filemill_client::Finished| file.path.ends_with("private.log");
                let file = watching.finished().into_iter().find(is_it).unwrap();
                assert!(file.ending.succeeded(), "{:?}", file.ending);
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_watcher_began_and_somebody_sends_by_hand_is_under_no_rules_any_more() {
    let world = World::new().await;
    world.fake.lock().faults.hang_puts_from = Some(0);
    world.write("private.log", "private");
    watch_and_die(&world).await;
    // Not the PUTs: some of the watcher's may be counted only now.
    let opens = world.fake.lock().seen.opens;
    world.send_and_die(|fake| fake.lock().seen.opens > opens).await;
    world.write(".gitignore", "*.log\n");
    world.fake.lock().faults.hang_puts_from = None;
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move { watching.until_finished(world, "private.log").await }
    })
    .await;
}

/// A watcher that is killed as soon as it stores something.
async fn watch_and_die(world: &World) {
    let client = world.client().await;
    let (watching, told) = client.watch(in_folder(world));
    die(client, watching, told, || world.fake.lock().seen.puts > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_written_while_no_watcher_runs_keeps_what_the_last_one_began() {
    let by_file = |world: &World| {
        world.write(".gitignore", "*.secret\n");
        in_folder(world)
    };
    let by_pattern = |world: &World| WatchOptions { ignore: vec!["*.secret".to_owned()], ..in_folder(world) };
    for options in [&by_file as &dyn Fn(&World) -> WatchOptions, &by_pattern] {
        let world = World::new().await;
        world.fake.lock().faults.hang_puts_from = Some(0);
        world.write("a.secret", "secret");
        watch_and_die(&world).await;
        world.fake.lock().faults.hang_puts_from = None;
        watching(&world, options(&world), |watching| {
            let world = &world;
            async move {
                world.write("after", "after");
                watching.until_finished(world, "after").await;
                eventually("the upload to be cancelled", || {
                    world.fake.lock().uploads.values().any(|upload| upload.cancelled)
                })
                .await;
                assert!(!watching.names(world).iter().any(|name| name.ends_with(".secret")));
            }
        })
        .await;
        // The rule file is one of its own.
        assert!(uploads_that_live(&world) <= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_folder_by_hand_is_told_once_that_its_rule_files_do_not_count() {
    let world = World::new().await;
    world.write("a/.gitignore", "*.secret\n");
    world.write("a/b.secret", "1");
    world.write("c/.filemillignore", "*.secret\n");
    world.write("c/d.secret", "22");
    let ran = world.send().await;
    ran.assert_sizes(&[(".gitignore", 9), ("b.secret", 1), ("d.secret", 2)]);
    let notes = |ran: &crate::world::Ran| {
        let is_note = |event: &&Event| matches!(event, Event::Note(Note::RulesNotFollowed { .. }));
        ran.events.iter().filter(is_note).count()
    };
    assert_eq!(notes(&ran), 1, "{:?}", ran.events);
    // What was named itself is a file like others.
    let paths = vec![world.files().join("a/.gitignore")];
    let ran = world.send_with(SendOptions { paths, ..SendOptions::default() }).await;
    assert_eq!(notes(&ran), 0, "{:?}", ran.events);
}
