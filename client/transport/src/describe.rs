//! Why a request failed, without its URL.

use std::error::Error as _;
use std::io;

/// Why a request failed: the innermost cause, in the house's words. What surrounds that only repeats the address, and with it a
/// presigned URL's signature, so that no text which could hold a URL is passed on.
pub fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(|cause| cause.source()) {
        cause = Some(inner);
    }
    let text = match cause {
        // Its own text names the URL.
        None => return FAILED.to_owned(),
        Some(cause) => match cause.downcast_ref::<io::Error>() {
            Some(system) => filemill_text::reason(system),
            None => cause.to_string(),
        },
    };
    match text {
        // What rustls says of an answer in the clear.
        text if text.contains("InvalidContentType") => "it does not speak TLS: is it `http://…`?".to_owned(),
        text if text.is_empty() || text.contains("://") => FAILED.to_owned(),
        text => text,
    }
}

/// What is said where there is nothing else that may be said.
const FAILED: &str = "the request failed";
