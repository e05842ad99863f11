//! Files in watched folders that no engine can be chosen for.

use std::path::Path;

use filemill_api::{ErrorCode, Release};
use filemill_client::{AwaitedThing, Error, Event, Events, Finished, Reason, SkipReason, Trouble, WatchOptions};

use crate::fake::usual_release;
use crate::world::{LIMIT, World};

/// Whether it says that several engines may be meant.
fn is_several(error: &Error) -> bool {
    matches!(error, Error::WhichEngine { known } if known == "`b`, `c`")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What `status` says of the file.
async fn status_of(world: &World, file: &str) -> Option<Reason> {
    let client = world.client().await;
    let mut reason = None;
    client
        .status(|waiting| {
            if name(&waiting.path) == file {
                reason = Some(waiting.reason);
            }
        })
        .await
        .unwrap();
    client.close().await;
    reason
}

/// Watches while `steps` follows what is told, and stops when that is done.
async fn watch<T>(world: &World, engine: Option<&str>, steps: impl AsyncFnOnce(&mut Events) -> T) -> T {
    let client = world.client().await;
    let options =
        WatchOptions { folders: vec![world.files()], engine: engine.map(str::to_owned), ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let steps = async {
        let done = steps(&mut told).await;
        watching.stop();
        while told.next().await.is_some() {}
        done
    };
    let work = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let both = async { tokio::join!(work, steps) };
    let (result, done) = tokio::time::timeout(LIMIT, both).await.expect("watching took too long");
    result.unwrap();
    done
}

/// The next files that finish, with their engines, in the order of their names.
async fn finished(told: &mut Events, files: usize) -> Vec<(String, String)> {
    let mut finished = Vec::new();
    while finished.len() < files {
        if let Event::Finished(file) = told.next().await.expect("the watcher ended") {
            let Finished { path, engine, ending, .. } = *file;
            assert!(ending.succeeded(), "{ending:?}");
            finished.push((name(&path), engine));
        }
    }
    finished.sort();
    finished
}

/// A release of an engine that takes such files.
fn taking(engine: &str, kind: &str) -> Release {
    Release { media_types: Some(vec![kind.to_owned()]), ..usual_release(engine, engine.as_bytes()) }
}

fn pair(file: &str, engine: &str) -> (String, String) {
    (file.to_owned(), engine.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_cannot_tell_which_engine_is_meant_any_more_waits_until_it_can() {
    let world = World::new().await;
    world.fake.lock().releases = vec![usual_release("a", b"a")];
    world.write("first", "1");
    watch(&world, None, async |told| {
        assert_eq!(finished(told, 1).await, [pair("first", "a")]);
        {
            let mut inner = world.fake.lock();
            inner.releases = vec![usual_release("b", b"b"), usual_release("c", b"c")];
            inner.faults.refused_opens = (1, Some(ErrorCode::NotFound));
        }
        world.write("second", "22");
        loop {
            match told.next().await.expect("the watcher ended") {
                Event::Trouble(Trouble::NothingSent { error }) => {
                    break assert!(is_several(&error), "{error}");
                }
                Event::Trouble(trouble) => panic!("{trouble:?}"),
                Event::Finished(file) => panic!("{file:?}"),
                _ => {}
            }
        }
        world.write("third", "333");
        let mut reason = None;
        while !matches!(reason, Some(Reason::NoEngine { .. })) {
            reason = status_of(&world, "third").await;
        }
        assert!(matches!(&reason, Some(Reason::NoEngine { error }) if is_several(error)), "{reason:?}");
        world.fake.lock().releases.remove(0);
        assert_eq!(finished(told, 2).await, [pair("second", "c"), pair("third", "c")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_a_watched_folder_that_no_engine_takes_waits_for_one_and_holds_no_other_up() {
    let world = World::new().await;
    world.fake.lock().releases = vec![taking("table", "text/csv")];
    world.write("b.png", "22");
    watch(&world, Some("auto"), async |told| {
        loop {
            match told.next().await.expect("the watcher ended") {
                Event::Waiting { path, reason } => {
                    assert_eq!(name(&path), "b.png");
                    assert_eq!(reason, AwaitedThing::Engine { error: Error::NoEngineFits });
                    break;
                }
                Event::Finished(file) => panic!("{file:?}"),
                _ => {}
            }
        }
        assert!(matches!(status_of(&world, "b.png").await, Some(Reason::NoEngine { .. })));
        world.write("a.csv", "1");
        assert_eq!(finished(told, 1).await, [pair("a.csv", "table")]);
        world.fake.lock().releases.push(taking("image", "image/*"));
        assert_eq!(finished(told, 1).await, [pair("b.png", "image")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_is_not_sent_again_when_its_engine_comes_back_after_the_watcher() {
    let world = World::new().await;
    let (table, pdf) = (taking("table", "text/csv"), taking("local/pdf", "application/pdf"));
    world.fake.lock().releases = vec![table.clone(), pdf.clone()];
    world.write("a.pdf", "1");
    world.write("b.pdf", "22");
    watch(&world, Some("auto"), async |told| finished(told, 2).await).await;
    assert_eq!(world.fake.lock().files(), 2);
    world.fake.lock().releases = vec![table.clone()];
    world.write("copy-of-a.pdf", "1");
    world.write("new.pdf", "333");
    watch(&world, Some("auto"), async |told| {
        for _ in 0..4 {
            while !matches!(told.next().await.expect("the watcher ended"), Event::Waiting { .. }) {}
        }
        world.fake.lock().releases = vec![table, pdf];
        let all = ["a.pdf", "b.pdf", "copy-of-a.pdf", "new.pdf"];
        assert_eq!(finished(told, 4).await, all.map(|file| pair(file, "local/pdf")));
    })
    .await;
    assert_eq!(world.fake.lock().files(), 3, "only the new one was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_that_nothing_can_be_sent_is_told() {
    let world = World::new().await;
    let good = world.fake.lock().statement(1);
    // The pool of another root, of which the same is said each time.
    let other = World::new().await.fake.lock().statement(1);
    world.write("0", "0");
    watch(&world, None, async |told| {
        assert_eq!(finished(told, 1).await, [pair("0", "size")]);
        for file in ["1", "2"] {
            {
                let mut inner = world.fake.lock();
                inner.pools = vec![other.clone()];
                // So that it asks what there is now.
                inner.faults.refused_opens = (1, Some(ErrorCode::NotFound));
            }
            world.write(file, file.repeat(20));
            loop {
                match told.next().await.expect("the watcher ended") {
                    Event::Trouble(trouble) => {
                        break assert!(matches!(trouble, Trouble::NothingSent { .. }), "{trouble:?}");
                    }
                    Event::Finished(file) => panic!("{file:?}"),
                    _ => {}
                }
            }
            world.fake.lock().pools = vec![good.clone()];
            assert_eq!(finished(told, 1).await, [pair(file, "size")]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_new_version_is_being_described_its_files_go_nowhere_else() {
    let world = World::new().await;
    let (size, image) =
        (Release { media_types: Some(Vec::new()), ..usual_release("size", b"s") }, taking("image", "image/*"));
    world.fake.lock().releases = vec![size.clone(), image.clone()];
    world.write("a.png", "1");
    watch(&world, Some("auto"), async |told| {
        assert_eq!(finished(told, 1).await, [pair("a.png", "image")]);
        {
            let mut inner = world.fake.lock();
            let digest = usual_release("image", b"newer").digest;
            inner.releases = vec![size, Release { media_types: None, describing: true, digest, ..image }];
            // So that it asks what there is now.
            inner.faults.refused_opens = (1, Some(ErrorCode::NotFound));
        }
        for file in ["b.png", "c.png"] {
            world.write(file, file.repeat(2));
            assert_eq!(finished(told, 1).await, [pair(file, "image")]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_rule_kept_back_while_it_waited_is_sent_when_the_rule_is_gone() {
    let world = World::new().await;
    world.fake.lock().releases = vec![taking("table", "text/csv")];
    world.write("b.png", "22");
    watch(&world, Some("auto"), async |told| {
        while !matches!(told.next().await.expect("the watcher ended"), Event::Waiting { .. }) {}
        let rules = world.write(".gitignore", "*.png\n");
        world.fake.lock().releases.push(taking("image", "image/*"));
        loop {
            match told.next().await.expect("the watcher ended") {
                Event::Skipped { path, reason } => {
                    assert_eq!(name(&path), "b.png");
                    break assert!(
                        matches!(&reason, SkipReason::LeftOut { rule } if rule.to_string().starts_with("pattern `*.png` of ")),
                        "{reason:?}"
                    );
                }
                Event::Finished(file) => panic!("{file:?}"),
                _ => {}
            }
        }
        std::fs::remove_file(rules).unwrap();
        assert_eq!(finished(told, 1).await, [pair("b.png", "image")]);
    })
    .await;
}
