//! What leaves this machine: the server's API, presigned storage, and the one HTTP client below both.

mod backoff;
mod error;
mod http;
mod origins;
mod server;
mod server_clock;
mod storage;
mod token;
mod told;

pub(crate) use backoff::Backoff;
pub(crate) use error::NoClient;
pub use error::TokenError;
pub(crate) use http::{BodyError, client, describe, read_body};
pub use origins::{Origin, OriginError};
pub(crate) use origins::{StorageOrigins, is_private};
pub(crate) use server::{CallError, Server};
pub(crate) use server_clock::{Comparison, HINT, Lifetime, ServerClock, difference};
pub(crate) use storage::{ASKED_AGAIN, Storage, StorageError, backoff, named_digest};
pub use token::Token;
pub(crate) use told::ToldBefore;
