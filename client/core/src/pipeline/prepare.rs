//! From files to an upload that can be transferred: a new one, or one out of the journal.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use filemill_seal::{ChunkSealer, DataKey, FileEntry, Format, Header, Layout, Task, UploadId};

use super::remaining;
use super::shared::Pipeline;
use super::transfer::{HeaderState, Judged, Transfer};
use crate::engines::EngineRelease;
use crate::error::Error;
use crate::journal::{NewUpload, StoredUpload};
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::source::Found;
use crate::wall_clock::now_s;

/// Makes a new upload of `files` for an engine, sealed in `format`: its id, its key and its header. Nothing is written down or sent yet. Blocks for
/// some milliseconds at most.
pub(crate) fn begin(
    pipeline: Arc<Pipeline>,
    recipe: &Recipe,
    (engine, parameters): (&EngineRelease, Parameters),
    format: Format,
    files: Vec<Found>,
    rules: Judged,
) -> Result<Transfer, Error> {
    let now = now_s();
    let header = Header {
        format,
        upload: UploadId::random(),
        key: DataKey::random(),
        uploader: recipe.uploader.clone(),
        tasks: vec![Task { releases: vec![engine.release], parameters: parameters.as_json().to_owned() }],
        organisation: Vec::new(),
        isolation: [].into(),
        chunk_size: recipe.chunk_size,
        not_after: now.saturating_add(recipe.lifetime_s),
        files: files.iter().map(|file| FileEntry { name: file.name.clone(), length: file.stat.size }).collect(),
    };
    let layout = header.layout().map_err(Error::Header)?;
    let sealed = header.seal(std::slice::from_ref(&recipe.pool_recipient)).map_err(Error::Header)?;
    let digest = sealed.digest();
    let header_bytes = sealed.into_bytes();
    let remaining = remaining::all(&layout);
    Ok(Transfer {
        sealer: ChunkSealer::new(&header.key, header.upload, digest),
        header_bytes: header_bytes.len() as u64,
        header: HeaderState::ToSend,
        header_body: Some(Bytes::from(header_bytes.clone())),
        upload: NewUpload {
            id: header.upload,
            account: recipe.account.clone(),
            session: recipe.session.clone(),
            key: header.key,
            format,
            header: header_bytes,
            header_digest: digest,
            engine: engine.engine.clone(),
            version: engine.version.clone(),
            release: engine.release,
            pool: recipe.pool.clone(),
            chunk_size: recipe.chunk_size,
            chunk_count: layout.chunk_count(),
            created_at: now,
            not_after: header.not_after,
            parameters: Some(parameters),
        },
        files: files.into(),
        layout: Arc::new(layout),
        journalled: false,
        resumed: false,
        opened: false,
        remaining,
        plain: HashMap::new(),
        verdicts: HashMap::new(),
        untold: Vec::new(),
        rules,
        pipeline,
    })
}

/// Takes an upload out of the journal, to go on with it. It is opened again first, which says what storage has.
///
/// # Errors
///
/// [`Error::Header`] if the journal holds files that make no layout.
pub(crate) fn resume(pipeline: Arc<Pipeline>, stored: StoredUpload, rules: Judged) -> Result<Transfer, Error> {
    let lengths = stored.files.iter().map(|file| file.stat.size);
    let layout = Layout::new(stored.upload.chunk_size, lengths)
        .map_err(|error| Error::Header(filemill_seal::HeaderError::Layout(error)))?;
    let upload = stored.upload;
    Ok(Transfer {
        sealer: ChunkSealer::new(&upload.key, upload.id, upload.header_digest),
        header_bytes: stored.header_bytes,
        header: HeaderState::ToSend,
        header_body: stored.header.map(Bytes::from),
        files: stored.files.into(),
        layout: Arc::new(layout),
        journalled: true,
        resumed: true,
        opened: false,
        // Made anew when the server has said what it has.
        remaining: remaining::Remaining { steps: std::collections::VecDeque::new(), hash_from: 0 },
        plain: stored.plain,
        verdicts: stored.verdicts,
        untold: stored.stored,
        rules,
        upload,
        pipeline,
    })
}
