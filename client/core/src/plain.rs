//! How paths and the words of other crates are written as data.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use filemill_seal::UploadId;
use filemill_text::shown_path;
use serde::ser::{SerializeStruct, Serializer};

/// A path as text: as it is where it is UTF-8, else as people are shown it.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => serializer.serialize_str(&shown_path(path)),
    }
}

/// The same for several.
pub(crate) fn paths<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_str().map_or_else(|| shown_path(path), str::to_owned)))
}

/// The same for a path that may be absent.
pub(crate) fn path_if_any<S: Serializer>(given: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match given {
        Some(given) => path(given, serializer),
        None => serializer.serialize_none(),
    }
}

/// What something says of itself.
pub(crate) fn words<S: Serializer>(what: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(what)
}

/// An upload and the index in it, if there is one.
pub(crate) fn place<S: Serializer>(place: &Option<(UploadId, u32)>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some((upload, index)) = place else { return serializer.serialize_none() };
    let mut fields = serializer.serialize_struct("Place", 2)?;
    fields.serialize_field("upload", upload)?;
    fields.serialize_field("index", index)?;
    fields.end()
}
