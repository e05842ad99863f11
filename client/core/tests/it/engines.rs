//! Which engine runs over which file, and what it hands out.

use std::fs;
use std::time::Duration;

use filemill_api::{ErrorCode, Release};
use filemill_client::{
    Activity, AwaitedThing, Ending, Error, Event, Extent, Finished, NotSent, Note, RowValue, SendOptions, Trouble,
    WatchOptions, lay_out,
};
use filemill_seal::{Artifact, Digest};

use crate::fake::usual_release;
use crate::world::{Ran, World, collect_and, die};

fn release(engine: &str, media_types: Option<&[&str]>) -> Release {
    let media_types = media_types.map(|types| types.iter().map(|kind| (*kind).to_owned()).collect());
    Release { media_types, ..usual_release(engine, engine.as_bytes()) }
}

fn auto(world: &World) -> SendOptions {
    SendOptions { paths: vec![world.files()], engine: Some("auto".to_owned()), ..SendOptions::default() }
}

/// Name of each file and its engine.
fn engines(files: &[Finished]) -> Vec<(String, String)> {
    files
        .iter()
        .map(|file| {
            assert!(file.ending.succeeded(), "{:?}", file.ending);
            (file.path.file_name().unwrap().to_string_lossy().into_owned(), file.engine.clone())
        })
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(file, engine)| ((*file).to_owned(), (*engine).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_is_sent_to_the_engine_that_fits_it_in_one_upload_an_engine() {
    let world = World::new().await;
    world.fake.lock().releases =
        vec![release("size", Some(&[])), release("table", Some(&["text/csv"])), release("text", Some(&["text/*"]))];
    for (name, content) in [("a.csv", "1"), ("b.txt", "22"), ("c.csv", "333"), ("d", "\0\0\0\0"), ("e.txt", "55555")] {
        world.write(name, content);
    }
    let expected =
        pairs(&[("a.csv", "table"), ("b.txt", "text"), ("c.csv", "table"), ("d", "size"), ("e.txt", "text")]);
    let ran = world.send_with(auto(&world)).await;
    ran.result.as_ref().unwrap();
    assert_eq!(engines(&ran.finished), expected);
    assert_eq!(world.fake.lock().uploads.len(), 3);
    // All of it is known: nothing is sent again.
    assert_eq!(engines(&world.send_with(auto(&world)).await.finished), expected);
    assert_eq!(world.fake.lock().uploads.len(), 3);
    // Another engine's word is no answer.
    let text = SendOptions { engine: Some("text".to_owned()), ..auto(&world) };
    let ran = world.send_with(text).await;
    assert!(engines(&ran.finished).iter().all(|(_, engine)| engine == "text"));
    assert_eq!(world.fake.lock().uploads.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sends_each_file_to_its_engine_too() {
    let world = World::new().await;
    world.fake.lock().releases = vec![release("size", Some(&[])), release("table", Some(&["text/csv"]))];
    world.write("a.csv", "1");
    world.write("b", "22");
    let client = world.client().await;
    let options =
        WatchOptions { folders: vec![world.files()], engine: Some("auto".to_owned()), ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let finished = async {
        let mut finished = Vec::new();
        while finished.len() < 2 {
            if let Event::Finished(file) = told.next().await.unwrap() {
                finished.push(*file);
            }
        }
        watching.stop();
        finished
    };
    let (watched, mut finished) = tokio::join!(watching.ended(), finished);
    watched.unwrap();
    finished.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(engines(&finished), pairs(&[("a.csv", "table"), ("b", "size")]));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_about_to_be_described_is_waited_for() {
    let world = World::new().await;
    let describing = Release { describing: true, ..release("table", None) };
    world.fake.lock().releases = vec![release("size", None), describing];
    world.write("a.csv", "1");
    let described = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        world.fake.lock().releases[1] = release("table", Some(&["text/csv"]));
    };
    let (ran, ()) = tokio::join!(world.send_with(auto(&world)), described);
    ran.result.as_ref().unwrap();
    assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "table")]));
    let waited = ran
        .events
        .iter()
        .any(|event| matches!(event, Event::Note(Note::AwaitingDescriptions { engines }) if engines == "`table`"));
    assert!(waited, "{:?}", ran.events);
}

/// Sends everything for whichever engine fits, and does `then` when this file is said to wait.
async fn send_until_it_waits(world: &World, file: &str, then: impl FnOnce(&Activity)) -> Ran {
    let client = world.client().await;
    let (sending, told) = client.send(auto(world));
    let mut then = Some(then);
    let ran = collect_and(&sending, told, |event| {
        if let Event::Waiting { path, reason } = event
            && path.ends_with(file)
        {
            assert!(
                matches!(reason, AwaitedThing::Descriptions { error } if error.to_string().contains("`table`")),
                "{reason:?}"
            );
            then.take().expect("it waits once")(&sending);
        }
    })
    .await;
    client.close().await;
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_has_described_an_engine_its_files_wait_and_go_nowhere_else() {
    let world = World::new().await;
    let named = Release { extensions: vec!["odd".to_owned()], ..release("odd", Some(&["application/x-odd"])) };
    let undescribed = vec![release("size", None), release("table", None), named];
    world.fake.lock().releases = undescribed.clone();
    world.write("a.csv", "1");
    world.write("b.odd", "22");
    // Nobody ever says it, and somebody ends the program.
    let ran = send_until_it_waits(&world, "a.csv", Activity::stop).await;
    assert!(matches!(ran.result, Err(Error::Stopped)), "{:?}", ran.result);
    let says_it = |event: &Event| matches!(event, Event::Trouble(Trouble::Undescribed { error: Error::Undescribed { engines } }) if engines == "`table`");
    assert!(ran.events.iter().any(says_it), "{:?}", ran.events);
    assert!(ran.finished.iter().all(|file| file.path.ends_with("b.odd")), "{:?}", ran.finished);
    let describe = |_: &Activity| world.fake.lock().releases[1] = release("table", Some(&["text/csv"]));
    let ran = send_until_it_waits(&world, "a.csv", describe).await;
    ran.result.as_ref().unwrap();
    assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "table"), ("b.odd", "odd")]));
    // What was sent before is found again, though it had to wait until it was known what for.
    let files = world.fake.lock().files();
    world.fake.lock().releases = undescribed;
    let ran = send_until_it_waits(&world, "a.csv", describe).await;
    assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "table"), ("b.odd", "odd")]));
    assert_eq!(world.fake.lock().files(), files, "it was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_does_not_wait_for_what_cannot_be_described_any_more() {
    for (others, ends) in [(vec![release("size", None)], true), (Vec::new(), false)] {
        let world = World::new().await;
        let broken = Release { undescribable: true, ..release("table", None) };
        world.fake.lock().releases = others.into_iter().chain([release("table", None)]).collect();
        world.write("a.csv", "1");
        let tried = |_: &Activity| *world.fake.lock().releases.last_mut().unwrap() = broken;
        let ran = send_until_it_waits(&world, "a.csv", tried).await;
        ran.result.as_ref().unwrap();
        if ends {
            assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "size")]));
        } else {
            assert!(matches!(&ran.finished[0].ending, Ending::NotSent { code: NotSent::NoEngine, .. }));
        }
        assert!(says_that_nobody_could_describe(&ran), "{:?}", ran.events);
    }
}

fn says_that_nobody_could_describe(ran: &Ran) -> bool {
    let says =
        |event: &Event| matches!(event, Event::Trouble(Trouble::Undescribable { engines }) if engines == "`table`");
    ran.events.iter().any(says)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_processors_cannot_describe_is_not_waited_for() {
    let world = World::new().await;
    let broken = Release { undescribable: true, ..release("table", None) };
    world.fake.lock().releases = vec![release("size", None), broken];
    world.write("a.csv", "1");
    let ran = world.send_with(auto(&world)).await;
    let waits = |event: &Event| matches!(event, Event::Note(Note::AwaitingDescriptions { .. }));
    assert!(!ran.events.iter().any(waits), "{:?}", ran.events);
    assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "size")]));
    assert!(says_that_nobody_could_describe(&ran), "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_and_first_bytes_decide_where_the_table_of_names_does_not() {
    let world = World::new().await;
    let archive = Release {
        extensions: ["tgz", "docx", "apk", "cbz"].map(str::to_owned).to_vec(),
        ..release("archive", Some(&["application/zip", "application/gzip"]))
    };
    world.fake.lock().releases = vec![release("size", Some(&[])), archive, release("text", Some(&["text/*"]))];
    let zip = b"PK\x03\x04\x14\0\0\0\x08\0something";
    for (name, content) in [
        ("a.tgz", &b"anything"[..]),
        ("b.docx", b""),
        ("c.apk", zip),
        ("d.cbz", zip),
        ("e.sql", b"select 1;"),
        ("f.eml", b"From: a@example.org\r\n"),
        ("g.pem", b"-----BEGIN X-----"),
        ("h.xyz", zip),
        ("i", b"\0\x01\x02\x03"),
        ("j", b"words"),
    ] {
        world.write(name, content);
    }
    let expected = [
        ("a.tgz", "archive"),
        ("b.docx", "archive"),
        ("c.apk", "archive"),
        ("d.cbz", "archive"),
        ("e.sql", "text"),
        ("f.eml", "text"),
        ("g.pem", "text"),
        ("h.xyz", "archive"),
        ("i", "size"),
        ("j", "text"),
    ];
    let ran = world.send_with(auto(&world)).await;
    ran.result.as_ref().unwrap();
    assert_eq!(engines(&ran.finished), pairs(&expected));
    let uploads = world.fake.lock().uploads.len();
    assert_eq!(engines(&world.send_with(auto(&world)).await.finished), pairs(&expected));
    assert_eq!(world.fake.lock().uploads.len(), uploads, "nothing was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_engine_takes_fails_by_itself() {
    let world = World::new().await;
    world.fake.lock().releases = vec![release("table", Some(&["text/csv"]))];
    world.write("a.csv", "1");
    world.write("b.png", "22");
    let ran = world.send_with(auto(&world)).await;
    ran.result.as_ref().unwrap();
    assert!(ran.finished[0].ending.succeeded());
    assert!(matches!(&ran.finished[1].ending, Ending::NotSent { code: NotSent::NoEngine, .. }));
}

/// Sends `a.csv` for the engine `table`, dies on the way, and changes the file, so that it has to be sent again.
async fn interrupted(world: &World) {
    interrupted_for(world, vec![release("size", Some(&[])), release("table", Some(&["text/csv"]))]).await;
}

/// The same for the engine that fits best of these.
async fn interrupted_for(world: &World, releases: Vec<Release>) {
    world.fake.lock().releases = releases;
    world.write("a.csv", vec![1; 300_000]);
    world.fake.lock().faults.hang_puts_from = Some(1);
    let client = world.client().await;
    let (sending, told) = client.send(auto(world));
    die(client, sending, told, || world.fake.lock().seen.puts > 2).await;
    world.fake.lock().faults.hang_puts_from = None;
    world.write("a.csv", vec![2; 200_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_for_a_release_is_gone_on_with_for_it() {
    let world = World::new().await;
    interrupted(&world).await;
    let former = release("table", Some(&["text/csv"]));
    // The organisation has gone over to another release since.
    let newer = Release { version: "2.0.0".to_owned(), digest: usual_release("x", b"newer").digest, ..former.clone() };
    world.fake.lock().releases = vec![release("size", Some(&[])), newer, Release { current: false, ..former.clone() }];
    let ran = world.resume().await;
    ran.result.as_ref().unwrap();
    assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "table")]));
    let inner = world.fake.lock();
    let releases: Vec<_> = inner.order.iter().map(|id| inner.uploads[id].release()).collect();
    assert_eq!(releases, [former.digest.clone(), former.digest]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_for_a_release_that_is_gone_is_given_up_and_says_what_to_do() {
    let world = World::new().await;
    interrupted(&world).await;
    let newer = Release { digest: usual_release("x", b"newer").digest, ..release("table", Some(&["text/csv"])) };
    world.fake.lock().releases = vec![release("size", Some(&[])), newer];
    let ran = world.resume().await;
    ran.result.as_ref().unwrap();
    let [Finished { ending: Ending::NotSent { code, message, error }, .. }] = &ran.finished[..] else {
        panic!("{:?}", ran.finished);
    };
    assert_eq!(*code, NotSent::ReleaseGone);
    assert!(message.contains("1.0.0 of engine `table`"), "{message}");
    assert!(matches!(error.as_deref(), Some(Error::ReleaseGone { .. })), "{error:?}");
    assert_eq!(world.fake.lock().uploads.len(), 1, "it was sent for another release");
    // `send` takes it up as any other file.
    assert_eq!(engines(&world.send_with(auto(&world)).await.finished), pairs(&[("a.csv", "table")]));
}

/// What a processor brings is listed only while that is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_for_an_engine_that_is_away_with_its_processor_is_kept_until_that_is_back() {
    let world = World::new().await;
    let brought = |name| release(name, Some(&["text/csv"]));
    let (text, former, other) = (release("text", Some(&["text/plain"])), brought("local/b"), brought("local/a"));
    interrupted_for(&world, vec![text.clone(), former.clone()]).await;
    world.fake.lock().releases = vec![text.clone(), other.clone()];
    for _ in 0..2 {
        let ran = world.resume().await;
        ran.result.as_ref().unwrap();
        let [Finished { ending: Ending::NotSent { code, message, .. }, .. }] = &ran.finished[..] else {
            panic!("{:?}", ran.finished);
        };
        assert_eq!(*code, NotSent::EngineAway);
        assert!(message.contains("no processor offers release 1.0.0 of engine `local/b` now"), "{message}");
    }
    // A watcher does not send it for another engine either: of another folder, so that it finds nothing new.
    fs::create_dir(world.path("other")).unwrap();
    let client = world.client().await;
    let folders = vec![world.path("other")];
    let options = WatchOptions { folders, engine: Some("auto".to_owned()), ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let waits = async {
        loop {
            match told.next().await.unwrap() {
                Event::Waiting { reason, .. } => {
                    let is_away =
                        |error: &Error| matches!(error, Error::EngineAway { engine, .. } if engine == "local/b");
                    break assert!(matches!(&reason, AwaitedThing::Engine { error } if is_away(error)), "{reason:?}");
                }
                Event::Finished(file) => panic!("{file:?}"),
                _ => {}
            }
        }
        watching.stop();
    };
    let (watched, ()) = tokio::join!(watching.ended(), waits);
    watched.unwrap();
    client.close().await;
    assert_eq!(world.fake.lock().uploads.len(), 1);
    world.fake.lock().releases = vec![text, other, former];
    let ran = world.resume().await;
    ran.result.as_ref().unwrap();
    assert_eq!(engines(&ran.finished), pairs(&[("a.csv", "local/b")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_replaced_while_it_is_used_costs_another_upload_only() {
    let world = World::new().await;
    let (old, new) = (release("local/a", Some(&[])), release("local/a-replaced", Some(&[])));
    world.fake.lock().releases = vec![old.clone()];
    world.write("first", "1");
    let client = world.client().await;
    let options =
        WatchOptions { folders: vec![world.files()], engine: Some("local/a".to_owned()), ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let finished = async {
        let mut finished = Vec::new();
        loop {
            let Event::Finished(file) = told.next().await.unwrap() else { continue };
            finished.push(*file);
            if finished.len() == 2 {
                watching.stop();
                return finished;
            }
            let mut inner = world.fake.lock();
            inner.releases = vec![Release { digest: new.digest.clone(), ..old.clone() }];
            inner.faults.refused_opens = (1, Some(ErrorCode::NotFound));
            drop(inner);
            world.write("second", "22");
        }
    };
    let (watched, finished) = tokio::join!(watching.ended(), finished);
    watched.unwrap();
    assert_eq!(engines(&finished), pairs(&[("first", "local/a"), ("second", "local/a")]));
    let release = {
        let inner = world.fake.lock();
        inner.uploads[inner.order.last().unwrap()].release()
    };
    assert_eq!(release, new.digest);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_saved_beside_the_sealed_results() {
    let world = World::new().await;
    world.fake.lock().artifacts = vec![
        Artifact { name: "plot.svg".into(), media_type: "image/svg+xml".into(), data: b"<svg/>".to_vec() },
        Artifact { name: "raw".into(), media_type: "application/octet-stream".into(), data: vec![0; 70_000] },
    ];
    world.write("dir/a.csv", "1");
    let export = world.path("out");
    let options = SendOptions { paths: vec![world.files()], export: Some(export.clone()), ..SendOptions::default() };
    let folder = export.join("dir/a.csv.artifacts");
    for round in 0..2 {
        let ran = world.send_with(options.clone()).await;
        ran.result.as_ref().unwrap();
        let Ending::Succeeded { report, .. } = &ran.finished[0].ending else { panic!("{:?}", ran.finished) };
        assert_eq!(report.summary, "1 bytes");
        let told: Vec<_> = report.artifacts.iter().map(|a| (a.name.as_str(), a.bytes, a.path.clone())).collect();
        let folder = fs::canonicalize(&folder).unwrap();
        assert_eq!(told, [("plot.svg", 6, Some(folder.join("plot.svg"))), ("raw", 70_000, Some(folder.join("raw")))]);
        assert_eq!(fs::read(folder.join("plot.svg")).unwrap(), b"<svg/>", "round {round}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_listed_in_parts_that_fit_into_memory() {
    let world = World::new().await;
    // 12 MiB in a result: two of them are more than are opened at once.
    let data = vec![7; 9 << 20];
    world.fake.lock().artifacts = vec![Artifact { name: "a".into(), media_type: "text/plain".into(), data }];
    for name in ["a", "b", "c"] {
        world.write(name, name.repeat(3));
    }
    world.send().await.result.unwrap();
    let client = world.client().await;
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = client.results(after).await.unwrap();
        if page.files.is_empty() {
            break;
        }
        after = page.next;
        pages.push(page.files.iter().map(|file| file.path.file_name().unwrap().to_owned()).collect::<Vec<_>>());
    }
    client.close().await;
    pages.sort();
    assert_eq!(pages, [["a"], ["b"], ["c"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_shown_by_exactly_the_description_it_names() {
    let world = World::new().await;
    let document = r#"{"name":"size","report_schema":{"properties":{"bytes":{"title":"Size","x-format":"bytes"}}}}"#;
    world.fake.lock().description = Some((document.into(), r#"{"name":"a lie"}"#.into()));
    let path = world.write("a", "12345");
    world.send().await.result.unwrap();
    let client = world.client().await;
    let file = client.result_at(&path).await.unwrap();
    assert!(matches!(client.description_of(&file).await, Err(Error::OtherDescription { .. })));
    world.fake.lock().description = Some((document.into(), document.into()));
    for _ in 0..2 {
        let (upload, index) = file.place.unwrap();
        let file = client.result_of(upload, index).await.unwrap();
        let description = client.description_of(&file).await.unwrap();
        let Ending::Succeeded { report, .. } = &file.ending else { panic!("{file:?}") };
        let rows = lay_out(&report.json, description.as_ref(), Extent::Screen);
        assert_eq!((rows[0].title.as_str(), &rows[0].value), ("Size", &RowValue::Text("5 B".to_owned())));
    }
    let named = Digest::of(document.as_bytes()).to_string();
    assert_eq!(world.fake.lock().described, [named.clone(), named], "by its hash, and once it was right it is kept");
    assert!(matches!(client.result_at(&world.path("nothing")).await, Err(Error::NoResult { .. })));
    client.close().await;
}
