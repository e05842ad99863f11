//! The one HTTP client.

use std::time::Duration;

use filemill_transport::{Http, HttpError, HttpOptions};

/// Nothing is sent or received for so long: the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// The client for the server, for storage and for a collector of metrics.
pub(crate) fn client() -> Result<Http, HttpError> {
    let user_agent = concat!("filemill-processor/", env!("CARGO_PKG_VERSION"));
    Http::new(HttpOptions { user_agent, silence: Some(SILENCE) })
}
