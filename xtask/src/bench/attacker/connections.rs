//! Connections that are held: silent ones, unread answers, bodies and streams that do not end.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::frames;
use super::http::{Target, connect, is_open, is_open_read};
use super::{Attack, TokenKind, count};

/// An error that is to repeat so many bytes. Each is one that takes seven in the answer of who repeats it escaped.
const ECHO_BYTES: usize = 8 << 20;
const ECHOES: usize = 12;
const PAGES: usize = 200;
/// More than the API may accept in all, and as many to the storage; half of each kind.
const SILENT: usize = 4_200;
/// New silent connections at once, so that the other parts get their turn.
const SILENT_AT_ONCE: usize = 200;
const STREAM_CONNECTIONS: usize = 22;
const STREAMS: u32 = 200;
/// Connections of requests without a token, each with as many as a server lets one have.
const STRANGER_CONNECTIONS: usize = 8;
const STRANGER_STREAMS: u32 = 128;
/// Of bodies that send one byte, and as many that send just enough.
const BODIES: usize = 16;
/// The largest body that is taken.
const BODY_BYTES: usize = 16 << 20;
/// The lowest rate that is still served is 512 bytes a second, over half a minute.
pub(super) const LEAST_BYTES: [u8; 600] = [b' '; 600];
/// An answer is left unread, and a request left unended, for so long: as long as a server may let one take, and more.
const HOLD: Duration = Duration::from_secs(65);
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Lets this process hold as many connections as the system allows.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // As many as there are is what it can do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Requests whose error is as long as what was sent, if it repeats that; nobody reads it.
pub(super) fn echoes(attack: &Attack) {
    let list = match attack.token {
        TokenKind::User => "uploads",
        TokenKind::Processor => "leases",
    };
    let body = format!(r#"{{"{list}":"{}"}}"#, "\u{7f}".repeat(ECHO_BYTES));
    let request = attack.api.head("POST", attack.path(), Some(body.len())) + &body;
    hold(attack, ECHOES, HOLD, false, |target| {
        let mut stream = target.connect()?;
        stream.write_all(request.as_bytes())?;
        count(&attack.done.echoes);
        Ok(stream)
    });
}

/// The largest pages of events that there are; nobody reads them.
pub(super) fn pages(attack: &Attack) {
    let request = attack.api.head("GET", "/v1/events?after=0", None);
    hold(attack, PAGES, HOLD, false, |target| {
        let mut stream = target.connect()?;
        stream.write_all(request.as_bytes())?;
        count(&attack.done.pages);
        Ok(stream)
    });
}

/// HTTP/2 requests whose body never comes.
pub(super) fn streams(attack: &Attack) {
    let (path, token) = (attack.path(), &attack.api.token);
    hold(attack, STREAM_CONNECTIONS, HOLD, true, |target| {
        let mut stream = target.connect()?;
        let mut bytes = [frames::PREFACE, &frames::settings()].concat();
        for number in 0..STREAMS {
            bytes.extend(frames::post(2 * number + 1, path, token));
            count(&attack.done.streams);
        }
        stream.write_all(&bytes)?;
        Ok(stream)
    });
}

/// HTTP/2 requests without a token, whose refusals cannot be sent: whoever sends them allows no byte of a body.
pub(super) fn strangers(attack: &Attack) {
    hold(attack, STRANGER_CONNECTIONS, HOLD, true, |target| {
        let mut stream = target.connect()?;
        let mut bytes = [frames::PREFACE, &frames::settings_without_window()].concat();
        for number in 0..STRANGER_STREAMS {
            bytes.extend(frames::get(2 * number + 1, "/v1/events"));
            count(&attack.done.strangers);
        }
        stream.write_all(&bytes)?;
        Ok(stream)
    });
}

/// Bodies that announce all that is allowed, and send a byte, or just so much that they must be waited for.
pub(super) fn bodies(attack: &Attack) {
    let head = attack.api.head("POST", attack.path(), Some(BODY_BYTES)) + "{";
    let mut held: Vec<TcpStream> = Vec::new();
    while attack.goes_on() {
        held.retain_mut(|stream| keep(attack, is_open_read(stream)));
        while held.len() < 2 * BODIES && attack.goes_on() {
            let begun = attack.api.connect().and_then(|mut stream| {
                stream.write_all(head.as_bytes())?;
                Ok(stream)
            });
            let Ok(stream) = begun else {
                count(&attack.done.refused);
                break;
            };
            count(&attack.done.bodies);
            held.push(stream);
        }
        for stream in held.iter_mut().step_by(2) {
            // One that was ended is replaced above.
            let _ = stream.write_all(&LEAST_BYTES);
        }
        attack.sleep(PAUSE);
    }
}

/// Connections that say nothing, and as many that say half of what HTTP/2 begins with.
pub(super) fn silent(attack: &Attack) {
    let (mut api, mut storage) = (Vec::new(), Vec::new());
    while attack.goes_on() {
        fill(attack, &mut api, SILENT, attack.api.address);
        fill(attack, &mut storage, SILENT, attack.storage);
        attack.sleep(PAUSE);
    }
}

fn fill(attack: &Attack, held: &mut Vec<TcpStream>, wanted: usize, address: SocketAddr) {
    held.retain_mut(|stream| keep(attack, is_open_read(stream)));
    for _ in 0..SILENT_AT_ONCE.min(wanted.saturating_sub(held.len())) {
        let Ok(mut stream) = connect(address) else {
            count(&attack.done.refused);
            return;
        };
        if held.len() % 2 == 1 {
            let _ = stream.write_all(&frames::PREFACE[..frames::PREFACE.len() / 2]);
        }
        count(&attack.done.silent);
        held.push(stream);
    }
}

/// Keeps `wanted` connections that `begin` made, each for so long. Where the answers are `read`, they are dropped.
pub(super) fn hold(
    attack: &Attack,
    wanted: usize,
    time: Duration,
    read: bool,
    begin: impl Fn(&Target) -> Result<TcpStream>,
) {
    let mut held: Vec<(TcpStream, Instant)> = Vec::new();
    while attack.goes_on() {
        held.retain_mut(|(stream, begun)| {
            begun.elapsed() < time && keep(attack, if read { is_open_read(stream) } else { is_open(stream) })
        });
        while held.len() < wanted && attack.goes_on() {
            match begin(&attack.api) {
                Ok(stream) => held.push((stream, Instant::now())),
                Err(_) => {
                    count(&attack.done.refused);
                    break;
                }
            }
        }
        attack.sleep(PAUSE);
    }
}

/// Counts a connection that the server has ended.
pub(super) fn keep(attack: &Attack, open: bool) -> bool {
    if !open {
        count(&attack.done.refused);
    }
    open
}
