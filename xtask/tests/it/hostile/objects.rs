//! Chunks that were changed where they lie: never analysed, but sent again, without anybody's help.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::until_stored;
use crate::harness::{Backend, LIMIT, Object, Stage, on_both};

on_both!(
    an_altered_chunk_is_sent_again,
    a_truncated_chunk_is_sent_again,
    a_chunk_that_is_gone_is_sent_again,
    a_header_that_is_gone_is_sent_again,
    chunks_that_changed_places_are_sent_again,
);

/// Size of the file that is sent: four chunks.
const SIZE: u64 = 30 << 20;

/// Stores a file, lets `tamper` have its chunks, and checks that its result is right all the same.
fn survives(backend: Backend, tamper: impl FnOnce(&[PathBuf]) -> Result<()>, sent_again: &[u32]) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    let recorded = stage.absent_processor()?;
    let file = stage.folder("files")?.write_incompressible("large", SIZE)?;
    let ada = stage.person("ada")?;
    let sending = ada.start_sending([&file])?;
    until_stored(&ada)?;
    let upload = ada.asker().uploads()?.remove(0);
    let objects = stage.stack().dir().join("server/objects/filemill/uploads").join(&upload.id);
    let chunks = (0..upload.chunks)
        .map(|sequence| {
            let mut folder = fs::read_dir(objects.join(sequence.to_string()))?;
            Ok(folder.next().context("a stored chunk")??.path())
        })
        .collect::<Result<Vec<_>>>()?;
    tamper(&chunks)?;

    stage.return_processors()?;
    let lines = sending.end(LIMIT)?.well()?.lines()?;
    assert_eq!((lines.len(), lines[0].number("bytes")), (1, Some(SIZE)));
    let missing = recorded.all("object missing")?;
    assert!(!missing.is_empty(), "nobody noticed");
    let mut stored: Vec<u32> = Vec::new();
    for object in between.storage.stored_chunks().split_off(chunks.len()) {
        if let Object::Chunk { sequence, .. } = object {
            stored.push(sequence);
        }
    }
    stored.sort();
    assert_eq!(stored, sent_again, "what was sent again");
    assert_eq!(ada.asker().results()?.len(), 1);
    stage.end()
}

fn an_altered_chunk_is_sent_again(backend: Backend) -> Result<()> {
    let flip = |chunks: &[PathBuf]| {
        let mut bytes = fs::read(&chunks[1])?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(fs::write(&chunks[1], bytes)?)
    };
    survives(backend, flip, &[1])
}

fn a_truncated_chunk_is_sent_again(backend: Backend) -> Result<()> {
    let truncate = |chunks: &[PathBuf]| {
        let bytes = fs::read(&chunks[2])?;
        Ok(fs::write(&chunks[2], &bytes[..bytes.len() - 1])?)
    };
    survives(backend, truncate, &[2])
}

fn a_chunk_that_is_gone_is_sent_again(backend: Backend) -> Result<()> {
    survives(backend, |chunks| Ok(fs::remove_file(&chunks[0])?), &[0])
}

fn a_header_that_is_gone_is_sent_again(backend: Backend) -> Result<()> {
    let remove = |chunks: &[PathBuf]| {
        let upload = chunks[0].ancestors().nth(2).context("a chunk lies in its upload")?;
        let mut header = fs::read_dir(upload.join("header"))?;
        Ok(fs::remove_file(header.next().context("a stored header")??.path())?)
    };
    survives(backend, remove, &[])
}

fn chunks_that_changed_places_are_sent_again(backend: Backend) -> Result<()> {
    let swap = |chunks: &[PathBuf]| {
        let (one, two) = (fs::read(&chunks[0])?, fs::read(&chunks[1])?);
        fs::write(&chunks[0], two)?;
        Ok(fs::write(&chunks[1], one)?)
    };
    survives(backend, swap, &[0, 1])
}
