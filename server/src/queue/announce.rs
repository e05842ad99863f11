//! What an upload announces about its jobs, checked against how a stream is laid out, and cut into runs.

use filemill_api::abilities::LONG_PARAMETERS;
use filemill_api::limits::{
    MAX_CHUNKS, MAX_FILES, MAX_HEADER_BYTES, MAX_SPAN_JOBS, MAX_TASK_RELEASES, MAX_TASKS, MAX_UPLOAD_SPANS,
    MAX_WANTED_CHUNKS,
};
use filemill_api::{ChunkWant, ErrorBody, FileRange, OpenTask, OpenUpload};

use crate::digest::sha256_hex;
use crate::refusal::{bad_request, beyond, is_hex, is_name, shown, too_many};

/// What one chunk of a job's range costs beside the job itself, in jobs.
const CHUNK_COST: i64 = 16;

/// Neighbouring jobs that will be one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) lo: u32,
    pub(super) hi: u32,
    pub(super) first_chunk: u32,
    pub(super) last_chunk: u32,
}

/// An upload's announcement that holds together. The runs are cut again when they are written: a few bytes of a request may be
/// thousands, and it may have to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Files times tasks.
    pub(super) jobs: u32,
    pub(super) tasks: u32,
    pub(super) runs: usize,
    /// Over the ranges, however they were grouped, and over tasks, where they are not one release to a header of format 1.
    pub(super) ranges_sha256: String,
}

/// What `jobs` jobs that lie in these chunks take of their organisation's turns.
pub(super) fn cost(jobs: u32, first_chunk: i64, last_chunk: i64) -> i64 {
    i64::from(jobs) + CHUNK_COST * (last_chunk - first_chunk).max(0)
}

/// Checks everything that can be checked without the database.
///
/// # Errors
/// `bad_request`, naming the field.
pub(super) fn check(upload: &OpenUpload) -> Result<Announced, ErrorBody> {
    if !is_hex(&upload.id, 32) {
        return Err(bad_request(format!("id `{}` is not 32 lower-case hex characters", shown(&upload.id))));
    }
    if !is_hex(&upload.header_sha256, 64) {
        return Err(bad_request(format!(
            "header_sha256 `{}` is not 64 lower-case hex characters",
            shown(&upload.header_sha256)
        )));
    }
    check_tasks(upload)?;
    if !is_name(&upload.pool) {
        return Err(bad_request(format!("pool `{}` is not 1 to 64 characters of [A-Za-z0-9._-]", shown(&upload.pool))));
    }
    if upload.header_length == 0 || upload.header_length > MAX_HEADER_BYTES {
        return Err(bad_request(format!(
            "header_length is {}, it has to be 1 to {MAX_HEADER_BYTES} bytes",
            upload.header_length
        )));
    }
    if upload.chunks == 0 || upload.chunks > MAX_CHUNKS {
        return Err(bad_request(format!("chunks is {}, it has to be 1 to {MAX_CHUNKS}", upload.chunks)));
    }
    let pieces = cut(&upload.files, upload.chunks)?;
    let (files, tasks) = (pieces.last().map_or(0, |piece| piece.hi), upload.tasks.len());
    let jobs = (files as usize).saturating_mul(tasks);
    if jobs > MAX_FILES as usize {
        return Err(bad_request(format!("{files} files and {tasks} tasks make more than {MAX_FILES} jobs")));
    }
    let runs = pieces.len().saturating_mul(tasks);
    if runs > MAX_UPLOAD_SPANS {
        return Err(bad_request(format!(
            "{tasks} tasks of {} spans each make more than {MAX_UPLOAD_SPANS}: make several uploads",
            pieces.len()
        )));
    }
    check_wanted(&upload.want, upload.chunks)?;
    let mut words = String::with_capacity(pieces.len() * 16);
    for piece in &pieces {
        use std::fmt::Write as _;
        let _infallible = write!(words, "{},{},{},{};", piece.lo, piece.hi, piece.first_chunk, piece.last_chunk);
    }
    if !is_plain(upload) {
        use std::fmt::Write as _;
        let _infallible = write!(words, "format {}", upload.format);
        for OpenTask { releases, needs } in &upload.tasks {
            let _infallible = write!(words, ";{},{}", releases.join(" "), needs.join(" "));
        }
    }
    // Bounded above.
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Announced { jobs: narrow(jobs), tasks: narrow(tasks), ranges_sha256: sha256_hex(words.as_bytes()), runs })
}

/// Whether it is an upload as a client of version 1 opens it.
fn is_plain(upload: &OpenUpload) -> bool {
    upload.format == 1 && upload.tasks.iter().all(|task| task.releases.len() == 1)
}

/// Checks what is to be done with the files.
fn check_tasks(upload: &OpenUpload) -> Result<(), ErrorBody> {
    let tasks = &upload.tasks;
    match (upload.format, tasks.len()) {
        (_, 0) => return Err(bad_request("tasks is empty: an upload has at least one task")),
        (_, many) if many > MAX_TASKS => return Err(beyond("tasks in one upload", MAX_TASKS)),
        (1, 1) | (2, _) => {}
        (1, many) => return Err(bad_request(format!("a header of format 1 has one task, not {many}"))),
        (format, _) => return Err(bad_request(format!("format is {format}, it has to be 1 or 2"))),
    }
    for (place, OpenTask { releases, needs }) in tasks.iter().enumerate() {
        if releases.is_empty() {
            return Err(bad_request(format!("tasks[{place}] names no release")));
        }
        if releases.len() > MAX_TASK_RELEASES {
            return Err(beyond("releases in one task", MAX_TASK_RELEASES));
        }
        if let Some(release) = releases.iter().find(|release| !is_hex(release, 64)) {
            return Err(bad_request(format!("release `{}` is not 64 lower-case hex characters", shown(release))));
        }
        if let Some((at, release)) = releases.iter().enumerate().find(|&(at, one)| releases[..at].contains(one)) {
            return Err(bad_request(format!("tasks[{place}] names release `{release}` twice, again at {at}")));
        }
        if let Some(name) = needs.iter().find(|name| *name != LONG_PARAMETERS) {
            return Err(ErrorBody {
                hint: Some(format!("what a release needs says its publisher; an upload may need `{LONG_PARAMETERS}`")),
                ..bad_request(format!("tasks[{place}] needs `{}`, which no upload may", shown(name)))
            });
        }
    }
    Ok(())
}

/// The most runs that an upload of so many jobs and chunks can be cut into: those of each chunk's own jobs, and one for each job
/// that spans several.
pub(super) fn most_runs(jobs: i64, tasks: i64, chunks: i64) -> i64 {
    jobs.min(jobs / i64::from(MAX_SPAN_JOBS) + chunks.saturating_mul(2).saturating_mul(tasks))
}

/// Checks chunks that want a URL.
pub(super) fn check_wanted(want: &[ChunkWant], chunks: u32) -> Result<(), ErrorBody> {
    if want.len() > MAX_WANTED_CHUNKS {
        return Err(too_many("wanted chunks", MAX_WANTED_CHUNKS));
    }
    want.iter().try_for_each(|chunk| check_chunk(chunk, chunks))
}

/// Checks one chunk of an upload that has so many.
pub(super) fn check_chunk(chunk: &ChunkWant, chunks: u32) -> Result<(), ErrorBody> {
    let most = filemill_api::limits::MAX_CHUNK_BYTES;
    if chunk.sequence >= chunks {
        return Err(bad_request(format!("chunk {} is beyond the {chunks} that were announced", chunk.sequence)));
    }
    if chunk.length == 0 || chunk.length > most {
        return Err(bad_request(format!(
            "chunk {} is {} bytes long, it has to be 1 to {most}",
            chunk.sequence, chunk.length
        )));
    }
    if !is_hex(&chunk.sha256, 64) {
        return Err(bad_request(format!(
            "sha256 `{}` of chunk {} is not 64 lower-case hex characters",
            shown(&chunk.sha256),
            chunk.sequence
        )));
    }
    Ok(())
}

/// Cuts ranges into runs of at most 64 jobs.
///
/// Files lie end to end, so each begins in the chunk in which the one before it ends or in the next one, and several
/// files can share all their chunks only if that is one chunk.
///
/// # Errors
/// `bad_request`: no layout is like that, or it makes more than [`MAX_UPLOAD_SPANS`].
pub(super) fn cut(ranges: &[FileRange], chunks: u32) -> Result<Vec<Piece>, ErrorBody> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(ranges.len().min(MAX_UPLOAD_SPANS));
    let mut next = 0_u32;
    let mut end = None::<u32>;
    for (place, range) in ranges.iter().enumerate() {
        let wrong = |why: &str| Err(bad_request(format!("files[{place}] (first_index {}) {why}", range.first_index)));
        if range.count == 0 {
            return wrong("is empty");
        }
        if range.first_index != next {
            return wrong(&format!("leaves a gap or overlaps: the next file is {next}"));
        }
        next = match next.checked_add(range.count) {
            Some(next) if next <= MAX_FILES => next,
            _ => return wrong(&format!("goes beyond {MAX_FILES} files")),
        };
        if range.first_chunk > range.last_chunk || range.last_chunk >= chunks {
            return wrong(&format!("spans the chunks {} to {} of {chunks}", range.first_chunk, range.last_chunk));
        }
        if range.count > 1 && range.first_chunk != range.last_chunk {
            return wrong("holds several files that all span the same chunks, which no layout does");
        }
        let follows = match end {
            None => range.first_chunk == 0,
            Some(end) => range.first_chunk == end || range.first_chunk == end + 1,
        };
        if !follows {
            return wrong("does not begin where the file before it ends");
        }
        end = Some(range.last_chunk);
        push(&mut pieces, range);
        if pieces.len() > MAX_UPLOAD_SPANS {
            return wrong(&format!(
                "makes more than {MAX_UPLOAD_SPANS} runs of up to {MAX_SPAN_JOBS} files in one chunk: make several uploads"
            ));
        }
    }
    match end {
        None => Err(bad_request("files is empty: an upload has at least one file")),
        Some(end) if end + 1 != chunks => {
            Err(bad_request(format!("files end in chunk {end}, but {chunks} chunks are announced")))
        }
        Some(_) => Ok(pieces),
    }
}

/// Adds a range, joined to the piece before it where both lie in one and the same chunk.
fn push(pieces: &mut Vec<Piece>, range: &FileRange) {
    let mut lo = range.first_index;
    let hi = range.first_index + range.count;
    if let Some(last) = pieces.last_mut()
        && range.first_chunk == range.last_chunk
        && (last.first_chunk, last.last_chunk) == (range.first_chunk, range.last_chunk)
    {
        let joined = hi.min(last.lo + MAX_SPAN_JOBS);
        lo = joined.max(lo);
        last.hi = lo;
    }
    while lo < hi {
        let end = hi.min(lo + MAX_SPAN_JOBS);
        pieces.push(Piece { lo, hi: end, first_chunk: range.first_chunk, last_chunk: range.last_chunk });
        lo = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first_index: u32, count: u32, first_chunk: u32, last_chunk: u32) -> FileRange {
        FileRange { first_index, count, first_chunk, last_chunk }
    }

    fn ends(pieces: &[Piece]) -> Vec<(u32, u32)> {
        pieces.iter().map(|piece| (piece.lo, piece.hi)).collect()
    }

    #[test]
    fn ranges_are_cut_at_64_and_joined_within_a_chunk() {
        let pieces = cut(&[range(0, 100, 0, 0), range(100, 40, 0, 0), range(140, 1, 0, 2), range(141, 2, 2, 2)], 3);
        assert_eq!(ends(&pieces.unwrap_or_default()), [(0, 64), (64, 128), (128, 140), (140, 141), (141, 143)]);
    }

    #[test]
    fn however_ranges_are_grouped_the_runs_are_the_same() {
        let one = cut(&[range(0, 150, 0, 0)], 1).unwrap_or_default();
        let singles: Vec<_> = (0..150).map(|index| range(index, 1, 0, 0)).collect();
        assert_eq!(cut(&singles, 1).unwrap_or_default(), one);
        assert_eq!(ends(&one), [(0, 64), (64, 128), (128, 150)]);
    }

    #[test]
    fn no_upload_is_more_runs_than_one_transaction_takes() {
        let own_chunks = |files: u32| (0..files).map(|n| range(n, 1, n, n)).collect::<Vec<_>>();
        let most = u32::try_from(MAX_UPLOAD_SPANS).expect("a small number");
        assert_eq!(cut(&own_chunks(most), most).map(|pieces| pieces.len()), Ok(MAX_UPLOAD_SPANS));
        assert!(cut(&own_chunks(most + 1), most + 1).is_err());
        assert_eq!(cut(&[range(0, MAX_FILES, 0, 0)], 1).map(|pieces| pieces.len()), Ok(1024));
    }

    #[test]
    fn an_upload_is_cut_into_no_more_runs_than_its_files_and_chunks_say() {
        let layouts: [(&[FileRange], u32); 5] = [
            (&[range(0, 1, 0, 99)], 100),
            (&[range(0, 65, 0, 0)], 1),
            (&[range(0, 1, 0, 1), range(1, 1, 1, 2), range(2, 1, 2, 3)], 4),
            (&[range(0, 65, 0, 0), range(65, 1, 0, 1), range(66, 65, 1, 1), range(131, 1, 1, 2)], 3),
            (&[range(0, 1, 0, 0), range(1, 1, 0, 1), range(2, 1, 1, 1), range(3, 1, 1, 2)], 3),
        ];
        for (ranges, chunks) in layouts {
            let pieces = cut(ranges, chunks).unwrap_or_default();
            let files = pieces.last().map_or(0, |piece| piece.hi);
            assert!((1..=most_runs(files.into(), 1, chunks.into())).contains(&(pieces.len() as i64)), "{pieces:?}");
        }
    }

    #[test]
    fn announcements_that_no_layout_makes_are_refused() {
        let cases: [(&[FileRange], u32); 11] = [
            (&[], 1),
            (&[range(0, 0, 0, 0)], 1),
            (&[range(1, 1, 0, 0)], 1),
            (&[range(0, 2, 0, 0), range(1, 1, 0, 0)], 1),
            (&[range(0, 2, 0, 1)], 2),
            (&[range(0, 1, 1, 0)], 2),
            (&[range(0, 1, 0, 1)], 1),
            (&[range(0, 1, 0, 0), range(1, 1, 2, 2)], 3),
            (&[range(0, 1, 0, 1), range(1, 1, 0, 1)], 2),
            (&[range(0, 1, 0, 0)], 2),
            (&[range(0, u32::MAX, 0, 0)], 1),
        ];
        for (ranges, chunks) in cases {
            assert!(cut(ranges, chunks).is_err(), "{ranges:?}");
        }
    }
}
