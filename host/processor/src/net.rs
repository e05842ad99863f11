//! What leaves this machine: the server's API, presigned storage, and the one HTTP client below both. What a client does as well stands in `client/transport`.

mod error;
mod http;
mod server;
mod server_clock;
mod storage;
mod token;
mod told;

pub use error::TokenError;
pub(crate) use filemill_transport::{
    Backoff, BodyError, Comparison, Http, Lifetime, Origins, StorageError, describe, read_body,
};
pub use filemill_transport::{Origin, OriginError};
pub(crate) use http::client;
pub(crate) use server::{CallError, Major, Server};
pub(crate) use server_clock::{HINT, ServerClock, difference};
pub(crate) use storage::{ASKED_AGAIN, Storage, backoff, named_digest};
pub use token::Token;
pub(crate) use told::ToldBefore;
