//! Folders that are watched.

use std::fs;
use std::io::Write;
use std::path::Path;

use filemill_client::{Error, Event, Finished, PoolError, Reason, SkipReason, Trouble, WatchOptions};

use crate::world::{LIMIT, World, eventually, noise};

/// Watches until so many files are finished and `more` is done, then stops in order.
async fn watch(world: &World, files: usize, more: impl Future<Output = ()>) -> Vec<Finished> {
    let client = world.client().await;
    let options =
        WatchOptions { folders: vec![world.files()], ignore: vec!["*.tmp".to_owned()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let mut finished = Vec::new();
    let read = async {
        while finished.len() < files {
            match told.next().await {
                Some(Event::Finished(file)) => finished.push(*file),
                Some(_) => {}
                None => break,
            }
        }
        watching.stop();
        // Whoever stops reads on, or the last words have nowhere to go.
        while told.next().await.is_some() {}
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let all = async { tokio::join!(work, read, more) };
    let (result, (), ()) = tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    result.unwrap();
    finished.sort_by(|a, b| a.path.cmp(&b.path));
    finished
}

fn names(finished: &[Finished]) -> Vec<(String, u64)> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    finished.iter().map(|file| (name(&file.path), file.size)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_what_appears_is_sent_once_and_whole() {
    let world = World::new().await;
    world.write("before", "1");
    world.write("left-out.tmp", "1");
    let appear = async {
        let slow = world.files().join("slow");
        let mut writer = fs::File::create(&slow).unwrap();
        for _ in 0..20 {
            writer.write_all(&[b'x'; 100]).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        drop(writer);
        fs::create_dir_all(world.path("elsewhere/deep")).unwrap();
        fs::write(world.path("elsewhere/deep/moved"), "22").unwrap();
        fs::rename(world.path("elsewhere"), world.files().join("arrived")).unwrap();
        fs::write(world.path("renamed"), "333").unwrap();
        fs::rename(world.path("renamed"), world.files().join("renamed")).unwrap();
    };
    let finished = watch(&world, 4, appear).await;
    let expected = [("moved", 2), ("before", 1), ("renamed", 3), ("slow", 2000)];
    assert_eq!(names(&finished), expected.map(|(name, size)| (name.to_owned(), size)));
    assert_eq!(world.fake.lock().files(), 4, "something was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_watcher_does_not_send_again_what_the_last_one_sent() {
    let world = World::new().await;
    world.write("one", "1");
    watch(&world, 1, async {}).await;
    world.write("two", "22");
    let finished = watch(&world, 2, async {}).await;
    assert_eq!(names(&finished), [("one".to_owned(), 1), ("two".to_owned(), 2)]);
    assert_eq!(world.fake.lock().uploads.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_keeps_files_until_the_pool_has_a_recipient_that_is_good() {
    let world = World::new().await;
    let short = world.fake.lock().statement_for(1, 4);
    world.fake.lock().pools = vec![short];
    let expires = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 4;
    world.write("one", "1");
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let read = async {
        let mut finished = Vec::new();
        while finished.len() < 2 {
            match told.next().await.unwrap() {
                Event::Finished(file) => {
                    assert!(file.ending.succeeded());
                    finished.push(file.size);
                    if finished.len() == 1 {
                        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
                        eventually("the statement to expire", || now() > expires).await;
                        world.write("two", "22");
                    }
                }
                Event::Trouble(trouble) => {
                    let is_expired = |error: &Error| matches!(error, Error::Pool(PoolError::Expired { .. }));
                    assert!(matches!(&trouble, Trouble::NothingSent { error } if is_expired(error)), "{trouble:?}");
                    assert_eq!(world.fake.lock().uploads.len(), 1, "it was sealed for a recipient that has expired");
                    let new = world.fake.lock().statement(2);
                    world.fake.lock().pools = vec![new];
                }
                _ => {}
            }
        }
        watching.stop();
        while told.next().await.is_some() {}
        finished
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let all = async { tokio::join!(work, read) };
    let (result, finished) = tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    result.unwrap();
    assert_eq!(finished, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filemills_own_folders_are_not_watched() {
    let world = World::new().await;
    world.write("one", "1");
    let client = world.client().await;
    // The folder above: home, token and results lie in it.
    let above = world.files().parent().unwrap().to_owned();
    let export = above.join("in/results");
    let loops = WatchOptions { folders: vec![above.clone()], export: Some(above.clone()), ..WatchOptions::default() };
    let (watching, _) = client.watch(loops);
    assert!(matches!(watching.ended().await, Err(Error::File { action: "keep results in", .. })));
    let options = WatchOptions {
        folders: vec![above],
        ignore: vec!["/token".to_owned(), "/pool.json".to_owned()],
        export: Some(export.clone()),
        ..WatchOptions::default()
    };
    let (watching, mut told) = client.watch(options);
    let read = async {
        let (mut finished, mut skipped) = (Vec::new(), Vec::new());
        while let Some(event) = told.next().await {
            match event {
                Event::Finished(file) => {
                    finished.push(file.path.file_name().unwrap().to_owned());
                    match finished.len() {
                        1 => {
                            // Its result is there before it is said.
                            assert!(export.join("in/one.age").exists());
                            world.write("two", "22");
                        }
                        _ => watching.stop(),
                    }
                }
                Event::Skipped { path, reason } => {
                    let is_home = path.ends_with("home");
                    let why = if is_home { SkipReason::OwnFolder } else { SkipReason::KeptResults };
                    assert_eq!(reason, why, "{path:?}");
                    skipped.push(path.file_name().unwrap().to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
        skipped.sort();
        (finished, skipped)
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let all = async { tokio::join!(work, read) };
    let (result, (finished, skipped)) = tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    result.unwrap();
    assert_eq!(finished, ["one", "two"]);
    assert_eq!(skipped, ["home", "results"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_names_what_is_skipped_and_is_silent_about_a_file_that_was_only_touched() {
    let world = World::new().await;
    let path = world.write("file", "content");
    std::os::unix::fs::symlink("file", world.files().join("link")).unwrap();
    let status = async {
        let other = world.client().await;
        let mut waiting = Vec::new();
        other
            .status(|file| waiting.push((file.path.file_name().unwrap().to_string_lossy().into_owned(), file.reason)))
            .await
            .unwrap();
        other.close().await;
        waiting
    };
    let touched = async {
        eventually("the upload", || world.fake.lock().uploads.values().any(|upload| !upload.done.is_empty())).await;
        fs::File::options().append(true).open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    };
    // Said once for the first version, and once for the one that was touched.
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let read = async {
        let mut finished = 0;
        while let Some(event) = told.next().await {
            if let Event::Finished(_) = event {
                finished += 1;
                if finished == 2 {
                    break;
                }
            }
        }
        let waiting = status.await;
        watching.stop();
        while told.next().await.is_some() {}
        waiting
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let all = async { tokio::join!(work, read, touched) };
    let (result, waiting, ()) = tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    result.unwrap();
    assert_eq!(waiting, [("link".to_owned(), Reason::Link)]);
    assert_eq!(world.fake.lock().uploads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_uploaded_is_sent_again_and_reported_once() {
    let world = World::new().await;
    let path = world.write("file", noise(40));
    world.fake.lock().faults.hang_puts_from = Some(10);
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let change = async {
        eventually("a PUT", || world.fake.lock().seen.puts >= 10).await;
        fs::write(&path, vec![2; 1 << 20]).unwrap();
        world.fake.lock().faults.hang_puts_from = None;
    };
    let read = async {
        let mut finished = Vec::new();
        while let Some(event) = told.next().await {
            if let Event::Finished(file) = event {
                finished.push((file.path.file_name().unwrap().to_string_lossy().into_owned(), file.size));
                match finished.len() {
                    // What comes next was found after everything that was found of the first.
                    1 => drop(world.write("next", "333")),
                    _ => watching.stop(),
                }
            }
        }
        finished
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let all = async { tokio::join!(work, read, change) };
    let (result, finished, ()) = tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    result.unwrap();
    assert_eq!(finished, [("file".to_owned(), 1 << 20), ("next".to_owned(), 3)]);
    assert_eq!(world.fake.lock().uploads.len(), 3, "each version is one upload");
}
