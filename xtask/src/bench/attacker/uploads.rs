//! Uploads of which nothing is ever stored, and which are said to be stored again and again.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Attack, count};
use crate::random;

const UPLOADS: usize = 64;
const FILES: u32 = 4_096;
/// Said to be stored so often: five times a second.
const EVERY: Duration = Duration::from_millis(200);
/// New uploads take the place of the old ones after this time, because a server may have given those up.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Does so until the end; again from the beginning whenever the server refuses.
pub(super) fn advance(attack: &Attack) {
    while attack.goes_on() {
        if rounds(attack).is_err() {
            count(&attack.done.refused);
            attack.sleep(Duration::from_secs(1));
        }
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
    let want = json!([{ "sequence": 0, "length": 1_000, "sha256": hex::<32>()? }]);
    let mut stored = Vec::new();
    for _ in 0..UPLOADS {
        let id = hex::<16>()?;
        let upload = json!({
            "id": id, "release": release, "pool": attack.pool, "header_length": 1_000, "header_sha256": hex::<32>()?,
            "chunks": 1, "jobs": [{ "first_index": 0, "count": FILES, "first_chunk": 0, "last_chunk": 0 }], "want": want,
        });
        let request = json!({ "uploads": [upload] }).to_string();
        let (status, _) = attack.api.exchange(stream, "POST", "/v1/uploads", Some(&request))?;
        if status != 200 {
            count(&attack.done.refused);
        }
        stored.push(json!({ "id": id, "header_stored": true, "stored": want }));
    }
    Ok(json!({ "uploads": stored }).to_string())
}

fn release(attack: &Attack, stream: &mut TcpStream) -> Result<String> {
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
