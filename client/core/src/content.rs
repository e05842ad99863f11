//! What a file is by its first bytes, where its name leaves open which engine it is for. They are read from the descriptor that is
//! then kept for sending: what decides is what is sent.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stat::FileStat;
use crate::wall_clock::now_ns;

/// How much of a file is looked at, in bytes.
const LOOKED_AT_BYTES: usize = 4096;
/// Descriptors that are kept at the same time, in the whole program, at most, and what part of those that it may have; files beyond
/// are opened again, and must be the same then.
const KEPT_MAX: usize = 256;
const KEPT_SHARE: u64 = 4;
/// One byte of so many may be something else than ASCII in a text that is not UTF-8.
const FOREIGN_SHARE: usize = 4;

/// Descriptors that are kept now.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What a look into a file said.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// Media types that it may be of.
    pub(crate) kinds: Arc<[&'static str]>,
    /// As the file was when it was looked into; `None` if it could not be.
    pub(crate) seen: Option<(FileStat, i64)>,
    kept: Arc<Mutex<Option<KeptFile>>>,
}

/// An open file that counts among those that are kept.
#[derive(Debug)]
struct KeptFile(Option<File>);

impl Content {
    /// Of a file that could not be looked into.
    pub(crate) fn unknown() -> Self {
        Self { kinds: Arc::default(), seen: None, kept: Arc::default() }
    }

    /// Of the file that was opened, as it was then.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(crate) fn of((mut file, stat): (File, FileStat)) -> io::Result<Self> {
        let seen = Some((stat, now_ns()));
        let begins = begins(&mut file)?;
        let kept = KeptFile::keep(file);
        Ok(Self { kinds: kinds_of(&begins).into(), seen, kept: Arc::new(Mutex::new(kept)) })
    }

    /// The file that was looked into, once, if it was kept.
    pub(crate) fn take_file(&self) -> Option<File> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take().and_then(|mut kept| kept.0.take())
    }
}

impl KeptFile {
    /// Keeps it, if there is room.
    fn keep(file: File) -> Option<Self> {
        let most = kept_max();
        let room = |kept: usize| (kept < most).then_some(kept + 1);
        KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok().map(|_| Self(Some(file)))
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many descriptors may be kept now.
fn kept_max() -> usize {
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let limit = None;
    kept_of(limit)
}

/// How many of those that the program may have: where these are few (macOS: 256), the others are needed elsewhere.
fn kept_of(limit: Option<u64>) -> usize {
    let share = limit.and_then(|limit| usize::try_from(limit / KEPT_SHARE).ok());
    share.map_or(KEPT_MAX, |share| share.min(KEPT_MAX))
}

/// The first bytes; whoever reads on begins at the beginning.
fn begins(file: &mut File) -> io::Result<Vec<u8>> {
    use std::io::{Read, Seek};

    let mut begins = Vec::with_capacity(LOOKED_AT_BYTES);
    file.take(LOOKED_AT_BYTES as u64).read_to_end(&mut begins)?;
    file.rewind()?;
    Ok(begins)
}

/// Media types that a file that begins so may be of, the most telling first.
fn kinds_of(begins: &[u8]) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = infer::get(begins).map(|kind| kind.mime_type()).into_iter().collect();
    // What lies in one is a matter for whoever reads any: office documents, programs for phones, comics.
    if begins.starts_with(b"PK\x03\x04") || begins.starts_with(b"PK\x05\x06") {
        kinds.push("application/zip");
    }
    // A PDF may begin like text. Keys and certificates have a kind of their own, and are text.
    if !kinds.contains(&"application/pdf") && !kinds.contains(&"text/plain") && is_text(begins) {
        kinds.push("text/plain");
    }
    kinds
}

/// Whether it looks like text: UTF-8, UTF-16 with a byte order mark, or mostly ASCII, without what no text has.
fn is_text(begins: &[u8]) -> bool {
    if begins.is_empty() {
        return false;
    }
    if begins.starts_with(&[0xff, 0xfe]) || begins.starts_with(&[0xfe, 0xff]) {
        return begins.len() >= 4;
    }
    let controls = |byte: &u8| byte.is_ascii_control() && !b"\t\n\r\x0c\x1b".contains(byte);
    if begins.iter().any(controls) {
        return false;
    }
    match std::str::from_utf8(begins) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) if error.error_len().is_none() => true,
        Err(_) => begins.iter().filter(|byte| !byte.is_ascii()).count() * FOREIGN_SHARE <= begins.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn look(path: &Path) -> Content {
        let file = File::open(path).unwrap();
        let stat = FileStat::of(&file.metadata().unwrap());
        Content::of((file, stat)).unwrap()
    }

    #[test]
    fn first_bytes_tell_kinds_apart() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (begins, kind) in [
            (&b"PK\x03\x04\x14\0\0\0\x08\0rest"[..], "application/zip"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "application/gzip"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"%PDF-1.7\n\x80\x81", "application/pdf"),
            (&tar, "application/x-tar"),
            (b"select 1;\n", "text/plain"),
            (b"-----BEGIN CERTIFICATE-----\nMIIB", "text/plain"),
            ("Grüße".as_bytes(), "text/plain"),
            (&"Grüße".as_bytes()[..4], "text/plain"),
            (b"\xff\xfea\0b\0", "text/plain"),
            (b"na\xefve caf\xe9 text", "text/plain"),
            (b"<!DOCTYPE html><p>", "text/plain"),
        ] {
            let kinds = kinds_of(begins);
            assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        }
        for binary in [&b""[..], b"\0", b"a\0b", b"\x01\x02", &[0x80; 64], b"\x7fELF\x02\x01\x01\0", b"%PDF-1.7"] {
            assert!(!kinds_of(binary).contains(&"text/plain"), "{binary:?}");
        }
    }

    #[test]
    fn what_was_looked_into_is_what_is_sent_though_another_file_takes_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "text").unwrap();
        let content = look(&path);
        let other = folder.path().join("other");
        std::fs::write(&other, "something else").unwrap();
        std::fs::rename(&other, &path).unwrap();
        let mut kept = content.take_file().unwrap();
        assert_eq!(io::read_to_string(&mut kept).unwrap(), "text");
        assert!(content.take_file().is_none(), "once");
    }

    #[test]
    fn most_descriptors_of_a_program_that_may_have_few_are_left_to_others() {
        assert_eq!([Some(256), Some(1024), Some(1 << 20), Some(0), None].map(kept_of), [64, 256, 256, 0, 256]);
    }

    #[test]
    fn no_more_than_some_kilobytes_are_read_and_descriptors_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        file.write_all(&[b'a'; LOOKED_AT_BYTES]).unwrap();
        file.write_all(&[0; 1000]).unwrap();
        let contents: Vec<Content> = (0..2 * KEPT_MAX).map(|_| look(&path)).collect();
        assert!(contents.iter().all(|content| content.kinds.contains(&"text/plain")));
        let kept = contents.iter().filter(|content| content.take_file().is_some()).count();
        assert!(0 < kept && kept <= KEPT_MAX, "{kept}");
    }
}
