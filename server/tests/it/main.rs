//! The server's integration tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod http;
mod store;
