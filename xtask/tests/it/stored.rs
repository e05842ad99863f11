//! What programs of release 0.1.0 left on a disk: a server's folder, a processor's, and somebody's home, with results that were read, and one
//! upload that waits for a processor. Made by the README's commands, with programs of that release; its keys are nobody's.
//!
//! The upload's header was good for a week, so nothing is expected of it here: what 0.1.0 sealed is opened in `client/seal/tests/it/released.rs`. More of its engines
//! than the `size` of this server are run in `released.rs`. (This `size` has another digest than that one: it was built with `CARGO_INCREMENTAL=1`.)

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::by_hand::Machine;

/// The folders `home`, `srv` and `files`.
const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stored/0.1.0.tar.gz");
/// Where its server listened. The journal knows its account by that, and storage its clients' pins: it listens there again. Both are below
/// the ports that systems give to outgoing connections.
const PORTS: [u16; 2] = [27871, 27872];

/// Puts it where a machine has such things.
fn unpack(machine: &Machine) -> Result<()> {
    let unpacked = Command::new("tar").args(["-xzf", STORED, "-C"]).arg(machine.dir()).status().context("tar")?;
    ensure!(unpacked.success(), "`{STORED}` is not unpacked");
    Ok(())
}

/// A command that waits for nobody for ever.
fn in_time(command: &str) -> String {
    format!("/usr/bin/timeout 60 {command}")
}

/// The only line of what was said.
fn line(out: &[u8]) -> Result<Value> {
    let text = String::from_utf8(out.to_vec())?;
    serde_json::from_str(text.trim()).with_context(|| text.clone())
}

#[test]
fn what_was_stored_is_opened_and_goes_on() -> Result<()> {
    let machine = Machine::new()?;
    unpack(&machine)?;
    let [api, storage] = PORTS;
    // The release that was current then stays it.
    let serve = format!(
        "filemill-server serve --engines '' --embedded ../srv --listen 127.0.0.1:{api} --s3-listen 127.0.0.1:{storage}"
    );
    let mut server = machine.going("server", &serve)?;
    server.line_that_begins("{\"listening\"")?;

    let status = machine.typed(&in_time("filemill status"))?;
    ensure!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    // A result that was read then.
    let read = machine.typed(&in_time("filemill show --json /tmp/filemill-0.1.0/files/first.txt"))?;
    let read = line(&read.stdout).with_context(|| String::from_utf8_lossy(&read.stderr).into_owned())?;
    assert_eq!((&read["status"], &read["report"]["lines"]), (&"succeeded".into(), &2.into()), "{read}");

    // Its keys, its cache and its token are the processor's of then.
    let compiled = machine.home().join(".local/state/filemill/processor/cache/compiled");
    let before = names(&compiled)?;
    let processor = machine.going("processor", "filemill-processor run")?;
    // What is new goes beside what was there: by the pool's keys of then, whose statement is renewed when its time is over.
    let new = machine.typed(&in_time("filemill send --json notes.txt"))?;
    let new = line(&new.stdout).with_context(|| String::from_utf8_lossy(&new.stderr).into_owned())?;
    assert_eq!((&new["status"], &new["report"]["lines"]), (&"succeeded".into(), &3.into()), "{new}");
    assert_eq!(names(&compiled)?, before, "what was compiled then is run now");
    processor.interrupt()?;
    server.interrupt()
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
