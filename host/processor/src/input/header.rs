//! An upload's header: fetched, opened and checked.

use std::sync::Arc;

use filemill_api::{LeasedUpload, limits};
use filemill_runtime::Parameters;
use filemill_seal::{
    ChunkOpener, Digest, EnvelopeError, FileEntry, Header, HeaderError, Identity, SealedHeader, UploadId,
};

use super::upload::Upload;
use crate::budget::Held;
use crate::net::{Storage, StorageError};
use crate::telemetry::event;

/// What a file takes in an opened header beside its name: its entry, its place in the layout, its name's allocation.
const FILE_BYTES: usize = size_of::<FileEntry>() + 16 + 24;

/// Why nothing of an upload is run.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// It does not stand up to a check. `upload` is there if the header belongs to it, so that the reason can be sealed.
    Refused { why: String, upload: Option<Arc<Upload>> },
    /// Its header is not there, or not the one that was stored.
    Missing(String),
    /// None of the identities that were tried opens its header.
    UnknownKey,
    /// By one of two clocks its time is over, this machine's and the server's.
    Disputed(String),
    /// Storage does not answer this node.
    Away(String),
    /// This node cannot tell.
    Fault(String),
}

/// What a header of so many sealed bytes takes while it is opened: itself, its plaintext, what it is compared with, and
/// what comes of it, in which a file takes at least four of the bytes.
pub(super) fn most_bytes(sealed: usize) -> usize {
    4 * sealed + (sealed / 4).min(limits::MAX_FILES as usize) * FILE_BYTES
}

pub(super) async fn get_header(leased: &LeasedUpload, storage: &Storage) -> Result<Vec<u8>, NotAdmitted> {
    if leased.header.length > limits::MAX_HEADER_BYTES {
        let (found, most) = (leased.header.length, limits::MAX_HEADER_BYTES);
        let why = format!("the header has {found} bytes, it cannot have more than {most}");
        return Err(NotAdmitted::Refused { why, upload: None });
    }
    match storage.get(&leased.header, limits::MAX_HEADER_BYTES as usize, 0).await {
        Ok(bytes) => Ok(bytes),
        Err(error @ (StorageError::NotFound(_) | StorageError::TooLong(_) | StorageError::Other(_))) => {
            Err(NotAdmitted::Missing(error.to_string()))
        }
        Err(error) => {
            let why = format!("the header cannot be fetched: {error}");
            Err(if matches!(error, StorageError::Away(_)) { NotAdmitted::Away(why) } else { NotAdmitted::Fault(why) })
        }
    }
}

/// Opens a header with one of `identities`, and makes the upload of it. Blocks.
pub(super) fn open(
    sealed: Vec<u8>,
    id: UploadId,
    digest: Digest,
    identities: &[Identity],
    mut held: Held,
) -> Result<Upload, NotAdmitted> {
    let refused = |why: String| NotAdmitted::Refused { why, upload: None };
    let found = Digest::of(&sealed);
    if found != digest {
        return Err(NotAdmitted::Missing(format!("the header has the SHA-256 `{found}` instead of `{digest}`")));
    }
    let sealed = SealedHeader::from_bytes(sealed).map_err(|error| refused(error.to_string()))?;
    // The newest first: it is the one that most headers are sealed for.
    let newest_first: Vec<Identity> = identities.iter().rev().cloned().collect();
    let header = Header::open(&sealed, &newest_first).map_err(|error| match error {
        HeaderError::Envelope(EnvelopeError::NoMatchingKey) => NotAdmitted::UnknownKey,
        error => refused(error.to_string()),
    })?;
    drop(sealed);
    if header.upload != id {
        return Err(refused(format!("the header is that of upload `{}`", header.upload)));
    }
    let layout = header.layout().map_err(|error| refused(error.to_string()))?;
    let parameters = header.tasks.iter().map(|task| Parameters::parse(task.parameters.clone()));
    let parameters = parameters.collect::<Result<Vec<_>, _>>().map_err(|error| refused(error.to_string()))?;
    let opener = ChunkOpener::new(&header.key, header.upload, digest);
    event!("header opened", upload = %id, files = header.files.len());
    let bytes = 2 * header.tasks.iter().map(|task| task.parameters.len()).sum::<usize>()
        + header.files.iter().map(|file| file.name.capacity() + FILE_BYTES).sum::<usize>();
    held.shrink_to(bytes);
    Ok(Upload { header, header_digest: digest, layout, opener, parameters, bytes, _held: held })
}

/// Why no lease of the upload is ever run, if there is a reason beside its age.
pub(super) fn objection(upload: &Upload, leased: &LeasedUpload) -> Option<String> {
    let chunks = upload.layout.chunk_count();
    (chunks != leased.chunks_expected)
        .then(|| format!("the server says that there are {} chunks, the header {chunks}", leased.chunks_expected))
}
