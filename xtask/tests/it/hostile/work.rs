//! What a hostile server can give a processor or a client to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use filemill_api::paths;
use hyper::Method;
use serde_json::Value;
use xtask::engine::Engine;
use xtask::stack::ProcessorOptions;

use super::{reason, until_stored};
use crate::harness::{Asked, Backend, Deed, LIMIT, Object, Proxy, Stage};

/// Runs `change` on every string that is the URL of a presigned request.
fn urls_in(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(url) if name == "url" => change(url),
                    _ => urls_in(field, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| urls_in(item, change)),
        _ => {}
    }
}

/// Somebody who waits for bytes that are not theirs, and counts how often they came.
struct Trap {
    proxy: Proxy,
    sprung: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Result<Self> {
        let sprung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sprung);
        let proxy = Proxy::start(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { bail!("a trap") }
        })?;
        Ok(Self { proxy, sprung })
    }

    /// `url`, but on this origin.
    fn lure(origin: &str, url: &str) -> String {
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        format!("{origin}/{path}")
    }
}

#[test]
fn a_client_puts_nothing_on_an_origin_that_its_login_did_not_pin() -> Result<()> {
    let mut stage = Stage::complete(Backend::Sqlite)?;
    let between = stage.put_between()?;
    let ada = stage.person("ada")?;
    let file = stage.folder("files")?.write("file", "secret\n")?;
    let trap = Trap::set()?;
    let origin = trap.proxy.origin();
    between.api.twist(move |_, answer| urls_in(answer, &mut |url| *url = Trap::lure(&origin, url)));
    let mut sending = ada.start_sending([&file])?;
    sending.until_said_or_end("not a storage origin of this login")?;
    assert_eq!(trap.sprung.load(Ordering::SeqCst), 0);
    drop(sending);
    between.api.untwist();
    ada.send([&file])?.well()?;
    stage.end()
}

#[test]
fn a_processor_gets_nothing_from_an_origin_that_it_was_not_given() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    let between = stage.put_between()?;
    let ada = stage.person("ada")?;
    let files = stage.folder("files")?;
    let trap = Trap::set()?;
    let origin = trap.proxy.origin();
    between.api.twist(move |call, answer| {
        if call.path.starts_with(paths::LEASES) || call.path.starts_with(paths::RELEASES) {
            urls_in(answer, &mut |url| *url = Trap::lure(&origin, url));
        }
    });
    let recorded = stage.processor(ProcessorOptions::default())?;
    let sending = ada.start_sending([files.write("file", "one\n")?])?;
    recorded.until_logged("not a configured storage origin")?;
    assert_eq!(trap.sprung.load(Ordering::SeqCst), 0);
    assert!(ada.asker().results()?.is_empty(), "the job was blamed for the server's lie");
    between.api.untwist();
    let lines = sending.end(LIMIT)?.well()?.lines()?;
    assert_eq!(lines[0].number("lines"), Some(1));
    stage.end()
}

/// An engine of another digest that does the same: with a custom section behind its end.
fn another(stage: &Stage, files: &crate::harness::Files) -> Result<(Engine, Vec<u8>)> {
    let size = stage.engine();
    let mut bytes = std::fs::read(&size.file)?;
    bytes.extend(*b"\0\x05\x04more");
    let file = files.write("other.wasm", &bytes)?;
    let digest = filemill_seal::Digest::of(&bytes).to_string();
    let engine =
        Engine { name: "other".into(), version: size.version.clone(), file, digest, size_bytes: bytes.len() as u64 };
    Ok((engine, bytes))
}

#[test]
fn a_release_that_the_header_does_not_name_is_not_run() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    let between = stage.put_between()?;
    let files = stage.folder("files")?;
    let (other, _) = another(&stage, &files)?;
    stage.stack().publish(&other)?;
    let digest = other.digest.clone();
    between.api.twist(move |call, answer| {
        if call.path == paths::LEASES {
            for upload in answer["uploads"].as_array_mut().into_iter().flatten() {
                // Version 1 names it once, of the whole upload.
                if upload.get("release").is_some() {
                    upload["release"] = Value::from(digest.clone());
                }
                for span in upload["spans"].as_array_mut().into_iter().flatten() {
                    span["release"] = Value::from(digest.clone());
                }
            }
        }
    });
    stage.processor(ProcessorOptions::default())?;
    let ada = stage.person("ada")?;
    let said = ada.send([files.write("file", "one\n")?])?;
    assert_ne!(said.code, Some(0));
    let line = said.lines()?.into_iter().next().context("no report")?;
    assert!(line.report.is_none(), "{line:?}");
    assert!(reason(&line).contains("does not name release"), "{line:?}");
    stage.end()
}

#[test]
fn a_component_that_is_not_the_release_is_not_run() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    let between = stage.put_between()?;
    let files = stage.folder("files")?;
    // Something else of the same length.
    between.storage.rule(|asked| match (&asked.method, &asked.object) {
        (&Method::GET, Object::Component) => Deed::Alter(|mut component| {
            let half = component.len() / 2;
            component[half..].reverse();
            component
        }),
        _ => Deed::Pass,
    });
    stage.processor(ProcessorOptions::default())?;
    let ada = stage.person("ada")?;
    let said = ada.send([files.write("file", "one\n")?])?;
    assert_ne!(said.code, Some(0));
    let line = said.lines()?.into_iter().next().context("no report")?;
    assert!(line.report.is_none(), "{line:?}");
    assert!(reason(&line).contains("cannot be fetched: the object has the SHA-256"), "{line:?}");
    stage.end()
}

#[test]
fn chunks_in_another_order_are_not_analysed() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    let between = stage.put_between()?;
    // Two chunks change places, together with what the server says of them.
    between.api.twist(|call, answer| {
        let mut lists = Vec::new();
        if call.path == paths::LEASES {
            lists.extend(answer["uploads"].as_array_mut().into_iter().flatten().map(|upload| &mut upload["chunks"]));
        } else if call.path == paths::LEASE_CHUNKS {
            lists.push(&mut answer["chunks"]);
        }
        for list in lists {
            if let Some([one, two, ..]) = list.as_array_mut().map(Vec::as_mut_slice) {
                std::mem::swap(&mut one["get"], &mut two["get"]);
            }
        }
    });
    stage.absent_processor()?;
    let files = stage.folder("files")?;
    let ada = stage.person("ada")?;
    let sending = ada.start_sending([files.write_incompressible("large", 30 << 20)?])?;
    until_stored(&ada)?;
    stage.return_processors()?;
    let said = sending.end(LIMIT)?;
    let line = said.lines()?.into_iter().next().context("no report")?;
    assert!(line.report.is_none(), "{line:?}");
    assert!(reason(&line).contains("chunk"), "{line:?}");
    stage.end()
}

#[test]
fn a_header_that_was_altered_is_not_opened_and_is_sent_again() -> Result<()> {
    let mut stage = Stage::new(Backend::Sqlite)?;
    let between = stage.put_between()?;
    stage.processor(ProcessorOptions::default())?;
    let ada = stage.person("ada")?;
    let files = stage.folder("files")?;
    let counter = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&counter);
    between.storage.rule(move |asked: &Asked| match (&asked.method, &asked.object) {
        // The node asks three times before it says that the header is not what the row says.
        (&Method::GET, Object::Header { .. }) if counted.fetch_add(1, Ordering::Relaxed) < 4 => {
            Deed::Alter(|mut header| {
                if let Some(last) = header.last_mut() {
                    *last ^= 1;
                }
                header
            })
        }
        _ => Deed::Pass,
    });
    let said = ada.send([files.write("file", "one\n")?])?;
    let line = said.lines()?.into_iter().next().context("no report")?;
    assert!(said.code == Some(0) && line.report.is_some(), "{line:?}");
    assert!(counter.load(Ordering::Relaxed) > 4);
    stage.stack().expect_running()?;
    stage.end()
}
