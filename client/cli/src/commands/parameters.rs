//! Engine parameters, as they are given on the command line.

use std::io::Read;
use std::path::Path;

use filemill_client::{Error, GivenParameters, PARAMETERS_MAX_BYTES};

use crate::args::Set;

/// Longest file with parameters, in bytes: with blanks between its parts it may be longer than what is sent.
const FILE_MAX_BYTES: usize = 4 * PARAMETERS_MAX_BYTES;

/// Reads what the arguments name.
pub(super) fn given(set: Set) -> Result<GivenParameters, Error> {
    let object = set.parameters.as_deref().map(|file| read(file, FILE_MAX_BYTES)).transpose()?;
    let texts = set.param_files.into_iter().map(|(name, file)| Ok((name, read(file.as_ref(), PARAMETERS_MAX_BYTES)?)));
    Ok(GivenParameters { object, values: set.params, texts: texts.collect::<Result<_, Error>>()? })
}

fn read(file: &Path, most: usize) -> Result<String, Error> {
    let failed = |detail: String| Error::File { action: "read", path: file.to_owned(), detail };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    opened.map_err(|error| failed(error.to_string()))?;
    if bytes.len() > most {
        return Err(failed(format!("it is longer than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not text in UTF-8".to_owned()))
}
