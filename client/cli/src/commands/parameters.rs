//! Engine parameters, as they are given on the command line.

use std::path::Path;

use filemill_client::{Error, GivenParameters, PARAMETERS_MAX_BYTES, read_given};
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;

use crate::args::Set;

/// Longest file with parameters, in bytes: with blanks between its parts it may be longer than what is sent.
const FILE_MAX_BYTES: u64 = 4 * PARAMETERS_MAX_BYTES as u64;

/// Reads what the arguments name, unless it is stopped: a file may be a pipe.
pub(super) async fn given(set: Set, stop: &CancellationToken) -> Result<GivenParameters, Error> {
    tokio::select! {
        given = read(set) => given,
        () = stop.cancelled() => Err(Error::Stopped),
    }
}

async fn read(set: Set) -> Result<GivenParameters, Error> {
    let object = match &set.parameters {
        Some(file) => Some(read_json(file).await?),
        None => None,
    };
    let mut texts = Vec::with_capacity(set.param_files.len());
    for (name, file) in set.param_files {
        let text = read_given(file.as_ref(), PARAMETERS_MAX_BYTES as u64).await?;
        texts.push((name, text));
    }
    Ok(GivenParameters { object, values: set.params, texts })
}

async fn read_json(file: &Path) -> Result<String, Error> {
    let text = read_given(file, FILE_MAX_BYTES).await?;
    // Some editors put a mark before a text, which is no part of it and which JSON does not have.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let detail = format!("it is not JSON (line {})", error.line());
            Err(Error::File { action: "take parameters from", path: file.to_owned(), detail })
        }
    }
}
