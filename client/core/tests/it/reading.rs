//! What can be read where nothing can be written.

use std::fs;
use std::process::Command;
use std::time::Instant;

use filemill_client::{Client, ClientOptions, Error, SendOptions};

use crate::minding::SmallDisk;
use crate::world::{LIMIT, World};

/// A home on a disk of its own, from which one file was sent.
async fn on_a_small_disk(world: &World) -> Option<SmallDisk> {
    let (home, aside) = (world.path("home"), world.path("aside"));
    fs::rename(&home, &aside).unwrap();
    let disk = SmallDisk::mount(&home, 4096)?;
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&home).status().unwrap().success());
    world.write("done", "content");
    world.send().await.assert_sizes(&[("done", 7)]);
    Some(disk)
}

/// Sends another one, and dies before its result is there.
async fn leave_one_waiting(world: &World) {
    world.write("waits", "22");
    world.fake.lock().faults.hold_results = true;
    world.send_and_die(|fake| fake.lock().uploads.len() == 2).await;
}

/// What died closes its journal a moment later; whoever is last and may write leaves no log.
async fn leave_no_log(world: &World) {
    let begun = Instant::now();
    loop {
        let client = world.client().await;
        client.close().await;
        if !["journal.db-wal", "journal.db-shm"].iter().any(|name| world.path("home").join(name).exists()) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "the log stays");
    }
}

async fn assert_is_read(world: &World) {
    let client = Client::open_to_read(world.home(), ClientOptions::default()).await.unwrap();
    assert!(matches!(client.journal_full(), Some(Error::JournalFull { .. })), "nothing is said of it");
    let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let results: Vec<_> = client.results(0).await.unwrap().files.iter().map(|file| name(&file.path)).collect();
    assert_eq!(results, ["done"]);
    assert!(client.result_at(&world.files().join("done")).await.unwrap().ending.succeeded());
    let mut waiting = Vec::new();
    client.status(|file| waiting.push(name(&file.path))).await.unwrap();
    assert_eq!(waiting, ["waits"]);
    assert!(client.watched_folders().await.unwrap().is_empty());
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, _) = client.send(options);
    let sent = sending.ended().await;
    assert!(matches!(sent, Err(Error::JournalFull { .. })), "{sent:?}");
    client.close().await;
}

async fn assert_nothing_is_lost(world: &World) {
    let client = world.client().await;
    let mut waiting = Vec::new();
    client.status(|file| waiting.push(file.path)).await.unwrap();
    assert_eq!(waiting, [fs::canonicalize(world.files()).unwrap().join("waits")]);
    assert_eq!(client.results(0).await.unwrap().files.len(), 1);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_of_a_full_disk_is_read_and_not_written() {
    let world = World::new().await;
    let Some(disk) = on_a_small_disk(&world).await else { return };
    leave_one_waiting(&world).await;
    leave_no_log(&world).await;
    let journal = world.path("home/journal.db");
    let before = fs::read(&journal).unwrap();
    disk.fill();
    assert_is_read(&world).await;
    assert!(fs::read(&journal).unwrap() == before, "it was written");
    disk.free();
    assert_nothing_is_lost(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_that_was_killed_left_in_the_journals_log_is_read_too() {
    let world = World::new().await;
    let Some(disk) = on_a_small_disk(&world).await else { return };
    // As it lies there while a program runs.
    let client = world.client().await;
    leave_one_waiting(&world).await;
    let parts = ["journal.db", "journal.db-wal"].map(|name| world.path("home").join(name));
    let left = parts.each_ref().map(|part| fs::read(part).unwrap());
    client.close().await;
    leave_no_log(&world).await;
    for (part, bytes) in parts.iter().zip(&left) {
        fs::write(part, bytes).unwrap();
    }
    disk.fill();
    assert_is_read(&world).await;
    disk.free();
    assert_nothing_is_lost(&world).await;
}
