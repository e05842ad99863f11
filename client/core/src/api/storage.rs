//! Storage, by presigned requests only: how long to go on when they fail, and what is told meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_api::{SignedGet, SignedPut};
use filemill_seal::Digest;
use filemill_transport::{ForeignUrl, Http, Origins, Sent, StorageError};

use super::backoff::backoff;
use super::reach::Reach;
use crate::error::Error;
use crate::event::Recovery;
use crate::progress::Progress;
use crate::teller::Teller;

/// Storage.
#[derive(Clone)]
pub(crate) struct Storage {
    storage: filemill_transport::Storage,
    sent: Sent,
    reach: Arc<Reach>,
}

/// What became of a PUT.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Storage has it.
    Stored,
    /// The URL is not good any more: ask for another.
    Expired,
}

/// What became of a GET.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// The object.
    Object(Vec<u8>),
    /// Storage does not hand it out, at this URL at least, for this reason.
    Refused(String),
}

impl Storage {
    pub(crate) fn new(http: Http, origins: &[String], progress: Arc<Progress>, events: Teller) -> Self {
        // What is not an origin leads nowhere.
        let origins = Origins::new(origins.iter().filter_map(|origin| origin.parse().ok()));
        Self {
            storage: filemill_transport::Storage::new(http, origins),
            sent: Arc::new(move |bytes| progress.sent(bytes)),
            reach: Arc::new(Reach::new(events)),
        }
    }

    /// Stores `body`, which was presigned at `signed_at`. Tries again for as long as the URL holds where storage cannot be reached, is out
    /// of order, or something answers in its place.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignOrigin`], [`Error::Storage`] if storage itself says that it does not take it.
    pub(crate) async fn put(&self, put: &SignedPut, signed_at: Instant, body: Bytes) -> Result<Put, Error> {
        let origin = self.origin(&put.url)?;
        let mut backoff = backoff();
        loop {
            // Some seconds early: it must arrive before.
            if signed_at.elapsed() + Duration::from_secs(5) > Duration::from_secs(u64::from(put.expires_in_s)) {
                return Ok(Put::Expired);
            }
            let failed = match self.storage.put(put, body.clone(), Some(Arc::clone(&self.sent))).await {
                Ok(()) => {
                    self.reach.recovered(|| Recovery::Storage { origin: origin.clone() });
                    return Ok(Put::Stored);
                }
                Err(StorageError::Refused { expired: true, .. }) => return Ok(Put::Expired),
                Err(error) => error,
            };
            let is_away = matches!(failed, StorageError::Away(_));
            let error = of_storage(failed, &origin);
            if !is_away {
                return Err(error);
            }
            let wait = backoff.delay();
            // One that failed once is no news.
            if backoff.attempts() > 1 {
                self.reach.in_trouble(&error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Fetches an object that was announced with its length and digest, in so many attempts at most. It is the one that was announced, or
    /// not handed out at all: what was damaged on its way, or is no answer of storage's, says nothing of the object.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignOrigin`], [`Error::WrongObject`] if it is announced as longer than `bound` bytes or other bytes came each time,
    /// [`Error::Storage`] if storage does not answer or the URL has expired.
    pub(crate) async fn get(&self, get: &SignedGet, bound: usize, attempts: u32) -> Result<Got, Error> {
        let origin = self.origin(&get.url)?;
        let wrong = |detail: &str| Error::WrongObject { origin: origin.clone(), detail: detail.to_owned() };
        let mut backoff = backoff();
        loop {
            let error = match self.storage.get(get, bound, 0).await {
                Ok(body) if Digest::of(&body).to_string() == get.sha256 => return Ok(Got::Object(body)),
                Ok(_) => wrong("its SHA-256 differs"),
                // The same one does not become better.
                Err(StorageError::Refused { expired: true, .. }) => {
                    return Err(Error::Storage { origin, detail: "the URL has expired".to_owned() });
                }
                Err(
                    StorageError::Refused { detail, .. }
                    | StorageError::NotFound(detail)
                    | StorageError::Redirect(detail),
                ) => return Ok(Got::Refused(detail)),
                Err(error @ (StorageError::Foreign(_) | StorageError::Unusable(_) | StorageError::TooLong(_))) => {
                    return Err(of_storage(error, &origin));
                }
                Err(error @ (StorageError::Other(_) | StorageError::Away(_))) => of_storage(error, &origin),
            };
            let wait = backoff.delay();
            if backoff.attempts() >= attempts {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Refuses every place that the login did not pin.
    fn origin(&self, url: &str) -> Result<String, Error> {
        self.storage.origin(url).map(|origin| origin.to_string()).map_err(foreign)
    }
}

/// One attempt's failure, with `origin`, in the words of a command.
fn of_storage(error: StorageError, origin: &str) -> Error {
    let origin = origin.to_owned();
    match error {
        StorageError::Foreign(error) => foreign(error),
        StorageError::TooLong(detail) | StorageError::Other(detail) => Error::WrongObject { origin, detail },
        StorageError::Unusable(detail)
        | StorageError::Redirect(detail)
        | StorageError::Refused { detail, .. }
        | StorageError::NotFound(detail)
        | StorageError::Away(detail) => Error::Storage { origin, detail },
    }
}

fn foreign(error: ForeignUrl) -> Error {
    Error::ForeignOrigin { origin: error.origin().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pinned_origins_are_served() {
        let http = Http::new(filemill_transport::HttpOptions { user_agent: "test", silence: None }).unwrap();
        let origins = ["http://127.0.0.1:9000/".to_owned(), "https://bucket.s3.example".to_owned(), "null".to_owned()];
        let storage = Storage::new(http, &origins, Arc::default(), Teller::to_nobody());
        for good in ["http://127.0.0.1:9000/b/k?X-Amz-Signature=1", "https://bucket.s3.example:443/k"] {
            storage.origin(good).unwrap();
        }
        for bad in [
            "http://127.0.0.1:9001/b/k",
            "https://127.0.0.1:9000/b/k",
            "http://127.0.0.1:9000@evil.example/",
            "http://user@127.0.0.1:9000/",
            "https://bucket.s3.example.evil/k",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(matches!(storage.origin(bad), Err(Error::ForeignOrigin { .. })), "{bad}");
        }
    }

    #[test]
    fn each_failure_is_told_with_where_it_happened() {
        let told = |error| of_storage(error, "https://s3.example").to_string();
        for error in [
            StorageError::Unusable("why".into()),
            StorageError::Redirect("why".into()),
            StorageError::Refused { detail: "why".into(), expired: false },
            StorageError::NotFound("why".into()),
            StorageError::TooLong("why".into()),
            StorageError::Other("why".into()),
            StorageError::Away("why".into()),
        ] {
            let told = told(error);
            assert!(told.contains("`https://s3.example`") && told.ends_with("why"), "{told}");
        }
        let elsewhere = told(StorageError::Foreign(ForeignUrl::Origin("https://evil.example".into())));
        assert!(elsewhere.contains("`https://evil.example`"), "{elsewhere}");
    }
}
