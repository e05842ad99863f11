//! Ports for servers that must come back on the same one after a restart.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

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
