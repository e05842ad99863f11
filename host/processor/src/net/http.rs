//! The one HTTP client, and reading a body without trusting its length.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::error::NoClient;

/// Nothing is sent or received for so long: the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// A client that follows no redirect, so that what was checked of a URL holds for what is fetched.
pub(crate) fn client() -> Result<Client, NoClient> {
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("filemill-processor/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| NoClient(describe(error)))
}

/// Why a body was not read.
pub(crate) enum BodyError {
    /// More bytes than asked for.
    TooLong,
    /// The connection.
    Broken(String),
}

/// Reads a body of at most `max_bytes`. Allocates no more than that, or than `room_bytes`, whatever the answer announces.
pub(crate) async fn read_body(
    mut response: Response,
    max_bytes: usize,
    room_bytes: usize,
) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > max_bytes as u64 {
        return Err(BodyError::TooLong);
    }
    // At most `max_bytes`, so that it fits.
    let mut body = Vec::with_capacity(room_bytes.max(announced as usize));
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) if body.len() + bytes.len() > max_bytes => return Err(BodyError::TooLong),
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => return Ok(body),
            Err(error) => return Err(BodyError::Broken(describe(error))),
        }
    }
}

/// An error with its causes and without its URL, which may be a presigned one. Of a connection that did not come about only what
/// the system says: all before it says the same.
pub(crate) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause = error.source().filter(|_| error.is_connect());
    while let Some(within) = cause {
        match within.downcast_ref::<io::Error>() {
            Some(system) if system.raw_os_error().is_some() => return filemill_text::reason(system),
            _ => cause = within.source(),
        }
    }
    filemill_text::chain(&error)
}
