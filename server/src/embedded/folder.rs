//! Objects in a folder: the part of S3 that Filemill uses, for `s3s` to serve.
//!
//! One object is one file at `BUCKET/KEY`. `s3s-fs` was tried first and is not used: it renames an object into place
//! before it compares the checksum, so that a refused PUT still replaces the object; it keeps two side files for every
//! object and never deletes them; it reads in pieces of 4 KiB; and its keys may leave the bucket.
//!
//! Results and components are synced to the device, because a row says that they are there and nobody could make them again.
//! Nothing else is: a chunk that a power cut takes with it is found missing and sent again.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{BASE64, HEXLOWER};
use futures::StreamExt as _;
use s3s::dto::{
    CreateBucketInput, CreateBucketOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, ETag, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput,
    PutObjectOutput, Timestamp,
};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::blocks::Blocks;
use super::listing::list;
use super::reading::Reading;
use super::transfers::{Transfer, Transfers};
use crate::bounds::Bounds;
use crate::listen::Exchange;

/// Deepest key: `results/UPLOAD/INDEX/FENCE/SHA256`.
const MAX_SEGMENTS: usize = 5;
/// How often a PUT makes its folder again that a concurrent delete took away as empty.
const PLACE_ATTEMPTS: usize = 16;
/// Where objects are while they arrive; no bucket can have this name.
const INCOMING: &str = ".incoming";

/// Buckets and objects under one folder. The process that holds the folder's lock is the only one that may have this.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    arrivals: AtomicU64,
    transfers: Arc<Transfers>,
    blocks: Arc<Blocks>,
}

impl Folder {
    /// Takes the folder, making it if needed, and clears what an earlier process left half-written.
    pub(super) fn open(root: PathBuf, bounds: &Bounds) -> io::Result<Self> {
        let incoming = root.join(INCOMING);
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&incoming)?,
        }
        let transfers = Transfers::new(bounds);
        Ok(Self { root, arrivals: AtomicU64::new(0), transfers, blocks: Arc::default() })
    }

    fn bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        if !is_segment(bucket) {
            return Err(s3_error!(InvalidBucketName));
        }
        Ok(self.root.join(bucket))
    }

    fn existing_bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        let path = self.bucket(bucket)?;
        if path.is_dir() { Ok(path) } else { Err(s3_error!(NoSuchBucket)) }
    }

    /// Where an object lies. A key is words of a known alphabet between single slashes, whatever it was called in the
    /// URL: none can be empty, `.`, `..`, hidden, or contain a separator of any system.
    fn object(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let mut path = self.bucket(bucket)?;
        let mut segments = 0;
        for segment in key.split('/') {
            segments += 1;
            if !is_segment(segment) || segments > MAX_SEGMENTS {
                return Err(s3_error!(AccessDenied, "the key is not one of filemill's"));
            }
            path.push(segment);
        }
        Ok(path)
    }

    fn transfer<T>(&self, request: &S3Request<T>) -> S3Result<Transfer> {
        let exchange = request.extensions.get::<Arc<Exchange>>().cloned();
        self.transfers.begin(exchange).ok_or_else(|| s3_error!(SlowDown, "too many transfers at once"))
    }

    fn arrival(&self) -> Arrival {
        let number = self.arrivals.fetch_add(1, Ordering::Relaxed);
        Arrival { path: self.root.join(INCOMING).join(number.to_string()), file: None, placed: false }
    }
}

/// A file that is not an object yet; it is removed unless it becomes one.
struct Arrival {
    path: PathBuf,
    /// None before anything is written.
    file: Option<File>,
    placed: bool,
}

impl Arrival {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::create_new(&self.path)?),
        };
        file.write_all(bytes)
    }

    /// Moves it to where the object belongs, at once or not at all; where `synced`, a power cut does not take it away any more.
    fn place(mut self, object: &Path, synced: bool) -> io::Result<()> {
        if let Some(file) = self.file.take().filter(|_| synced) {
            file.sync_all()?;
        }
        let folder = object.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            std::fs::create_dir_all(folder)?;
            match std::fs::rename(&self.path, object) {
                Ok(()) => {
                    self.placed = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < PLACE_ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        if synced {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if !self.placed {
            // Not there if it was never opened; otherwise the next start clears it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[async_trait::async_trait]
impl S3 for Folder {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        match std::fs::create_dir(self.bucket(&req.input.bucket)?) {
            Ok(()) => Ok(S3Response::new(CreateBucketOutput::default())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(s3_error!(BucketAlreadyOwnedByYou)),
            Err(error) => Err(fault(error)),
        }
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.existing_bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    /// Stores the body, of which at most one block is in memory, if its SHA-256 is the one in `x-amz-checksum-sha256`.
    /// A body with another digest, or one that is cut short, is refused, and what was there before stays. The header is
    /// among those that a presigned PUT signs; only who has the credentials may leave it out.
    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let object = self.object(&req.input.bucket, &req.input.key)?;
        self.existing_bucket(&req.input.bucket)?;
        let expected = req.input.checksum_sha256.as_deref().map(digest_of).transpose()?;

        let _transfer = self.transfer(&req)?;
        let input = req.input;
        let mut arrival = self.arrival();
        let mut context = Context::new(&SHA256);
        let mut length = 0_u64;
        let mut block = self.blocks.empty();
        let mut body = input.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| {
                let mut refusal = s3_error!(IncompleteBody);
                refusal.set_source(error);
                refusal
            })?;
            context.update(&piece);
            length += piece.len() as u64;
            block.add(&piece);
            drop(piece);
            if block.is_full() {
                (arrival, block) = blocking(move || {
                    arrival.write(block.bytes()).map_err(fault)?;
                    block.clear();
                    Ok((arrival, block))
                })
                .await?;
            }
        }
        if input.content_length.is_some_and(|announced| u64::try_from(announced) != Ok(length)) {
            return Err(s3_error!(IncompleteBody));
        }
        let found = context.finish();
        if expected.is_some_and(|expected| found.as_ref() != expected.as_slice()) {
            return Err(s3_error!(BadDigest, "the body's SHA-256 is not the one in x-amz-checksum-sha256"));
        }
        let synced = !input.key.starts_with("uploads/");
        blocking(move || {
            let written = arrival.write(block.bytes());
            written.and_then(|()| arrival.place(&object, synced)).map_err(fault)
        })
        .await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(HEXLOWER.encode(found.as_ref()))),
            checksum_sha256: input.checksum_sha256,
            ..Default::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let path = self.object(&req.input.bucket, &req.input.key)?;
        let transfer = self.transfer(&req)?;
        let (blocks, wanted) = (Arc::clone(&self.blocks), req.input.range);
        let (body, range, size, modified) = blocking(move || {
            let file = File::open(&path).map_err(missing)?;
            let (size, modified) = describe(&file.metadata().map_err(fault)?)?;
            let range = match wanted {
                Some(range) => range.check(size)?,
                None => 0..size,
            };
            let (reading, first) = Reading::begin(file, range.clone(), blocks, transfer).map_err(fault)?;
            Ok((reading.into_body(first), range, size, modified))
        })
        .await?;
        Ok(S3Response::new(GetObjectOutput {
            body: Some(body),
            content_length: Some(signed(range.end - range.start)?),
            content_range: req.input.range.map(|_| format!("bytes {}-{}/{size}", range.start, range.end - 1)),
            last_modified: Some(modified),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let path = self.object(&req.input.bucket, &req.input.key)?;
        let (size, modified) = describe(&tokio::fs::metadata(&path).await.map_err(missing)?)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(signed(size)?),
            last_modified: Some(modified),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let bucket = self.existing_bucket(&req.input.bucket)?;
        let object = self.object(&req.input.bucket, &req.input.key)?;
        blocking(move || remove(&bucket, &object).map_err(fault)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        let bucket = self.existing_bucket(&input.bucket)?;
        // All keys are looked at before the first is deleted.
        let objects = input
            .delete
            .objects
            .into_iter()
            .map(|object| Ok((self.object(&input.bucket, &object.key)?, object.key)))
            .collect::<S3Result<Vec<_>>>()?;
        let deleted = blocking(move || {
            objects
                .into_iter()
                .map(|(path, key)| {
                    remove(&bucket, &path)?;
                    Ok(DeletedObject { key: Some(key), ..Default::default() })
                })
                .collect::<io::Result<Vec<_>>>()
                .map_err(fault)
        })
        .await?;
        let deleted = (input.delete.quiet != Some(true)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let bucket = self.existing_bucket(&input.bucket)?;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "objects are listed without a delimiter only"));
        }
        let prefix = input.prefix.clone().unwrap_or_default();
        // What comes after a folder's last slash only narrows the answer down.
        if let Some((folder, _)) = prefix.rsplit_once('/') {
            self.object(&input.bucket, folder)?;
        }
        let after = input.continuation_token.clone().max(input.start_after.clone()).unwrap_or_default();
        let most = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or(0).min(1000);
        let mut found = blocking(move || list(&bucket, &prefix, &after, most + 1).map_err(fault)).await?;
        let truncated = found.len() > most;
        found.truncate(most);
        let next = truncated.then(|| found.last().map(|(key, _)| key.clone())).flatten();
        let contents = found
            .into_iter()
            .map(|(key, metadata)| {
                let (size, modified) = describe(&metadata)?;
                Ok(Object {
                    key: Some(key),
                    size: Some(signed(size)?),
                    last_modified: Some(modified),
                    ..Default::default()
                })
            })
            .collect::<S3Result<Vec<_>>>()?;
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len()).ok(),
            contents: Some(contents),
            is_truncated: Some(truncated),
            next_continuation_token: next,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            prefix: input.prefix,
            name: Some(input.bucket),
            max_keys: i32::try_from(most).ok(),
            ..Default::default()
        }))
    }
}

/// Whether `text` is a name that means the same on every file system: of `[a-zA-Z0-9._-]`, and not hidden.
pub(super) fn is_segment(text: &str) -> bool {
    !text.starts_with('.')
        && (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Removes an object and the folders that it leaves empty.
fn remove(bucket: &Path, object: &Path) -> io::Result<()> {
    match std::fs::remove_file(object) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(error);
        }
        _ => {}
    }
    for folder in object.ancestors().skip(1).take_while(|folder| *folder != bucket) {
        // Not empty, or gone already: either way there is nothing more to tidy above it.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// The SHA-256 that `x-amz-checksum-sha256` says.
fn digest_of(text: &str) -> S3Result<[u8; 32]> {
    let digest = BASE64.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    digest.ok_or_else(|| s3_error!(InvalidRequest, "x-amz-checksum-sha256 is not the base64 of 32 bytes"))
}

fn describe(metadata: &std::fs::Metadata) -> S3Result<(u64, Timestamp)> {
    if !metadata.is_file() {
        return Err(s3_error!(NoSuchKey));
    }
    Ok((metadata.len(), Timestamp::from(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH))))
}

fn signed(length: u64) -> S3Result<i64> {
    i64::try_from(length).map_err(|_| s3_error!(EntityTooLarge))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| s3_error!(error, InternalError))?
}

fn missing(error: io::Error) -> S3Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => s3_error!(NoSuchKey),
        _ => fault(error),
    }
}

fn fault(error: io::Error) -> S3Error {
    tracing::error!(%error, "the object folder failed");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            s3_error!(error, ServiceUnavailable, "there is no space left for objects")
        }
        _ => s3_error!(error, InternalError),
    }
}
