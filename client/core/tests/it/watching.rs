//! Folders that are watched.

use std::fs;
use std::io::Write;
use std::path::Path;

use filemill_client::{Finished, Notice, WatchOptions};
use tokio_util::sync::CancellationToken;

use crate::world::{LIMIT, World};

/// Watches until so many files are finished and `more` is done, then stops in order.
async fn watch(world: &World, files: usize, more: impl Future<Output = ()>) -> Vec<Finished> {
    let (client, mut told) = world.client().await;
    let stop = CancellationToken::new();
    let options =
        WatchOptions { folders: vec![world.files()], ignore: vec!["*.tmp".to_owned()], ..WatchOptions::default() };
    let mut finished = Vec::new();
    let read = async {
        while finished.len() < files {
            match told.recv().await {
                Some(Notice::Finished(file)) => finished.push(*file),
                Some(_) => {}
                None => break,
            }
        }
        stop.cancel();
        // Whoever stops reads on, or the last words have nowhere to go.
        while told.recv().await.is_some() {}
    };
    let work = async {
        let result = client.watch(options, &stop).await;
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
    let files: u32 =
        world.fake.lock().uploads.values().flat_map(|upload| &upload.open.jobs).map(|range| range.count).sum();
    assert_eq!(files, 4, "something was sent twice");
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
