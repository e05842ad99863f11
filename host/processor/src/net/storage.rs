//! Storage, by presigned requests only: how long to go on when they fail.

use std::time::Duration;

use filemill_api::{SignedGet, SignedPut};
use filemill_seal::Digest;
use filemill_transport::{Backoff, Http, Origins, StorageError};

/// How often a request is made before storage counts as out of order.
const ATTEMPTS: u32 = 6;
/// How often an object is fetched that is not there or not what was stored, before that is believed.
pub(crate) const ASKED_AGAIN: u32 = 3;

/// Storage, as presigned URLs reach it.
pub(crate) struct Storage(filemill_transport::Storage);

impl Storage {
    pub(crate) fn new(http: Http, origins: Origins) -> Self {
        Self(filemill_transport::Storage::new(http, origins))
    }

    /// Fetches an object of at most `max_bytes`, of exactly the length that `get` names. The caller compares the digest.
    ///
    /// The bytes come in a buffer of `room_bytes`, or their own length if that is more.
    ///
    /// Tries several times, over some seconds, where storage is out of order or the connection breaks, and a few times where the object is
    /// not there or has another length. Cancel safe.
    pub(crate) async fn get(
        &self,
        get: &SignedGet,
        max_bytes: usize,
        room_bytes: usize,
    ) -> Result<Vec<u8>, StorageError> {
        let mut backoff = backoff();
        let mut attempt = 1;
        loop {
            let (error, most) = match self.0.get(get, max_bytes, room_bytes).await {
                Ok(bytes) => return Ok(bytes),
                // Something on the way may answer in storage's place, or damage what it answers.
                Err(error @ (StorageError::NotFound(_) | StorageError::Other(_))) => (error, ASKED_AGAIN),
                Err(error @ StorageError::Away(_)) => (error, ATTEMPTS),
                Err(
                    error @ (StorageError::Foreign(_)
                    | StorageError::Unusable(_)
                    | StorageError::TooLong(_)
                    | StorageError::Redirect(_)
                    | StorageError::Refused { .. }),
                ) => return Err(error),
            };
            if attempt >= most {
                return Err(error);
            }
            attempt += 1;
            backoff.wait().await;
        }
    }

    /// Stores an object. Tries several times where storage is out of order or the connection breaks.
    pub(crate) async fn put(&self, put: &SignedPut, bytes: bytes::Bytes) -> Result<(), StorageError> {
        let mut backoff = backoff();
        for _ in 1..ATTEMPTS {
            match self.0.put(put, bytes.clone(), None).await {
                Err(StorageError::Away(_)) => backoff.wait().await,
                ended => return ended,
            }
        }
        self.0.put(put, bytes, None).await
    }
}

/// The digest that a presigned GET names.
pub(crate) fn named_digest(get: &SignedGet) -> Result<Digest, StorageError> {
    get.sha256.parse().map_err(|error| StorageError::Other(format!("the server names it by {error}")))
}

/// The pauses between attempts.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(4))
}
