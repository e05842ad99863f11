//! Zip, by the crate `rc-zip`: it says which bytes it wants, and is given them.

use filemill_engine::Failure;
use filemill_engine::v2::Severity;
use rc_zip::error::FormatError;
use rc_zip::fsm::{ArchiveFsm, EntryFsm, FsmResult};
use rc_zip::parse::Mode;
use rc_zip::{Archive, EntryKind, Error};

use crate::capture::{Capture, Captured};
use crate::contents::{Contents, Entry, Kind};
use crate::date;
use crate::source::Source;

/// The longest directory that is read, in bytes: of some 100,000 entries. What it says is held in memory, several times as
/// long.
const DIRECTORY_BYTES: u64 = 12 * 1024 * 1024;

/// How much is unpacked at once.
const UNPACKED_BYTES: usize = 64 * 1024;

/// How much is read of an entry beside its contents: its own header, and what may follow them.
const READ_BESIDE_BYTES: u64 = 256;

/// The longest target of a link.
const TARGET_BYTES: u64 = 4096;

/// Length of the shortest zip, which is nothing but its end (APPNOTE 6.3.10, 4.3.16).
const END_BYTES: u64 = 22;

/// Length of an entry's own header, without name and extra field (APPNOTE 6.3.10, 4.3.7).
const LOCAL_HEADER_BYTES: u64 = 30;

/// The first bit of an entry's flags: it is encrypted (APPNOTE 6.3.10, 4.4.4).
const ENCRYPTED: u16 = 1;

/// Reads the directory of a zip. Nothing when there is none, so that the file is no zip.
///
/// # Errors
///
/// [`Failure::Malformed`] when the directory is broken, [`Failure::Failed`] when it is too long.
pub(crate) async fn directory(source: &mut Source<'_>) -> Result<Option<Archive>, Failure> {
    if source.size() < END_BYTES {
        return Ok(None);
    }
    let mut machine = ArchiveFsm::new(source.size());
    let mut read = 0;
    loop {
        if let Some(offset) = machine.wants_read() {
            let room = machine.space();
            let piece = source.read_at(offset, room.len()).await?;
            if piece.is_empty() {
                return Err(Failure::malformed("the zip's directory ends too early"));
            }
            room[..piece.len()].copy_from_slice(&piece);
            machine.fill(piece.len());
            read += piece.len() as u64;
            if read > DIRECTORY_BYTES {
                return Err(Failure::failed(format!(
                    "the zip's directory is longer than {} MiB",
                    DIRECTORY_BYTES >> 20
                )));
            }
        }
        machine = match machine.process() {
            Ok(FsmResult::Continue(machine)) => machine,
            Ok(FsmResult::Done(archive)) => return Ok(Some(archive)),
            Err(Error::Format(FormatError::DirectoryEndSignatureNotFound)) => return Ok(None),
            Err(error) => return Err(Failure::malformed(format!("the zip cannot be read: {error}"))),
        };
    }
}

/// Takes all entries of `archive`, and unpacks them as far as the budget goes.
///
/// # Errors
///
/// The input's.
pub(crate) async fn walk(
    archive: &Archive,
    source: &mut Source<'_>,
    contents: &mut Contents<'_>,
) -> Result<(), Failure> {
    let overlapping = overlapping(archive);
    if overlapping > 0 {
        let what = format!("has entries ({overlapping}) that share their bytes with others, as a bomb does");
        contents.warn("overlapping-entries", Severity::High, "", &what);
    }
    // Progress is told at most a hundred times: each is a call into the host.
    let step = archive.entries().count().div_ceil(100).max(1);
    for (index, found) in archive.entries().enumerate() {
        if contents.within.is_empty() && index > 0 && index % step == 0 {
            filemill_engine::progress(u32::try_from(index / step * 10).unwrap_or(1000));
        }
        let entry = told(found);
        contents.entry(&entry);
        if entry.kind == Kind::Folder {
            continue;
        }
        // Shared bytes would be unpacked over and over.
        if entry.encrypted || overlapping > 0 || contents.left() == 0 {
            contents.unread += 1;
            continue;
        }
        match unpack(found, source, contents).await? {
            Unpacked::Whole(captured) => contents.nested(&entry.path, captured),
            Unpacked::Link(target) => contents.link(&entry.path, &target),
            Unpacked::Unread => contents.unread += 1,
            Unpacked::Broken(kind, why) => {
                contents.unread += 1;
                contents.warn(kind, Severity::Medium, &entry.path, &why);
            }
        }
    }
    Ok(())
}

/// What came of unpacking an entry.
enum Unpacked {
    Whole(Captured),
    /// The target of a symbolic link.
    Link(String),
    /// It was not unpacked to its end: the budget is used up, or the method is not known.
    Unread,
    /// It is wrong: a kind of warning, and a sentence.
    Broken(&'static str, String),
}

async fn unpack(
    found: &rc_zip::Entry,
    source: &mut Source<'_>,
    contents: &mut Contents<'_>,
) -> Result<Unpacked, Failure> {
    let is_link = found.kind() == EntryKind::Symlink;
    let mut machine = EntryFsm::new(Some(found.clone()), None);
    let mut room = vec![0; UNPACKED_BYTES];
    let mut offset = found.header_offset;
    // Where the entry ends, as far as one can tell; what its own header adds is read then.
    let end = offset.saturating_add(found.compressed_size).saturating_add(READ_BESIDE_BYTES + found.name.len() as u64);
    let mut unpacked = 0_u64;
    let mut capture = Capture::default();
    let mut target = Vec::new();
    loop {
        if machine.wants_read() {
            let space = machine.space();
            let wanted = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).max(512);
            let piece = source.read_at(offset, wanted.min(space.len())).await?;
            space[..piece.len()].copy_from_slice(&piece);
            machine.fill(piece.len());
            offset = offset.saturating_add(piece.len() as u64);
            if piece.is_empty() && offset >= source.size() && unpacked == 0 && found.header_offset >= source.size() {
                return Ok(Unpacked::Broken("corrupt", "lies beyond the end of the archive".into()));
            }
        }
        let before = unpacked;
        machine = match machine.process(&mut room) {
            Ok(FsmResult::Continue((machine, outcome))) => {
                let bytes = &room[..outcome.bytes_written];
                unpacked += bytes.len() as u64;
                contents.unpacked_bytes += bytes.len() as u64;
                capture.take(bytes);
                if is_link && unpacked <= TARGET_BYTES {
                    target.extend_from_slice(bytes);
                }
                if outcome.bytes_read == 0 && before == unpacked && offset >= source.size() {
                    return Ok(Unpacked::Broken("corrupt", "ends with the archive, in its middle".into()));
                }
                machine
            }
            Ok(FsmResult::Done(_)) if is_link => {
                return Ok(Unpacked::Link(String::from_utf8_lossy(&target).into_owned()));
            }
            Ok(FsmResult::Done(_)) => return Ok(Unpacked::Whole(capture.finish())),
            Err(Error::Unsupported(_)) => return Ok(Unpacked::Unread),
            Err(Error::Format(FormatError::WrongSize { expected, actual })) => return Ok(wrong_size(expected, actual)),
            Err(error) => return Ok(Unpacked::Broken("corrupt", format!("cannot be unpacked: {error}"))),
        };
        if unpacked > found.uncompressed_size {
            return Ok(wrong_size(found.uncompressed_size, unpacked));
        }
        if contents.left() == 0 {
            return Ok(Unpacked::Unread);
        }
    }
}

fn wrong_size(announced: u64, unpacked: u64) -> Unpacked {
    let more = if unpacked > announced { "at least " } else { "" };
    let what = format!("announces {announced} bytes, and has {more}{unpacked}");
    Unpacked::Broken("size-mismatch", what)
}

/// How many entries begin before the one before has ended.
fn overlapping(archive: &Archive) -> u64 {
    let mut ranges: Vec<_> = archive
        .entries()
        .map(|entry| {
            let length = LOCAL_HEADER_BYTES + entry.name.len() as u64;
            (entry.header_offset, entry.header_offset.saturating_add(length).saturating_add(entry.compressed_size))
        })
        .collect();
    ranges.sort_unstable();
    let mut end = 0;
    let mut count = 0;
    for (from, to) in ranges {
        count += u64::from(from < end);
        end = end.max(to);
    }
    count
}

fn told(found: &rc_zip::Entry) -> Entry {
    let kind = match found.kind() {
        EntryKind::Directory => Kind::Folder,
        EntryKind::Symlink => Kind::SymbolicLink,
        EntryKind::File if found.mode.has(Mode::DEVICE) || found.mode.has(Mode::NAMED_PIPE) => Kind::Special,
        EntryKind::File => Kind::File,
    };
    Entry {
        packed: Some(found.compressed_size),
        method: Some(format!("{:?}", found.method).to_ascii_lowercase()),
        modified: date::text(found.modified),
        encrypted: found.flags & ENCRYPTED != 0,
        sets_user: found.mode.has(Mode::SETUID) || found.mode.has(Mode::SETGID),
        ..Entry::new(found.name.clone(), kind, found.uncompressed_size)
    }
}
