//! How a watcher begins, and begins again: what it waits for, and what ends it.

use std::fs;
use std::process::Command;

use filemill_client::{Error, Event, Note, Reason, Trouble, WatchOptions};

use crate::minding::{SmallDisk, in_folder, is_journal_full, watching};
use crate::world::World;

/// 2100-01-01.
const FAR_AHEAD: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

/// Whether it says that nothing can be sent by this machine's clock.
fn is_clock(event: &Event) -> bool {
    matches!(event, Event::Trouble(Trouble::NothingSent { error: Error::Clock { .. } }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_begins_before_its_clock_is_set_waits_for_that() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.date = Some(FAR_AHEAD);
    watching(&world, in_folder(&world), |watching| {
        let world = &world;
        async move {
            watching.until("the clock", |told| told.iter().any(is_clock)).await;
            let other = world.client().await;
            let mut reasons = Vec::new();
            other.status(|file| reasons.push(file.reason)).await.unwrap();
            other.close().await;
            assert!(matches!(&reasons[..], [Reason::NoRecipient { error: Error::Clock { .. } }]), "{reasons:?}");
            world.fake.lock().faults.date = None;
            watching.until_finished(world, "file").await;
            let said = |told: &[Event]| told.iter().filter(|event| is_clock(event)).count() == 1;
            watching.until("what was said", said).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_right_when_a_watcher_began_ends_it_no_more_when_its_journal_has_room_again() {
    let world = World::new().await;
    let (home, aside) = (world.path("home"), world.path("aside"));
    fs::rename(&home, &aside).unwrap();
    let Some(disk) = SmallDisk::mount(&home, 4096) else { return };
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&home).status().unwrap().success());
    fs::create_dir(world.path("results")).unwrap();
    world.write("before", "1");
    let export = Some(world.path("results/out"));
    watching(&world, WatchOptions { export, ..in_folder(&world) }, |watching| {
        let (world, disk) = (&world, &disk);
        async move {
            watching.until_finished(world, "before").await;
            disk.fill();
            for number in 0..200 {
                world.write(&format!("full-{number}"), format!("{number} {}", "x".repeat(number)));
            }
            watching.until("the full disk", is_journal_full).await;
            // The watched folder, that of the results, and the time.
            fs::rename(world.files(), world.path("away")).unwrap();
            fs::rename(world.path("results"), world.path("other")).unwrap();
            std::os::unix::fs::symlink("nowhere", world.path("results")).unwrap();
            world.fake.lock().faults.date = Some(FAR_AHEAD);
            disk.free();
            let is_any = |event: &Event| matches!(event, Event::Trouble(Trouble::NothingSent { .. }));
            watching.until("the clock", |told| told.iter().any(is_any)).await;
            world.fake.lock().faults.date = None;
            let gone = |event: &Event| matches!(event, Event::Trouble(Trouble::FolderGone { .. }));
            watching.until("the folder to be missed", |told| told.iter().any(gone)).await;
            fs::remove_file(world.path("results")).unwrap();
            fs::rename(world.path("away"), world.files()).unwrap();
            for number in 0..200 {
                watching.until_finished(world, &format!("full-{number}")).await;
            }
            world.write("after", "22");
            watching.until_finished(world, "after").await;
            assert!(world.path("results/out/after.age").exists());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_watcher_does_not_send_what_the_first_one_sends() {
    let world = World::new().await;
    world.write("file", "content");
    world.write("sub/file", "22");
    std::os::unix::fs::symlink("in", world.path("link")).unwrap();
    let options = WatchOptions { ignore: vec!["/left-out".to_owned()], ..in_folder(&world) };
    watching(&world, options, |watching| {
        let world = &world;
        async move {
            watching.until_finished(world, "file").await;
            let begun = async |options: WatchOptions| {
                let second = world.client().await;
                let (watching, mut told) = second.watch(options);
                while let Some(event) = told.next().await {
                    if matches!(event, Event::Note(Note::Watching { .. })) {
                        watching.stop();
                    }
                }
                let result = watching.ended().await;
                second.close().await;
                result
            };
            for name in ["in", "link", "in/sub", ""] {
                let folder = world.path(name);
                let options = WatchOptions { folders: vec![folder.clone()], ..WatchOptions::default() };
                let refused = begun(options.clone()).await.unwrap_err();
                let (own, watched) = (std::process::id(), fs::canonicalize(world.files()).unwrap());
                assert!(
                    matches!(&refused, Error::Watched { path, watched: other, process }
                        if *path == folder && *other == watched && *process == Some(own)),
                    "{name}: {refused:?}"
                );
                let said = format!("process {own} of this home watches `{}` already", watched.display());
                assert!(refused.to_string().ends_with(&said), "{refused}");
            }
            // What one of them leaves out, only the other one sends.
            fs::create_dir(world.files().join("left-out")).unwrap();
            let inner = WatchOptions { folders: vec![world.files().join("left-out")], ..WatchOptions::default() };
            begun(inner).await.unwrap();
            let around = WatchOptions {
                folders: vec![world.path("")],
                ignore: vec!["/in".to_owned()],
                ..WatchOptions::default()
            };
            begun(around).await.unwrap();
        }
    })
    .await;
    // With the first one its hold on the folder ends.
    let again = &world;
    watching(again, in_folder(again), |watching| async move { watching.until_finished(again, "file").await }).await;
}
