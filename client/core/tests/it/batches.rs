//! Results in batches: each shown once, all or none of a batch that does not stand up to its checks.

use filemill_api::{EventKind, JobOutcome, Outcome, SealedResult};
use filemill_client::{Ending, Finished, SendOptions};
use filemill_seal::{Digest, Format, open_batch, open_result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::fake::{Batch, Twist};
use crate::world::{Ran, World, eventually};

/// A folder with files `a`, `b` and so on, of 1, 2 … bytes.
async fn with_files(count: u8) -> World {
    let world = World::new().await;
    for number in 0..count {
        world.write(&char::from(b'a' + number).to_string(), vec![b'x'; usize::from(number) + 1]);
    }
    world
}

async fn journal(world: &World) -> SqliteConnection {
    SqliteConnectOptions::new().filename(world.path("home").join("journal.db")).connect().await.unwrap()
}

async fn change_journal(world: &World, sql: &'static str) {
    let mut journal = journal(world).await;
    assert!(sqlx::query(sql).execute(&mut journal).await.unwrap().rows_affected() > 0, "{sql}");
    journal.close().await.unwrap();
}

/// How many batches the journal has, and how many results by themselves.
async fn in_journal(world: &World) -> (i64, i64) {
    let mut journal = journal(world).await;
    let counts = "select (select count(*) from batches), (select count(*) from results where sealed is not null)";
    let counts = sqlx::query_as(counts).fetch_one(&mut journal).await.unwrap();
    journal.close().await.unwrap();
    counts
}

/// What the server has told so far: of each batch its jobs and what is sealed.
fn batches(world: &World) -> Vec<(Vec<u32>, Vec<u8>)> {
    let inner = world.fake.lock();
    let of = |kind: &EventKind| match kind {
        EventKind::Results { jobs, sealed: Some(SealedResult::Inline(bytes)) } => {
            Some((jobs.iter().map(|one| one.job).collect(), bytes.0.clone()))
        }
        _ => None,
    };
    inner.events.iter().filter_map(|event| of(&event.kind)).collect()
}

/// The names of these files of the last upload, by their indexes in it, in alphabetical order.
fn named(world: &World, indexes: &[usize]) -> Vec<String> {
    let (header, _) = world.fake.headers().pop().unwrap();
    let name = |index: &usize| String::from_utf8(header.files[*index].name.clone()).unwrap();
    let mut names: Vec<_> = indexes.iter().map(name).collect();
    names.sort_unstable();
    names
}

/// Names of files that succeeded, and what is said of the others.
fn told(ran: &Ran) -> (Vec<String>, Vec<String>) {
    let (mut succeeded, mut others) = (Vec::new(), Vec::new());
    for file in &ran.finished {
        let name = file.path.file_name().unwrap().to_string_lossy().into_owned();
        match &file.ending {
            Ending::Succeeded { .. } => succeeded.push(name),
            Ending::NotShown { reason } => others.push(reason.clone()),
            other => panic!("{name}: {other:?}"),
        }
    }
    (succeeded, others)
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_batches_and_each_is_kept_as_a_single_one() {
    let world = World::new().await;
    for index in 0..150 {
        world.write(&format!("f{index:03}"), vec![b'x'; index]);
    }
    let ran = world.send().await;
    ran.result.as_ref().unwrap();
    assert!(ran.finished.len() == 150 && ran.finished.iter().all(|file| file.ending.succeeded()), "{ran:?}");
    let jobs: Vec<usize> = batches(&world).iter().map(|(jobs, _)| jobs.len()).collect();
    assert_eq!(jobs, [64, 64, 22]);
    assert_eq!(in_journal(&world).await, (3, 0));
    // Also if they are read again.
    change_journal(&world, "delete from cursors").await;
    let client = world.client().await;
    client.fetch_results().await.unwrap();
    client.close().await;
    assert_eq!(in_journal(&world).await, (3, 0));
    // What is kept as a file is one result of format 2, for the owner alone, that says what the batch said.
    let export = world.path("out");
    let options = SendOptions { paths: vec![world.files()], export: Some(export.clone()), ..SendOptions::default() };
    world.send_with(options.clone()).await.result.unwrap();
    assert_eq!(in_journal(&world).await, (3, 150));
    let client = world.client().await;
    let opened = client.open_file(&export.join("f149.age")).await.unwrap();
    assert!(opened.ending.succeeded() && opened.size == 149, "{opened:?}");
    let page = client.results(0).await.unwrap();
    assert!(page.files.iter().all(|file| file.ending.succeeded()), "{page:?}");
    client.close().await;
    let identity = filemill_client::load_identity(&world.home()).unwrap();
    let single = std::fs::read(export.join("f149.age")).unwrap();
    let single = open_result(&single, std::slice::from_ref(&identity)).unwrap();
    assert_eq!((single.claimed_task(), Some(single.claimed_index())), (0, opened.place.map(|(_, index)| index)));
    // It is the same file whenever it is kept: another would lie beside it.
    world.send_with(options).await.result.unwrap();
    assert_eq!(std::fs::read_dir(&export).unwrap().count(), 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_keeps_files_from_the_beginning_has_them_by_themselves() {
    let world = with_files(3).await;
    let export = world.path("out");
    let options = SendOptions { paths: vec![world.files()], export: Some(export.clone()), ..SendOptions::default() };
    let client = world.client().await;
    for _ in 0..2 {
        world.send_with(options.clone()).await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(in_journal(&world).await, (0, 3));
        assert!(client.open_file(&export.join("b.age")).await.unwrap().ending.succeeded());
    }
    client.close().await;
    assert_eq!(std::fs::read_dir(&export).unwrap().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_what_the_server_says_is_shown_to_nobody_and_spoils_no_other() {
    /// What is done to two batches of two files each, of which one is good; and what is said of the other.
    const CASES: [(&str, Twist, &str); 8] = [
        (
            "a member of another job",
            |batches| batches[0].bodies[1] = batches[1].bodies[0].clone(),
            "file 2 of the upload, not for file 1",
        ),
        (
            "members in each other's place",
            |batches| batches[0].bodies.swap(0, 1),
            "file 1 of the upload, not for file 0",
        ),
        ("one missing", |batches| drop(batches[0].bodies.pop()), "not as many members as there should be results"),
        (
            "one too many",
            |batches| {
                let other = batches[1].bodies[1].clone();
                batches[0].bodies.push(other);
            },
            "not as many members",
        ),
        ("of another task", |batches| batches[0].bodies[0].task = 1, "for task 1 of the upload, not for task 0"),
        (
            "a job that the upload does not have",
            |batches| batches[0].jobs[1].job = 9,
            "job 9 of the upload, which is not known here",
        ),
        ("the same job twice", |batches| batches[0].jobs[1].job = 0, "in disorder"),
        ("jobs in disorder", |batches| batches[0].jobs.swap(0, 1), "in disorder"),
    ];

    for (what, twist, said) in CASES {
        let world = with_files(4).await;
        {
            let mut inner = world.fake.lock();
            (inner.faults.batch_of, inner.faults.twist) = (Some(2), Some(twist));
        }
        // It is asked for again, and is the same.
        let sending = world.send_with(SendOptions { paths: vec![world.files()], ..SendOptions::default() });
        let named_twice = what == "the same job twice" || what == "a job that the upload does not have";
        if named_twice {
            // Nothing is ever said of the second file then: it waits.
            let client = world.client().await;
            let (activity, mut events) =
                client.send(SendOptions { paths: vec![world.files()], ..SendOptions::default() });
            drop(sending);
            let mut finished = Vec::new();
            while finished.len() < 3 {
                let event = tokio::time::timeout(crate::world::LIMIT, events.next()).await.expect(what);
                if let Some(filemill_client::Event::Finished(file)) = event {
                    finished.push(file);
                }
            }
            let messages: Vec<_> = finished.iter().filter_map(|file| file.ending.message()).collect();
            assert!(messages.len() == 1 && messages[0].contains(said), "{what}: {finished:?}");
            activity.stop();
            client.close().await;
            continue;
        }
        let ran = sending.await;
        let (succeeded, others) = told(&ran);
        assert_eq!(succeeded, named(&world, &[2, 3]), "{what}");
        assert!(others.len() == 2 && others.iter().all(|reason| reason.contains(said)), "{what}: {others:?}");
        // Nor later; and what came is kept once.
        let client = world.client().await;
        let page = client.results(0).await.unwrap();
        assert_eq!(page.files.iter().filter(|file| file.ending.succeeded()).count(), 2, "{what}");
        client.close().await;
        let mut journal = journal(&world).await;
        let evidence: i64 =
            sqlx::query_scalar("select count(*) from results where refusal is not null and sealed is not null")
                .fetch_one(&mut journal)
                .await
                .unwrap();
        assert_eq!(evidence, 1, "{what}");
        journal.close().await.unwrap();
        // And then they can be sent again.
        world.fake.lock().faults.twist = None;
        world.send().await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_upload_an_earlier_one_and_one_that_is_cut_off_are_not_shown() {
    let world = with_files(4).await;
    world.fake.lock().faults.batch_of = Some(2);
    world.send().await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    let former = batches(&world)[0].1.clone();
    let again = || SendOptions { paths: vec![world.files()], again: true, ..SendOptions::default() };
    // Of the same files, in another upload.
    world.fake.lock().faults.instead = Some(former);
    let (succeeded, others) = told(&world.send_with(again()).await);
    assert_eq!(succeeded, named(&world, &[2, 3]));
    assert!(
        others.len() == 2 && others.iter().all(|reason| reason.starts_with("result is for upload `")),
        "{others:?}"
    );
    for length in [0, 100, 400] {
        world.fake.lock().faults.cut_at = Some(length);
        let (succeeded, others) = told(&world.send_with(again()).await);
        assert_eq!((succeeded.len(), others.len()), (2, 2), "{length}: {others:?}");
        assert!(others.iter().all(|reason| reason.starts_with("result ")), "{length}: {others:?}");
    }
    // The batch before, of the same upload.
    world.fake.lock().faults.twist = Some(|batches| {
        let former = batches[0].bodies.clone();
        batches[1].bodies = former;
    });
    let (succeeded, others) = told(&world.send_with(again()).await);
    assert_eq!(succeeded, named(&world, &[0, 1]));
    assert!(others.iter().all(|reason| reason.contains("file 0 of the upload, not for file 2")), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_storage_has_is_asked_for_once_for_all_its_jobs() {
    for names_only_wanted in [false, true] {
        let world = with_files(5).await;
        {
            let mut inner = world.fake.lock();
            // When its event comes.
            (inner.faults.result_not_found, inner.faults.names_only_wanted) = (Some((0, 1)), names_only_wanted);
        }
        let ran = world.send().await;
        let all = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)];
        let wanted = world.fake.lock().seen.wanted.clone();
        let jobs: std::collections::BTreeSet<u32> = wanted.iter().map(|key| key.job).collect();
        if names_only_wanted {
            // Each job is asked for by itself at last, and a batch is not of one job.
            assert!(jobs.into_iter().eq(0..5), "{wanted:?}");
            let (succeeded, others) = told(&ran);
            assert!(succeeded.is_empty() && others.iter().all(|reason| reason.contains("not as many")), "{others:?}");
            continue;
        }
        ran.assert_sizes(&all);
        assert!(jobs.into_iter().eq([0]), "{wanted:?}");
        assert_eq!(world.fake.lock().seen.fetched, wanted[..1]);
        world.send().await.assert_sizes(&all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_damaged_on_its_way_is_asked_for_once_more() {
    let world = with_files(3).await;
    world.fake.lock().faults.damaged_inline = 1;
    world.send().await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3)]);
    assert_eq!(world.fake.lock().seen.wanted.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_batch_that_the_server_has_thrown_away_is_that_of_all_its_jobs() {
    let world = with_files(3).await;
    world.fake.lock().faults.result_not_found = Some((0, u32::MAX));
    let client = world.client().await;
    let (sending, events) = client.send(SendOptions { paths: vec![world.files()], ..SendOptions::default() });
    let meanwhile = async {
        eventually("it to be asked for again", || !world.fake.lock().seen.wanted.is_empty()).await;
        world.fake.lock().faults.results_gone = true;
    };
    let (ran, ()) = tokio::join!(crate::world::collect(&sending, events), meanwhile);
    client.close().await;
    let (succeeded, others) = told(&ran);
    assert!(succeeded.is_empty() && others.len() == 3, "{others:?}");
    assert!(others.iter().all(|reason| reason.contains("the server does not have the result any more")), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_journal_has_lost_costs_no_other_of_its_batch() {
    let world = with_files(4).await;
    world.die_before_results().await;
    change_journal(&world, "delete from files where idx = 2").await;
    let client = world.client().await;
    assert!(client.fetch_results().await.unwrap().left.is_empty());
    let page = client.results(0).await.unwrap();
    let name = |file: &Finished| file.path.file_name().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<_> = page.files.iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(names, named(&world, &[0, 1, 3]));
    assert!(page.files.iter().all(|file| file.ending.succeeded()), "{page:?}");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_every_task_are_checked_and_kept_and_those_of_the_first_are_the_files_own() {
    fn with_another_task(batches: &mut Vec<Batch>) {
        let Batch { jobs, bodies } = &batches[0];
        let files = jobs.len() as u32;
        let other = Batch {
            jobs: jobs.iter().map(|one| JobOutcome { job: one.job + files, ..*one }).collect(),
            bodies: bodies.iter().map(|body| filemill_seal::ResultBody { task: 1, ..body.clone() }).collect(),
        };
        // Of the second task first.
        batches.insert(0, other);
    }

    for allowed in [true, false] {
        let world = with_files(3).await;
        world.fake.lock().faults.twist = Some(with_another_task);
        world.die_before_results().await;
        let release = world.fake.lock().uploads.values().next().unwrap().release();
        let second = if allowed { release.clone() } else { Digest::of(b"another").to_string() };
        let mut connection = journal(&world).await;
        let tasks = serde_json::json!([[release], [second]]).to_string();
        sqlx::query("update uploads set tasks = $1").bind(tasks).execute(&mut connection).await.unwrap();
        world.resume().await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3)]);
        let client = world.client().await;
        client.fetch_results().await.unwrap();
        assert_eq!(client.results(0).await.unwrap().files.len(), 3, "each file is listed once");
        client.close().await;
        let kept: Vec<(i64, bool)> = sqlx::query_as("select idx, refusal is null from results order by idx")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let expected: Vec<_> = (0..6).map(|job| (job, job < 3 || allowed)).collect();
        assert_eq!(kept, expected);
        connection.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_many_jobs_at_once_in_either_format() {
    for format in [1, 2] {
        let world = with_files(3).await;
        world.fake.lock().formats = vec![format];
        world.fake.lock().faults.hold_results = true;
        let client = world.client().await;
        let (sending, events) = client.send(SendOptions { paths: vec![world.files()], ..SendOptions::default() });
        let cancel = async {
            eventually("the upload", || !world.fake.lock().uploads.is_empty()).await;
            let other = world.client().await;
            assert_eq!(other.cancel(&[], |_, _| {}).await.unwrap(), 3);
            other.close().await;
        };
        let (ran, ()) = tokio::join!(crate::world::collect(&sending, events), cancel);
        client.close().await;
        assert!(ran.finished.len() == 3 && ran.finished.iter().all(|file| file.ending.is_cancelled()), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_result_that_the_server_gives_to_two_files_of_format_1_is_shown_to_neither() {
    fn to_both(batches: &mut Vec<Batch>) {
        let other = batches.pop().unwrap();
        batches[0].jobs.extend(other.jobs);
    }

    let world = with_files(2).await;
    world.fake.lock().formats = vec![1];
    world.fake.lock().faults.twist = Some(to_both);
    let (succeeded, others) = told(&world.send().await);
    assert!(succeeded.is_empty(), "{succeeded:?}");
    assert!(others.iter().all(|reason| reason.contains("one result is that of 2 files")), "{others:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_that_65_jobs_have_is_not_even_fetched() {
    let world = World::new().await;
    for index in 0..65 {
        world.write(&format!("f{index:03}"), vec![b'x'; index]);
    }
    {
        let mut inner = world.fake.lock();
        (inner.faults.large_results, inner.faults.result_not_found) = (true, Some((0, u32::MAX)));
        inner.faults.twist = Some(|batches| {
            let last = batches.pop().unwrap();
            batches[0].jobs.extend(last.jobs);
        });
    }
    let (succeeded, others) = told(&world.send().await);
    assert!(succeeded.is_empty() && others.len() == 65, "{succeeded:?}, {others:?}");
    assert!(others.iter().all(|reason| reason.contains("one batch has the results of 65 jobs")), "{others:?}");
    assert!(world.fake.lock().seen.wanted.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_another_device_are_counted_by_their_results_whichever_major_brings_them() {
    for speaks in [crate::fake::Speaks::Both, crate::fake::Speaks::OnlyOne] {
        let world = with_files(3).await;
        world.send().await.assert_sizes(&[("a", 1), ("b", 2), ("c", 3)]);
        let came = batches(&world);
        let [(jobs, sealed)] = &came[..] else { panic!("{} batches", came.len()) };
        assert_eq!(jobs, &[0, 1, 2]);
        // With the user's key any device can open it by the header.
        let (header, open) = world.fake.headers().pop().unwrap();
        let identity = filemill_client::load_identity(&world.home()).unwrap();
        let digest: Digest = open.header_sha256.parse().unwrap();
        let expected: Vec<_> =
            (0..3).map(|index| filemill_seal::Expected::from_header(&header, digest, 0, index).unwrap()).collect();
        assert_eq!(header.format, Format::Two);
        let members = open_batch(sealed, std::slice::from_ref(&identity)).unwrap().verify(&header.key, &expected);
        assert!(members.unwrap().iter().all(|member| member.body().report.is_some()));
        // This program counts what is of another device.
        for part in ["journal.db", "journal.db-wal", "journal.db-shm"] {
            let _ = std::fs::remove_file(world.home().path().join(part));
        }
        filemill_client::begin_new_journal(&world.home()).await.unwrap();
        world.fake.lock().faults.speaks = speaks;
        let client = world.client().await;
        assert_eq!(client.fetch_results().await.unwrap().unknown, 3, "{speaks:?}");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_of_a_batch_is_what_was_sealed_and_not_what_the_server_says() {
    let world = with_files(2).await;
    world.fake.lock().faults.twist = Some(|batches| {
        batches[0].jobs[0].outcome = Outcome::Trapped;
    });
    world.send().await.assert_sizes(&[("a", 1), ("b", 2)]);
}
