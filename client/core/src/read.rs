//! Reading the files of one upload as the stream that its layout cuts into chunks.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

use filemill_seal::{Layout, Piece, Sha256, Verdict, VoidReason};

use crate::content::Content;
use crate::error::io_detail;
use crate::source::Found;
use crate::stat::FileStat;
use crate::tree::link_met;

/// Reads chunks of one upload. Blocks; one thread at a time.
pub(crate) struct Reader {
    files: Arc<[Found]>,
    layout: Arc<Layout>,
    current: Option<Current>,
    /// Files that begin in an earlier chunk than this are not hashed: their verdict is known.
    hash_from: u32,
}

/// The file that the last chunk ended within.
struct Current {
    index: u32,
    /// Absent if it could not be opened.
    file: Option<File>,
    /// Absent if it began before what is hashed.
    hash: Option<Sha256>,
    void: Option<(VoidReason, String)>,
}

/// A file that ends in the chunk that was read.
pub(crate) struct EndedFile {
    pub(crate) index: u32,
    /// Absent if it began before what is hashed: its verdict is known.
    pub(crate) verdict: Option<Verdict>,
    /// Why it is void, for people.
    pub(crate) detail: String,
}

impl Reader {
    /// Will read the chunks from `hash_from` on in order, and before that any single ones.
    pub(crate) fn new(files: Arc<[Found]>, layout: Arc<Layout>, hash_from: u32) -> Self {
        Self { files, layout, current: None, hash_from }
    }

    /// Replaces what is in `out` with the data of the chunk, and says which files end in it.
    ///
    /// `known` says that the chunk was read before and is only to be compared: then what a changed file now holds is read,
    /// too. Else a file that is not what it was when it was found is void, and its bytes are zeros.
    pub(crate) fn read(&mut self, sequence: u32, known: bool, out: &mut Vec<u8>) -> Vec<EndedFile> {
        let layout = Arc::clone(&self.layout);
        let length = layout.chunk_length(sequence).unwrap_or(0) as usize;
        // What is kept of an earlier chunk is written over: only what is longer is cleared.
        out.resize(length, 0);
        let mut ended = Vec::new();
        for piece in layout.pieces(sequence) {
            let room = &mut out[piece.in_chunk.clone()];
            self.enter(sequence, &piece);
            self.read_piece(&piece, known, room);
            let size = self.files[piece.index as usize].stat.size;
            if piece.in_file + room.len() as u64 == size {
                ended.extend(self.leave());
            }
        }
        ended
    }

    /// Makes the piece's file the current one.
    fn enter(&mut self, sequence: u32, piece: &Piece) {
        if self.current.as_ref().is_some_and(|current| current.index == piece.index) && piece.in_file > 0 {
            return;
        }
        let announced = &self.files[piece.index as usize];
        let hashed = piece.in_file == 0 && sequence >= self.hash_from;
        // What was looked into is what is sent.
        let kept = announced.content.as_ref().and_then(Content::take_file);
        let opened = match kept {
            Some(file) => file.metadata().map(|now| (file, FileStat::of(&now))),
            None => announced.open(),
        };
        let (file, void) = match opened {
            Ok((file, stat)) => (Some(file), difference(&announced.stat, &stat)),
            // A file where a folder was on the way to it is the end of it, too.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                (None, Some((VoidReason::Vanished, "it vanished".to_owned())))
            }
            // Another file may have taken its place by now, which whoever sends it again finds out.
            Err(error) if link_met(&error).is_some() => (None, Some((VoidReason::Changed, io_detail(&error)))),
            Err(error) => (None, Some((VoidReason::Unreadable, io_detail(&error)))),
        };
        self.current = Some(Current { index: piece.index, file, hash: hashed.then(Sha256::new), void });
    }

    fn read_piece(&mut self, piece: &Piece, known: bool, room: &mut [u8]) {
        let Some(current) = &mut self.current else {
            return room.fill(0);
        };
        let wanted = known || current.void.is_none();
        let read = match &mut current.file {
            Some(file) if wanted => read_at(file, piece.in_file, room),
            _ => Ok(0),
        };
        let (filled, error) = match read {
            Ok(filled) => (filled, None),
            Err(error) => (0, Some(error)),
        };
        room[filled..].fill(0);
        if current.void.is_none() {
            if let Some(error) = error {
                current.void = Some((VoidReason::Unreadable, io_detail(&error)));
            } else if filled < room.len() {
                current.void = Some((VoidReason::Shrank, VoidReason::Shrank.to_string()));
            }
        }
        if let Some(hash) = &mut current.hash {
            hash.update(room);
        }
    }

    /// Judges the current file, which was read to its announced end.
    fn leave(&mut self) -> Option<EndedFile> {
        let current = self.current.take()?;
        let announced = &self.files[current.index as usize];
        let now = current.file.as_ref().and_then(|file| file.metadata().ok()).map(|now| FileStat::of(&now));
        let void = current.void.or_else(|| match now {
            Some(now) => difference(&announced.stat, &now),
            None => Some((VoidReason::Unreadable, "its length cannot be read any more".to_owned())),
        });
        let (verdict, detail) = match (void, current.hash) {
            (Some((reason, detail)), Some(_)) => (Some(Verdict::Void(reason)), detail),
            (None, Some(hash)) => (Some(Verdict::Intact(hash.finish())), String::new()),
            (_, None) => (None, String::new()),
        };
        Some(EndedFile { index: current.index, verdict, detail })
    }
}

/// How a file differs from what it was when it was found, if it does.
fn difference(announced: &FileStat, now: &FileStat) -> Option<(VoidReason, String)> {
    if announced == now {
        return None;
    }
    let reason = if now.size < announced.size { VoidReason::Shrank } else { VoidReason::Changed };
    Some((reason, reason.to_string()))
}

/// Fills `room` from `offset` on; fewer bytes only at the end of the file.
fn read_at(file: &mut File, offset: u64, room: &mut [u8]) -> io::Result<usize> {
    use std::io::{Seek, SeekFrom};

    if file.stream_position()? != offset {
        file.seek(SeekFrom::Start(offset))?;
    }
    let mut filled = 0;
    while filled < room.len() {
        match file.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use filemill_seal::{CHUNK_SIZE_MIN, Digest};

    use super::*;

    const CHUNK: usize = CHUNK_SIZE_MIN as usize;

    fn found(path: &Path) -> Found {
        Found::at(path.to_owned(), b"name".to_vec(), &fs::symlink_metadata(path).unwrap()).unwrap()
    }

    fn reader(files: &[Found], hash_from: u32) -> (Reader, Arc<Layout>) {
        let layout = Arc::new(Layout::new(CHUNK_SIZE_MIN, files.iter().map(|file| file.stat.size)).unwrap());
        (Reader::new(files.into(), Arc::clone(&layout), hash_from), layout)
    }

    #[test]
    fn files_are_read_end_to_end_with_their_verdicts() {
        let folder = tempfile::tempdir().unwrap();
        let contents = [vec![], vec![1; CHUNK - 5], vec![2; 2 * CHUNK], vec![3; 7], vec![]];
        let files: Vec<Found> = contents
            .iter()
            .enumerate()
            .map(|(index, content)| {
                let path = folder.path().join(index.to_string());
                fs::write(&path, content).unwrap();
                found(&path)
            })
            .collect();
        let (mut reader, layout) = reader(&files, 0);
        let (mut stream, mut verdicts, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in 0..layout.chunk_count() {
            let ended = reader.read(sequence, false, &mut out);
            assert_eq!(
                ended.iter().map(|ended| ended.index).collect::<Vec<_>>(),
                layout.ends_in(sequence).collect::<Vec<_>>()
            );
            verdicts.extend(ended.into_iter().map(|ended| ended.verdict.unwrap()));
            stream.extend_from_slice(&out);
        }
        assert_eq!(stream, contents.concat());
        let expected: Vec<Verdict> = contents.iter().map(|content| Verdict::Intact(Digest::of(content))).collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_file_that_is_not_what_it_was_is_void_and_padded_and_its_neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<Found> = ["shrinks", "grows", "vanishes", "stays"]
            .map(|name| {
                let path = folder.path().join(name);
                fs::write(&path, [9; 100]).unwrap();
                found(&path)
            })
            .to_vec();
        fs::write(&files[0].path, [9; 40]).unwrap();
        fs::write(&files[1].path, [9; 101]).unwrap();
        fs::remove_file(&files[2].path).unwrap();
        let (mut reader, _) = reader(&files, 0);
        let mut out = vec![7; 5000];
        let ended = reader.read(0, false, &mut out);
        let verdicts: Vec<Verdict> = ended.iter().map(|ended| ended.verdict.unwrap()).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Void(VoidReason::Shrank),
                Verdict::Void(VoidReason::Changed),
                Verdict::Void(VoidReason::Vanished),
                Verdict::Intact(Digest::of(&[9; 100])),
            ]
        );
        assert_eq!(out, [[0; 300].as_slice(), [9; 100].as_slice()].concat());
    }

    #[test]
    fn a_file_whose_folder_became_a_file_has_vanished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder/file");
        fs::create_dir(folder.path().join("folder")).unwrap();
        fs::write(&path, "content").unwrap();
        let file = found(&path);
        fs::remove_dir_all(folder.path().join("folder")).unwrap();
        fs::write(folder.path().join("folder"), "a file").unwrap();
        let ended = reader(&[file], 0).0.read(0, false, &mut Vec::new());
        assert_eq!(ended[0].verdict, Some(Verdict::Void(VoidReason::Vanished)));
    }

    #[test]
    fn a_file_that_shrinks_between_two_chunks_is_void_in_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![5; 3 * CHUNK]).unwrap();
        let (mut reader, _) = reader(&[found(&path)], 0);
        let mut out = Vec::new();
        assert!(reader.read(0, false, &mut out).is_empty());
        File::options().write(true).open(&path).unwrap().set_len(CHUNK as u64 + 10).unwrap();
        assert!(reader.read(1, false, &mut out).is_empty());
        assert_eq!(out[..11], [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 0]);
        let ended = reader.read(2, false, &mut out);
        assert_eq!(ended[0].verdict, Some(Verdict::Void(VoidReason::Shrank)));
        assert_eq!(out, vec![0; CHUNK]);
    }

    #[test]
    fn a_known_chunk_is_read_as_the_file_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![5; 2 * CHUNK]).unwrap();
        let file = found(&path);
        fs::write(&path, vec![6; 2 * CHUNK]).unwrap();
        let (mut reader, _) = reader(&[file], 1);
        let mut out = Vec::new();
        reader.read(1, true, &mut out);
        assert_eq!(out, vec![6; CHUNK]);
        assert!(reader.read(1, true, &mut out)[0].verdict.is_none());
    }
}
