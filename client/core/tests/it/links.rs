//! Links that are met, or planted meanwhile: what lies behind them was never asked for.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use filemill_client::{Error, Event, FileKind, Finished, Reason, SendOptions, SkipReason, Trouble, WatchOptions};
use tokio::sync::mpsc;

use crate::world::{LIMIT, Ran, World, collect, eventually, noise};

/// A folder beside the one that is sent, with a file in it.
fn secret(world: &World, name: &str) -> PathBuf {
    let secret = world.path("secret");
    fs::create_dir_all(&secret).unwrap();
    fs::write(secret.join(name), "not yours").unwrap();
    secret
}

/// Watches while `acts` acts and is told of each file that finished, then stops in order. Says what finished and what was
/// skipped.
async fn watch<F: Future<Output = ()>>(
    world: &World,
    acts: impl FnOnce(mpsc::UnboundedReceiver<String>) -> F,
) -> (Vec<String>, Vec<(String, SkipReason)>) {
    let client = world.client().await;
    let options = WatchOptions { folders: vec![world.files()], ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let (tell, finished) = mpsc::unbounded_channel();
    let acting = async {
        acts(finished).await;
        watching.stop();
    };
    let name = |path: &Path| path.strip_prefix(world.files()).unwrap_or(path).display().to_string();
    let read = async {
        let (mut finished, mut skipped) = (Vec::new(), Vec::new());
        while let Some(event) = told.next().await {
            match event {
                Event::Finished(file) => {
                    finished.push(name(&file.path));
                    let _ = tell.send(name(&file.path));
                }
                Event::Skipped { path, reason } => skipped.push((name(&path), reason)),
                _ => {}
            }
        }
        (finished, skipped)
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let all = async { tokio::join!(work, read, acting) };
    let (result, told, ()) = tokio::time::timeout(LIMIT, all).await.expect("watching took too long");
    result.unwrap();
    told
}

async fn until(finished: &mut mpsc::UnboundedReceiver<String>, name: &str) {
    while finished.recv().await.expect("it goes on") != name {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_behind_a_link_in_a_watched_folder_is_not_sent() {
    let world = World::new().await;
    let secret = secret(&world, "old");
    symlink(&secret, world.files().join("link")).unwrap();
    world.write("before", "1");
    let (finished, skipped) = watch(&world, |mut finished| {
        let (world, secret) = (&world, &secret);
        async move {
            until(&mut finished, "before").await;
            fs::write(secret.join("new"), "not yours").unwrap();
            world.write("next", "22");
            until(&mut finished, "next").await;
            // A folder that comes as a whole is looked through, and listened to, from then on.
            fs::create_dir(world.path("elsewhere")).unwrap();
            symlink(secret, world.path("elsewhere/inner")).unwrap();
            fs::write(world.path("elsewhere/file"), "333").unwrap();
            fs::rename(world.path("elsewhere"), world.files().join("arrived")).unwrap();
            until(&mut finished, "arrived/file").await;
            fs::write(secret.join("newer"), "not yours").unwrap();
            world.write("arrived/last", "4444");
            until(&mut finished, "arrived/last").await;
        }
    })
    .await;
    assert_eq!(finished, ["before", "next", "arrived/file", "arrived/last"]);
    assert_eq!(skipped, [("link".to_owned(), SkipReason::Link), ("arrived/inner".to_owned(), SkipReason::Link)]);
    assert_eq!(world.fake.lock().files(), 4, "something else was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_becomes_a_link_while_it_is_sent_is_left_out_and_said() {
    let world = World::new().await;
    let (ran, secret) = swapped(&world).await;
    ran.assert_sizes(&[("first", 40 << 16)]);
    assert_left_out(&ran, &secret);
}

/// Sends a file and a folder, which becomes a link to a secret one before it is read.
async fn swapped(world: &World) -> (Ran, PathBuf) {
    let secret = secret(world, "file");
    world.write("first", noise(40));
    world.write("folder/file", "mine");
    // The first chunks hang in storage: the rest is not read before they are through, for lack of buffers.
    world.fake.lock().faults.hang_puts_from = Some(1);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let swap = async {
        eventually("a PUT", || world.fake.lock().seen.puts > 1).await;
        fs::rename(world.files().join("folder"), world.path("moved")).unwrap();
        symlink(&secret, world.files().join("folder")).unwrap();
        world.fake.lock().faults.hang_puts_from = None;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), swap);
    client.close().await;
    (ran, secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_place_a_pipe_or_a_folder_takes_is_left_out_as_where_it_was_so_before() {
    let world = World::new().await;
    world.write("first", noise(40));
    let (pipe, folder) = (world.write("pipe", "1"), world.write("sub/folder", "22"));
    world.fake.lock().faults.hang_puts_from = Some(1);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, told) = client.send(options);
    let replace = async {
        eventually("a PUT", || world.fake.lock().seen.puts > 1).await;
        fs::remove_file(&pipe).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        world.fake.lock().faults.hang_puts_from = None;
    };
    let (ran, ()) = tokio::join!(collect(&sending, told), replace);
    assert_eq!(sending.progress().found_files, 1);
    client.close().await;
    ran.assert_sizes(&[("first", 40 << 16)]);
    let mut skipped: Vec<_> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Skipped { path, reason } => Some((path.clone(), reason.clone())),
            _ => None,
        })
        .collect();
    skipped.sort_by(|a, b| a.0.cmp(&b.0));
    let not_a_file = |is| SkipReason::NotAFile { is };
    assert_eq!(skipped, [(pipe, not_a_file(FileKind::Pipe)), (folder, not_a_file(FileKind::Folder))]);
}

#[track_caller]
fn assert_left_out(ran: &Ran, secret: &Path) {
    let content = filemill_seal::Digest::of(&fs::read(secret.join("file")).unwrap());
    assert!(ran.finished.iter().all(|file: &Finished| file.sha256 != Some(content)), "a foreign file was sent");
    let said = |event: &Event| matches!(event, Event::Skipped { reason: SkipReason::Link, .. });
    assert!(ran.events.iter().any(said), "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_became_a_link_before_a_resume_is_left_out_and_no_failure() {
    let world = World::new().await;
    let secret = secret(&world, "file");
    world.write("first", noise(40));
    world.write("folder/file", "mine");
    world.fake.lock().faults.hang_puts_from = Some(20);
    world.send_and_die(|fake| fake.lock().uploads.values().any(|upload| upload.stored.len() >= 8)).await;
    fs::rename(world.files().join("folder"), world.path("moved")).unwrap();
    symlink(&secret, world.files().join("folder")).unwrap();
    world.fake.lock().faults.hang_puts_from = None;
    let ran = world.resume().await;
    ran.assert_sizes(&[("first", 40 << 16)]);
    assert_left_out(&ran, &secret);
    // Nothing is left to wait for, and the link is no failure.
    let client = world.client().await;
    let mut waiting = Vec::new();
    client.status(|file| waiting.push((file.path, file.reason))).await.unwrap();
    client.close().await;
    assert_eq!(waiting, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_the_user_named_is_followed_and_those_below_it_are_not() {
    let world = World::new().await;
    let secret = secret(&world, "file");
    world.write("real/file", "mine");
    symlink(&secret, world.files().join("real/link")).unwrap();
    symlink(world.files().join("real"), world.path("named")).unwrap();
    symlink(world.files().join("real/file"), world.path("named-file")).unwrap();
    for named in ["named", "named-file"] {
        let options = SendOptions { paths: vec![world.path(named)], again: true, ..SendOptions::default() };
        world.send_with(options).await.assert_sizes(&[(if named == "named" { "file" } else { "named-file" }, 4)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_below_a_rule_file_that_is_none_waits_which_is_said_and_nothing_else_does() {
    let world = World::new().await;
    world.write("pipe/waits-for-pipe", "1");
    world.write("long/waits-for-long", "22");
    world.write("read/a.secret", "secret");
    world.write("read/.gitignore", format!("*.secret\n{}", "#".repeat(300_000)));
    let (pipe, long) = (world.files().join("pipe/.filemillignore"), world.files().join("long/.gitignore"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::File::create(&long).unwrap().set_len(5 << 20).unwrap();
    world.write("before", "1");
    let was = world.files().join("was/.filemillignore");
    let mut reasons = Vec::new();
    let (finished, skipped) = watch(&world, |mut finished| {
        let (world, reasons, pipe, long, was) = (&world, &mut reasons, &pipe, &long, &was);
        async move {
            until(&mut finished, "before").await;
            world.write("was/deep/before-its-pipe", "1");
            until(&mut finished, "was/deep/before-its-pipe").await;
            rustix::fs::mknodat(rustix::fs::CWD, was, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            world.write("was/deep/after-its-pipe", "1");
            let client = world.client().await;
            client.status(|file| reasons.push((file.path, file.reason))).await.unwrap();
            client.close().await;
            world.write("next", "1");
            until(&mut finished, "next").await;
            fs::remove_file(pipe).unwrap();
            until(&mut finished, "pipe/waits-for-pipe").await;
            fs::write(long, "").unwrap();
            until(&mut finished, "long/waits-for-long").await;
        }
    })
    .await;
    assert!(!finished.contains(&"read/a.secret".to_owned()), "{finished:?}");
    let position = |name: &str| finished.iter().position(|other| other == name);
    assert!(position("next") < position("pipe/waits-for-pipe") && position("next") < position("long/waits-for-long"));
    let names = |path: &Path| reasons.iter().filter(|(other, _)| other == path).count();
    assert_eq!(names(&world.files().join("was/deep/before-its-pipe")), 0, "it has its result: {reasons:?}");
    assert_eq!(names(&world.files().join("was/deep/after-its-pipe")), 1, "{reasons:?}");
    assert_eq!((names(&was), names(&pipe), names(&long)), (1, 1, 1), "{reasons:?}");
    for (file, waits, why) in
        [(&pipe, "waits-for-pipe", "it is a named pipe"), (&long, "waits-for-long", "it is longer than 4 MiB")]
    {
        let detail = format!("what lies beside and below it waits, because its rules cannot be followed: {why}");
        let said = SkipReason::RulesUnread { detail };
        let name = file.strip_prefix(world.files()).unwrap().display().to_string();
        assert!(skipped.contains(&(name, said.clone())), "{skipped:?}");
        assert!(reasons.contains(&(file.clone(), Reason::Skipped { reason: said })), "{reasons:?}");
        let waiting = |(path, reason): &(PathBuf, Reason)| {
            path.ends_with(waits) && matches!(reason, Reason::RulesUnread { rule } if rule.to_string().ends_with(why))
        };
        assert!(reasons.iter().any(waiting), "{reasons:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_a_link_keeps_from_being_saved_is_a_failure_at_the_end() {
    let world = World::new().await;
    world.write("sub/x", "1");
    world.write("y", "22");
    let export = world.path("out");
    fs::create_dir(&export).unwrap();
    symlink("../elsewhere", export.join("sub")).unwrap();
    let send = || {
        world.send_with(SendOptions {
            paths: vec![world.files()],
            export: Some(export.clone()),
            ..SendOptions::default()
        })
    };
    let ran = send().await;
    let Err(error @ Error::NotKept { .. }) = &ran.result else { panic!("{:?}", ran.result) };
    assert!(error.to_string().contains("some results could not be kept"), "{error}");
    assert!(ran.finished.iter().all(|file| file.ending.succeeded()) && export.join("y.age").exists());
    let said = |event: &Event| matches!(event, Event::Trouble(Trouble::InTheWay { error }) if error.to_string().contains("sub/x.age`: a link"));
    assert!(ran.events.iter().any(said), "{:?}", ran.events);
    fs::remove_file(export.join("sub")).unwrap();
    send().await.assert_sizes(&[("x", 1), ("y", 2)]);
    assert!(export.join("sub/x.age").exists());
}
