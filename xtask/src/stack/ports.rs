//! Where servers listen that must come back there after a restart.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};

use crate::random;

/// Below the range from which systems choose ports for outgoing connections: a client that keeps trying to reach a server
/// that is down could otherwise be given that very port, and hold it when the server comes back.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// How many are tried.
const TRIES: usize = 200;

/// A port on loopback that nobody listens on. Chosen at random, so that two test runs seldom meet.
///
/// # Errors
///
/// When none can be found, or the system has no random numbers.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..TRIES {
        let port = RANGE.start + u16::from_le_bytes(random::bytes()?) % (RANGE.end - RANGE.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("found no free port between {} and {} on 127.0.0.1 in {TRIES} tries", RANGE.start, RANGE.end)
}

/// The address in an origin on this machine, such as `http://127.0.0.1:8080`.
///
/// # Errors
///
/// When it has another scheme, or a name for a host.
pub(crate) fn socket(origin: &str) -> Result<SocketAddr> {
    let address = origin.trim_start_matches("http://").trim_end_matches('/');
    address.parse().with_context(|| format!("`{origin}` is not an address on this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_an_origin() {
        assert_eq!(socket("http://127.0.0.1:80").expect("one"), "127.0.0.1:80".parse().expect("one"));
        assert!(socket("https://example.org").is_err());
    }
}
