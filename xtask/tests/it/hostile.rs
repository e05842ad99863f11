//! A hostile server, and storage that hands out something else than was stored: each lie is refused by the other side, with
//! its reason, and nothing wrong is ever shown.

mod objects;
mod work;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use data_encoding::BASE64;
use filemill_api::paths;
use filemill_seal::{
    DataKey, Digest, EngineInput, Format, Header, Identity, Outcome, PoolRoot, Report, Resources, ResultBody,
    Statement, Task, seal_batch, seal_result,
};
use serde_json::{Value, json};
use xtask::stack::Scope;
use xtask::wait;

use crate::harness::{Backend, Between, Call, Files, LIMIT, Line, Person, Stage};

/// A stage with a hostile server, and somebody whose upload is complete and whose results are there, unread.
struct Scene {
    stage: Stage,
    between: Between,
    ada: Person,
    files: Files,
}

impl Scene {
    /// All of one upload.
    fn with_results(contents: &[&str]) -> Result<Self> {
        Self::with_uploads(&[contents])
    }

    fn with_uploads(uploads: &[&[&str]]) -> Result<Self> {
        let mut stage = Stage::new(Backend::Sqlite)?;
        let between = stage.put_between()?;
        stage.absent_processor()?;
        let files = stage.folder("files")?;
        let ada = stage.person("ada")?;
        let mut count = 0;
        for (number, contents) in (1..).zip(uploads) {
            for content in *contents {
                files.write(format!("file-{count}"), content)?;
                count += 1;
            }
            // What is under way already is not sent again.
            let sending = ada.start_sending([files.path()])?;
            until_all_stored(&ada, number)?;
            sending.kill()?;
        }
        stage.return_processors()?;
        wait::until("every result", LIMIT, || Ok((ada.asker().results()?.len() == count).then_some(())))?;
        Ok(Self { stage, between, ada, files })
    }

    /// Reads the results, as the server now tells them.
    fn read(&self) -> Result<Vec<Line>> {
        let said = self.ada.send([self.files.path()])?;
        assert_ne!(said.code, Some(0), "a lie was taken for a success:\n{}", said.out);
        said.lines()
    }
}

/// Waits until all that `person` sends is stored.
fn until_stored(person: &Person) -> Result<()> {
    until_all_stored(person, 1)
}

/// Waits until so many uploads of `person` are stored.
fn until_all_stored(person: &Person, count: usize) -> Result<()> {
    wait::until("the uploads to be stored", LIMIT, || {
        let uploads = person.asker().uploads()?;
        Ok((uploads.iter().filter(|upload| upload.stored == upload.chunks).count() == count).then_some(()))
    })
}

/// The results in an answer, if it is a page of events or gives results again. The server vouches for none of them.
fn results_in(answer: &mut Value) -> Vec<&mut Value> {
    if answer.get("events").is_some() {
        let events = answer.get_mut("events").and_then(Value::as_array_mut);
        let events = events.map(|events| events.iter_mut()).into_iter().flatten();
        return events.filter(|event| event["kind"] == "results" || event["kind"] == "result").collect();
    }
    let results = answer.get_mut("results").and_then(Value::as_array_mut);
    let results = results.map(|results| results.iter_mut()).into_iter().flatten();
    let given = results.filter_map(|item| item.get_mut("ok"));
    let mut given: Vec<_> = given.filter(|result| result.get("sealed").is_some()).collect();
    for result in &mut given {
        result.as_object_mut().map(|result| result.remove("sha256"));
    }
    given
}

fn reason(line: &Line) -> &str {
    line.message.as_deref().unwrap_or_default()
}

#[test]
fn two_results_that_were_swapped_are_not_shown() -> Result<()> {
    let scene = Scene::with_uploads(&[&["one\n"], &["one\ntwo\n"]])?;
    scene.between.api.twist(|_, answer| {
        if let [one, two] = &mut results_in(answer)[..] {
            let (one, two) = (one["sealed"].take(), std::mem::replace(&mut two["sealed"], Value::Null));
            for (event, sealed) in results_in(answer).into_iter().zip([two, one]) {
                event["sealed"] = sealed;
            }
        }
    });
    let lines = scene.read()?;
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert!(line.report.is_none() && reason(line).contains("result is for upload"), "{line:?}");
    }
    scene.stage.end()
}

#[test]
fn a_result_of_an_earlier_upload_is_not_shown() -> Result<()> {
    let mut scene = Scene::with_results(&["one\n"])?;
    let earlier = scene.ada.send([scene.files.path()])?.well()?.lines()?;
    assert_eq!(earlier[0].number("lines"), Some(1));
    let pages = [paths::EVENTS, paths::EVENT_STREAM].map(|path| scene.between.api.heard(path));
    let mut pages: Vec<Value> = pages.into_iter().flatten().map(|heard| heard.answer).collect();
    let old = pages.iter_mut().find_map(|page| results_in(page).first().map(|event| event["sealed"].clone()));
    let old = old.context("no result was told")?;

    scene.files.write("file-0", "one\ntwo\nthree\n")?;
    scene.between.api.twist(move |_, answer| {
        for event in results_in(answer) {
            event["sealed"] = old.clone();
        }
    });
    let lines = scene.read()?;
    let line = lines.first().context("no report")?;
    assert!(line.report.is_none() && reason(line).contains("result is for upload"), "{line:?}");
    scene.stage.stack().expect_running()?;
    scene.stage.end()
}

#[test]
fn a_result_that_no_processor_made_is_not_shown() -> Result<()> {
    let scene = Scene::with_results(&["one\n"])?;
    // All that the server knows, and all that it could guess: everything but the data key.
    let opened = scene.between.api.heard(paths::UPLOADS);
    let opened = opened.iter().find(|heard| heard.call.asked.is_object()).context("no upload was opened")?;
    let upload = &opened.call.asked["uploads"][0];
    let text = |field: &str| upload[field].as_str().with_context(|| format!("an upload has `{field}`"));
    // An earlier client names one release, and an earlier part has format 1 used.
    let format = if upload["format"] == 2 { Format::Two } else { Format::One };
    let release = upload.get("release").unwrap_or(&upload["tasks"][0]["releases"][0]);
    let release = release.as_str().context("it has a release")?.parse()?;
    let body = ResultBody {
        upload: text("id")?.parse()?,
        task: 0,
        index: 0,
        header: text("header_sha256")?.parse()?,
        release: Some(release),
        outcome: Outcome::Succeeded,
        input: Some(EngineInput { length: 4, sha256: Digest::of(b"one\n") }),
        report: Some(Report::from_json(r#"{"bytes":4,"lines":4000}"#.to_owned())?),
        failure: None,
        log: Vec::new(),
        resources: Resources::default(),
    };
    let header = Header {
        format,
        upload: body.upload,
        key: DataKey::random(),
        uploader: scene.ada.identity()?.recipient(),
        tasks: vec![Task { releases: vec![release], parameters: "{}".to_owned() }],
        organisation: Vec::new(),
        isolation: BTreeSet::new(),
        chunk_size: 1 << 20,
        not_after: u64::MAX >> 1,
        files: Vec::new(),
    };
    let forged = match format {
        Format::One => seal_result(&body, &header.key, &header.uploader)?,
        Format::Two => seal_batch(&[body], &header)?,
    };
    let forged = BASE64.encode(&forged);
    scene.between.api.twist(move |_, answer| {
        for event in results_in(answer) {
            event["sealed"] = json!({"inline": forged});
        }
    });
    let lines = scene.read()?;
    let line = lines.first().context("no report")?;
    assert!(line.report.is_none(), "{line:?}");
    assert!(reason(line).contains("not made by a processor of the pool"), "{line:?}");
    scene.stage.end()
}

#[test]
fn a_result_for_somebody_else_is_not_shown() -> Result<()> {
    let scene = Scene::with_results(&["one\n"])?;
    let foreign = age_file_for(&Identity::generate())?;
    scene.between.api.twist(move |_, answer| {
        for event in results_in(answer) {
            event["sealed"] = json!({"inline": foreign});
        }
    });
    let lines = scene.read()?;
    let line = lines.first().context("no report")?;
    assert!(line.report.is_none() && reason(line).contains("none of the"), "{line:?}");
    scene.stage.end()
}

/// Some result for the owner of `identity`, as base64.
fn age_file_for(identity: &Identity) -> Result<String> {
    let body = ResultBody {
        upload: filemill_seal::UploadId::random(),
        task: 0,
        index: 0,
        header: Digest::of(b"header"),
        release: None,
        outcome: Outcome::HostFailed,
        input: None,
        report: None,
        failure: Some(filemill_seal::Failure { kind: "host_failed".into(), message: "none".into() }),
        log: Vec::new(),
        resources: Resources::default(),
    };
    Ok(BASE64.encode(&seal_result(&body, &DataKey::random(), &identity.recipient())?))
}

/// A pool whose root this test has, and what a server passes on of it.
struct OwnPool {
    root: PoolRoot,
}

impl OwnPool {
    /// A statement that is valid from `from` to `to`, in seconds from now.
    fn offer(&self, serial: u64, from: i64, to: i64) -> Result<Value> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let statement = Statement {
            pool: xtask::stack::ORGANISATION.into(),
            recipient: Identity::generate().recipient(),
            not_before: now.saturating_add_signed(from),
            not_after: now.saturating_add_signed(to),
            serial,
        };
        Ok(json!({"pools": [serde_json::to_value(self.root.sign(&statement)?)?]}))
    }

    /// Somebody who has pinned this pool.
    fn person(&self, stage: &mut Stage, between: &Between) -> Result<Person> {
        let enrolment =
            stage.folder("enrolment")?.write("own.json", self.root.enrolment(xtask::stack::ORGANISATION)?.to_json())?;
        stage.person_of_pool("bob", &between.api.origin(), &enrolment)
    }
}

/// Offers `offer` as the pool's recipient.
fn offer(between: &Between, offer: Value) {
    between.api.twist(move |call: &Call, answer| {
        if call.path == paths::POOLS {
            *answer = offer.clone();
        }
    });
}

#[test]
fn nothing_is_sealed_for_a_recipient_of_the_servers_own() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let between = stage.put_between()?;
    let ada = stage.person("ada")?;
    let file = stage.folder("files")?.write("file", "secret\n")?;
    let own = OwnPool { root: PoolRoot::generate() };
    offer(&between, own.offer(9, -60, 3600)?);
    refused(&ada, &file, "did not sign this recipient")?;
    // To say nothing only delays.
    offer(&between, json!({"pools": []}));
    let mut sending = ada.start_sending([&file])?;
    sending.until_said("has no recipient of pool")?;
    between.api.untwist();
    sending.end(LIMIT)?.well()?;
    stage.end()
}

#[test]
fn nothing_is_sealed_for_an_expired_early_or_older_recipient() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    // The server knows a pool of that name, and nobody works for it meanwhile.
    stage.absent_processor()?;
    let between = stage.put_between()?;
    let file = stage.folder("files")?.write("file", "secret\n")?;
    let own = OwnPool { root: PoolRoot::generate() };
    offer(&between, own.offer(4, -60, 3600)?);
    let bob = own.person(&mut stage, &between)?;
    // Serial 4 is accepted, and from then on nothing older.
    let sending = bob.start_sending([&file])?;
    until_stored(&bob)?;
    sending.kill()?;
    for (statement, message) in [
        (own.offer(5, -7200, -3600)?, "recipient expired at"),
        (own.offer(5, 3600, 7200)?, "recipient is valid from"),
        (own.offer(3, -60, 3600)?, "recipient has serial 3, but 4"),
    ] {
        offer(&between, statement);
        refused(&bob, &file, message)?;
    }
    stage.end()
}

/// Sends `file`, which must be refused with `message` before anything is opened.
fn refused(person: &Person, file: &std::path::Path, message: &str) -> Result<()> {
    let before = person.asker().uploads()?.len();
    let said = person.send([file])?;
    assert_ne!(said.code, Some(0), "{said:?}");
    assert!(said.log.contains(message), "no `{message}` in: {}", said.log);
    assert_eq!(person.asker().uploads()?.len(), before, "an upload was opened");
    Ok(())
}

#[test]
fn a_token_that_is_wrong_or_of_another_scope_logs_nobody_in() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    let dir = stage.folder("tokens")?;
    let wrong = dir.write("wrong", "fm_0000000000000000000000000000000000000000000")?;
    let processors = stage.stack().token(xtask::stack::ORGANISATION, "eve", Scope::Processor)?;
    for (token, message) in [(wrong, "does not accept the token"), (processors, "may not do this")] {
        let enrolment = stage.stack().enrolment();
        let client = stage.client("eve");
        let server = stage.stack().addresses().listening.clone();
        let error = client.log_in(&server, &token, &enrolment).expect_err("no login").to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains(fs::read_to_string(&token)?.trim()), "the token is in: {error}");
    }
    stage.end()
}
