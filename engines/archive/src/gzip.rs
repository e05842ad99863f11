//! Gzip, by the crate `flate2`: packed bytes are pushed in, unpacked ones come out, and are a tar or a file.

use std::io::{self, Write};

use filemill_engine::Failure;
use filemill_engine::v2::Severity;
use flate2::write::MultiGzDecoder;

use crate::capture::Capture;
use crate::contents::{Contents, Entry, Kind, is_bomb};
use crate::date;
use crate::format::{self, Format, HEAD_BYTES};
use crate::source::Source;
use crate::tar::Tar;

/// What a gzip held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Tar,
    File,
}

/// Unpacks as far as the budget goes, and takes what comes. `name` is what the unpacked file is called where the gzip does not
/// say.
///
/// # Errors
///
/// The input's.
pub(crate) async fn walk(source: &mut Source<'_>, name: &str, contents: &mut Contents<'_>) -> Result<Inside, Failure> {
    let mut decoder = MultiGzDecoder::new(Unpacked::default());
    let mut piece = Vec::new();
    let mut packed = 0_u64;
    let mut broken = None;
    let mut is_whole = true;
    while source.next(&mut piece).await? {
        packed += piece.len() as u64;
        // In small steps, so that a bomb goes off in small pieces: deflate packs at most 1,032 times.
        for step in piece.chunks(4096) {
            let result = decoder.write_all(step);
            decoder.get_mut().pass_on(contents);
            if let Err(error) = result {
                broken = Some(error);
                break;
            }
        }
        if broken.is_some() {
            break;
        }
        if contents.left() == 0 {
            is_whole = false;
            break;
        }
    }
    if is_whole && broken.is_none() {
        broken = decoder.try_finish().err();
    }
    decoder.get_mut().settle(contents);
    let header = decoder.header().cloned();
    let unpacked = std::mem::take(decoder.get_mut());
    let size = unpacked.total;
    let inside = if matches!(unpacked.sink, Sink::Tar(_)) { Inside::Tar } else { Inside::File };
    let own_name =
        header.as_ref().and_then(|header| header.filename()).map(|name| String::from_utf8_lossy(name).into_owned());
    let path = own_name.unwrap_or_else(|| name.to_owned());
    if inside == Inside::File {
        let modified = header.as_ref().and_then(|header| date::of_seconds(u64::from(header.mtime())));
        contents.entry(&Entry {
            packed: Some(source.size()),
            method: Some("deflate".into()),
            modified,
            ..Entry::new(path.clone(), Kind::File, size)
        });
    } else if is_bomb(size, packed) {
        contents.ratio("", size, packed);
    }
    if let Some(error) = &broken {
        contents.warn("corrupt", Severity::Medium, "", &format!("cannot be unpacked to its end: {error}"));
    }
    if broken.is_some() || !is_whole {
        contents.unread += 1;
    }
    unpacked.finish(&path, is_whole && broken.is_none(), contents);
    Ok(inside)
}

/// What the decoder writes to.
#[derive(Default)]
struct Unpacked {
    /// What was written and not yet passed on.
    bytes: Vec<u8>,
    total: u64,
    sink: Sink,
}

/// Where unpacked bytes go.
#[derive(Default)]
enum Sink {
    /// It is not known yet.
    #[default]
    Unknown,
    Tar(Tar),
    File(Capture),
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Unpacked {
    /// Passes on what came, once it is known where to.
    fn pass_on(&mut self, contents: &mut Contents<'_>) {
        if matches!(self.sink, Sink::Unknown) && self.bytes.len() >= HEAD_BYTES {
            self.decide();
        }
        if !matches!(self.sink, Sink::Unknown) {
            let mut bytes = std::mem::take(&mut self.bytes);
            contents.unpacked_bytes += bytes.len() as u64;
            self.total += bytes.len() as u64;
            match &mut self.sink {
                Sink::Tar(tar) => tar.take(&bytes, contents),
                Sink::File(capture) => capture.take(&bytes),
                Sink::Unknown => {}
            }
            bytes.clear();
            self.bytes = bytes;
        }
    }

    fn decide(&mut self) {
        self.sink = match format::of(&self.bytes) {
            Some(Format::Tar) => Sink::Tar(Tar::new()),
            _ => Sink::File(Capture::default()),
        };
    }

    /// Passes on all that came, however little it is.
    fn settle(&mut self, contents: &mut Contents<'_>) {
        if matches!(self.sink, Sink::Unknown) {
            self.decide();
        }
        self.pass_on(contents);
    }

    fn finish(self, path: &str, is_whole: bool, contents: &mut Contents<'_>) {
        match self.sink {
            Sink::Tar(tar) if is_whole => tar.finish(contents),
            Sink::File(capture) if is_whole => contents.nested(path, capture.finish()),
            _ => {}
        }
    }
}
