//! Uploads of which nothing is ever stored: said to be stored again and again, or opened for the sake of the answers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::connections::hold;
use super::{Attack, count};
use crate::random;

const UPLOADS: usize = 64;
const FILES: u32 = 4_096;
/// Said to be stored so often: five times a second.
const EVERY: Duration = Duration::from_millis(200);
/// New uploads take the place of the old ones after this time, because a server may have given those up.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// Chunks of an upload that is opened for its answer, which holds a URL for each and one more: as many as an answer may.
const WANTED: u32 = 63;
/// Requests whose answers nobody reads: more than there is room for one caller's answers.
const LARGE: usize = 24;
/// For as long as a server may let a request wait for room, and then again.
const LARGE_HOLD: Duration = Duration::from_secs(12);

/// Does so until the end; again from the beginning whenever the server refuses.
pub(super) fn advance(attack: &Attack) {
    while attack.goes_on() {
        if rounds(attack).is_err() {
            count(&attack.done.refused);
            attack.sleep(Duration::from_secs(1));
        }
    }
}

/// Bodies that are long, and whose answers are longer; nobody reads them.
pub(super) fn large(attack: &Attack) {
    let request = || {
        let release = release(attack, &mut attack.api.connect()?)?;
        let uploads = (0..UPLOADS).map(|_| {
            let want = (0..WANTED).map(|sequence| chunk(sequence, 1_000)).collect::<Result<Value>>()?;
            let jobs = json!({ "first_index": 0, "count": 1, "first_chunk": 0, "last_chunk": WANTED - 1 });
            upload(attack, &release, &hex::<32>()?, &jobs, &want)
        });
        let body = json!({ "uploads": uploads.collect::<Result<Value>>()? }).to_string();
        Ok::<_, anyhow::Error>(attack.api.head("POST", "/v1/uploads", Some(body.len())) + &body)
    };
    while attack.goes_on() {
        let Ok(request) = request() else {
            count(&attack.done.refused);
            attack.sleep(Duration::from_secs(1));
            continue;
        };
        hold(attack, LARGE, LARGE_HOLD, false, |target| {
            let mut stream = target.connect()?;
            stream.write_all(request.as_bytes())?;
            count(&attack.done.large);
            Ok(stream)
        });
    }
}

fn rounds(attack: &Attack) -> Result<()> {
    let mut stream = attack.api.connect()?;
    let release = release(attack, &mut stream)?;
    while attack.goes_on() {
        let stored = open(attack, &mut stream, &release)?;
        let renew = Instant::now() + RENEW_EVERY;
        while attack.goes_on() && Instant::now() < renew {
            let (status, _) = attack.api.exchange(&mut stream, "POST", "/v1/uploads/advance", Some(&stored))?;
            if status == 200 {
                count(&attack.done.advances);
            } else {
                count(&attack.done.refused);
            }
            attack.sleep(EVERY);
        }
    }
    Ok(())
}

/// Opens uploads; answers the request that says that they are stored.
fn open(attack: &Attack, stream: &mut TcpStream, release: &str) -> Result<String> {
    let want = json!([chunk(0, 1_000)?]);
    let jobs = json!({ "first_index": 0, "count": FILES, "first_chunk": 0, "last_chunk": 0 });
    let mut stored = Vec::new();
    for _ in 0..UPLOADS {
        let upload = upload(attack, release, &hex::<32>()?, &jobs, &want)?;
        let request = json!({ "uploads": [upload] }).to_string();
        let (status, _) = attack.api.exchange(stream, "POST", "/v1/uploads", Some(&request))?;
        if status != 200 {
            count(&attack.done.refused);
        }
        stored.push(json!({ "id": upload["id"], "header_stored": true, "stored": want }));
    }
    Ok(json!({ "uploads": stored }).to_string())
}

/// A new upload with a header of 1,000 bytes, all of whose chunks are wanted.
pub(super) fn upload(attack: &Attack, release: &str, header_sha256: &str, jobs: &Value, want: &Value) -> Result<Value> {
    Ok(json!({
        "id": hex::<16>()?, "release": release, "pool": attack.pool, "header_length": 1_000,
        "header_sha256": header_sha256, "chunks": want.as_array().map_or(0, Vec::len), "jobs": [jobs], "want": want,
    }))
}

/// A chunk of this length with any content.
pub(super) fn chunk(sequence: u32, length: usize) -> Result<Value> {
    Ok(json!({ "sequence": sequence, "length": length, "sha256": hex::<32>()? }))
}

pub(super) fn release(attack: &Attack, stream: &mut TcpStream) -> Result<String> {
    let (status, body) = attack.api.exchange(stream, "GET", &format!("/v1/releases?pool={}", attack.pool), None)?;
    ensure!(status == 200, "the releases are not told: {status}");
    let releases: Value = serde_json::from_slice(&body)?;
    Ok(releases["releases"][0]["digest"].as_str().context("there is no release")?.to_owned())
}

fn hex<const N: usize>() -> Result<String> {
    let mut text = String::new();
    for byte in random::bytes::<N>()? {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
