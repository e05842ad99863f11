//! Engine parameters: checked before anything is sent, sealed in the header, and kept by what is sent again.

use std::fs;

use filemill_api::OpenUpload;
use filemill_api::abilities::LONG_PARAMETERS;
use filemill_client::{
    AwaitedThing, Ending, Error, Event, Events, Finished, GivenParameters, NotSent, Reason, SendOptions, Trouble,
    WatchOptions,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::fake::usual_release;
use crate::world::{Ran, World, die};

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{
    "rules":{"type":["string","null"],"maxLength":1048576},"depth":{"type":"integer","maximum":9},
    "tags":{"type":"array","items":{"type":"string"}}}}"#;

/// A server whose engine says this of its parameters.
async fn world(schema: &str) -> World {
    let world = World::new().await;
    describe(&world, schema);
    world
}

fn describe(world: &World, schema: &str) {
    let document = format!(r#"{{"name":"size","version":"1.0.0","media_types":[],"parameter_schema":{schema}}}"#);
    world.fake.lock().description = Some((document.clone(), document));
}

fn set(values: &[(&str, &str)]) -> GivenParameters {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    GivenParameters { values, ..GivenParameters::default() }
}

async fn send(world: &World, parameters: GivenParameters) -> Ran {
    world.send_with(SendOptions { paths: vec![world.files()], parameters, ..SendOptions::default() }).await
}

/// What processors were given, in the order of uploads.
fn given(world: &World) -> Vec<String> {
    world.fake.headers().into_iter().map(|(header, _)| header.tasks[0].parameters.clone()).collect()
}

#[track_caller]
fn succeeded(ran: &Ran, files: usize) {
    ran.result.as_ref().unwrap();
    assert_eq!(ran.finished.iter().filter(|file| file.ending.succeeded()).count(), files, "{:?}", ran.finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_reach_the_processor_typed_by_the_schema_and_are_shown_with_the_result() {
    let world = world(SCHEMA).await;
    world.write("a", "1");
    let ran = send(&world, set(&[("rules", "12"), ("depth", "3"), ("tags", "x"), ("tags", "y")])).await;
    succeeded(&ran, 1);
    assert_eq!(given(&world), [r#"{"depth":3,"rules":"12","tags":["x","y"]}"#]);
    assert_eq!(ran.finished[0].parameters, ["depth", "rules", "tags"]);
    let client = world.client().await;
    let file = client.result_at(&world.files().join("a")).await.unwrap();
    assert_eq!(file.parameters, ["depth", "rules", "tags"]);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_does_not_take_is_refused_before_anything_is_sent() {
    let world = world(SCHEMA).await;
    world.write("a", "1");
    for (parameters, said) in
        [(set(&[("depth", "10")]), "`depth` is more than 9"), (set(&[("deep", "1")]), "there is no `deep`")]
    {
        let error = send(&world, parameters).await.result.unwrap_err();
        assert!(
            matches!(&error, Error::Parameters { engine, detail, .. } if engine == "size" && detail.contains(said)),
            "{error}"
        );
        let Error::Parameters { known, .. } = &error else { panic!("{error:?}") };
        assert!(["`depth`", "`rules`", "`tags`"].iter().all(|name| known.contains(name)), "{known}");
    }
    let auto = SendOptions {
        paths: vec![world.files()],
        engine: Some("auto".to_owned()),
        parameters: set(&[("depth", "1")]),
        ..SendOptions::default()
    };
    assert!(matches!(world.send_with(auto).await.result, Err(Error::WhichParameters)));
    describe(&world, "null");
    let error = send(&world, set(&[("depth", "1")])).await.result.unwrap_err();
    assert!(error.to_string().contains("takes none"), "{error}");
    assert_eq!(world.fake.lock().seen.opens, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_an_engine_that_nobody_has_described_are_not_sent_unchecked() {
    let world = World::new().await;
    world.write("a", "1");
    let error = send(&world, set(&[("depth", "1")])).await.result.unwrap_err();
    assert!(matches!(error, Error::ParametersUnknown { .. }), "{error}");
    assert_eq!(world.fake.lock().seen.opens, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_with_other_parameters_is_no_answer() {
    let world = world(SCHEMA).await;
    world.write("a", "1");
    world.write("copy", "1");
    for (parameters, uploads) in [
        (set(&[]), 1),
        (set(&[("depth", "1")]), 2),
        (set(&[("depth", "2")]), 3),
        (set(&[("depth", "1")]), 3),
        (set(&[]), 3),
    ] {
        let ran = send(&world, parameters).await;
        succeeded(&ran, 2);
        assert_eq!(world.fake.lock().uploads.len(), uploads);
    }
    assert_eq!(given(&world), ["{}", r#"{"depth":1}"#, r#"{"depth":2}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_parameters_are_sent_where_processors_take_them_and_nowhere_else() {
    let world = world(SCHEMA).await;
    world.write("a", "1");
    let long =
        || GivenParameters { texts: vec![("rules".to_owned(), "x".repeat(900_000))], ..GivenParameters::default() };
    let error = send(&world, long()).await.result.unwrap_err();
    assert!(matches!(error, Error::LongParameters { most: 65_536, .. }), "{error}");
    assert_eq!(world.fake.lock().seen.opens, 0);
    world.fake.lock().parameters_bytes = Some(1 << 20);
    succeeded(&send(&world, long()).await, 1);
    succeeded(&send(&world, set(&[("depth", "1")])).await, 1);
    let announced: Vec<bool> = world.fake.headers().iter().map(|(_, open)| is_long(open)).collect();
    assert_eq!(announced, [true, false]);
}

/// Whether the server was told that the parameters are long.
fn is_long(open: &OpenUpload) -> bool {
    open.tasks.iter().any(|task| task.needs == [LONG_PARAMETERS])
}

/// Sends `a` with parameters, dies on the way, and changes the file, so that it has to be sent again in another upload.
async fn interrupted(world: &World) {
    begun(world, set(&[("depth", "7")])).await;
    fs::write(world.files().join("a"), "changed").unwrap();
}

/// Sends `a` with parameters, and dies on the way.
async fn begun(world: &World, parameters: GivenParameters) {
    world.write("a", "1");
    world.fake.lock().faults.hang_puts_from = Some(0);
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], parameters, ..SendOptions::default() };
    let (sending, told) = client.send(options);
    die(client, sending, told, || world.fake.lock().seen.puts > 0).await;
    world.fake.lock().faults.hang_puts_from = None;
}

/// Takes all parameters out of the journal, as damage may.
async fn lose_parameters(world: &World) {
    let journal = SqliteConnectOptions::new().filename(world.path("home").join("journal.db"));
    let mut journal = journal.connect().await.unwrap();
    assert_eq!(sqlx::query("delete from parameters").execute(&mut journal).await.unwrap().rows_affected(), 1);
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_by_a_resume_has_the_same_parameters() {
    let world = world(SCHEMA).await;
    interrupted(&world).await;
    let ran = world.resume().await;
    succeeded(&ran, 1);
    let given = given(&world);
    assert!(!given.is_empty() && given.iter().all(|given| given == r#"{"depth":7}"#), "{given:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_parameters_the_journal_has_lost_is_not_sent_without_them() {
    let world = world(SCHEMA).await;
    interrupted(&world).await;
    lose_parameters(&world).await;
    let ran = world.resume().await;
    ran.result.as_ref().unwrap();
    let [Finished { ending: Ending::NotSent { code, message, error }, .. }] = &ran.finished[..] else {
        panic!("{:?}", ran.finished);
    };
    assert_eq!(*code, NotSent::Parameters);
    assert!(message.contains("lost the parameters of engine `size`"), "{message}");
    assert!(matches!(error.as_deref(), Some(Error::ParametersLost { .. })), "{error:?}");
    succeeded(&send(&world, set(&[("depth", "7")])).await, 1);
    let given = given(&world);
    assert!(!given.is_empty() && given.iter().all(|given| given == r#"{"depth":7}"#), "{given:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_long_parameters_the_journal_has_lost_goes_on_and_to_no_processor_that_refuses_it() {
    let world = world(SCHEMA).await;
    world.fake.lock().parameters_bytes = Some(1 << 20);
    let texts = vec![("rules".to_owned(), "x".repeat(900_000))];
    begun(&world, GivenParameters { texts, ..GivenParameters::default() }).await;
    lose_parameters(&world).await;
    {
        // So that it is announced once more.
        let mut inner = world.fake.lock();
        inner.uploads.clear();
        inner.order.clear();
    }
    succeeded(&world.resume().await, 1);
    let headers = world.fake.headers();
    let [(header, open)] = &headers[..] else { panic!("{} uploads", headers.len()) };
    assert!(header.tasks[0].parameters.len() > 900_000 && is_long(open));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_release_that_does_not_take_the_parameters_gets_no_file() {
    let world = world(SCHEMA).await;
    let client = world.client().await;
    let options =
        WatchOptions { folders: vec![world.files()], parameters: set(&[("depth", "9")]), ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let steps = async {
        world.write("a", "1");
        finished(&mut told).await;
        {
            let mut inner = world.fake.lock();
            inner.releases = vec![usual_release("size", b"newer")];
            // The next upload finds out that the former is gone.
            inner.faults.refused_opens = (1, Some(filemill_api::ErrorCode::NotFound));
        }
        describe(&world, r#"{"properties":{"depth":{"maximum":5}}}"#);
        world.write("b", "22");
        loop {
            match told.next().await.unwrap() {
                Event::Trouble(Trouble::NothingSent { error })
                    if error.to_string().contains("`depth` is more than 5") =>
                {
                    break;
                }
                Event::Finished(file) => panic!("{file:?}"),
                _ => {}
            }
        }
        watching.stop();
        while told.next().await.is_some() {}
    };
    let watching = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let (watched, ()) = tokio::join!(watching, steps);
    watched.unwrap();
    assert!(given(&world).iter().all(|given| given == r#"{"depth":9}"#));
}

async fn finished(told: &mut Events) -> Finished {
    loop {
        if let Event::Finished(file) = told.next().await.unwrap() {
            return *file;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_waits_for_descriptions_with_the_reason_and_goes_when_they_are_there() {
    let world = World::new().await;
    world.fake.lock().releases = vec![usual_release("size", b"s"), usual_release("table", b"t")];
    world.write("a.csv", "1");
    let client = world.client().await;
    let options =
        WatchOptions { folders: vec![world.files()], engine: Some("auto".to_owned()), ..WatchOptions::default() };
    let (watching, mut told) = client.watch(options);
    let steps = async {
        loop {
            if let Event::Waiting { reason, .. } = told.next().await.unwrap() {
                let names_it = |error: &Error| error.to_string().contains("`table`");
                assert!(matches!(&reason, AwaitedThing::Descriptions { error } if names_it(error)), "{reason:?}");
                break;
            }
        }
        let other = world.client().await;
        let mut reasons = Vec::new();
        other.status(|waiting| reasons.push(waiting.reason)).await.unwrap();
        other.close().await;
        assert!(matches!(&reasons[..], [Reason::NoDescriptions { .. }]), "{reasons:?}");
        assert_eq!(world.fake.lock().seen.opens, 0);
        world.fake.lock().releases[1].media_types = Some(vec!["text/csv".to_owned()]);
        let file = finished(&mut told).await;
        assert!(file.ending.succeeded());
        assert_eq!(file.engine, "table");
        watching.stop();
        while told.next().await.is_some() {}
    };
    let watching = async {
        let result = watching.ended().await;
        client.close().await;
        result
    };
    let (watched, ()) = tokio::join!(watching, steps);
    watched.unwrap();
}
