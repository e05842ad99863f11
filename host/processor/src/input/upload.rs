//! An upload that some of this node's leases belong to, as its opened header describes it.

use bytes::Bytes;
use filemill_api::LeasedSpan;
use filemill_runtime::{COMPONENT, Parameters};
use filemill_seal::{ChunkOpener, Digest, FileSpan, Header, Layout, UploadId, Verdict};

use super::chunks::Chunk;
use crate::budget::Held;

/// An upload, as its opened header describes it.
pub(crate) struct Upload {
    pub(crate) header: Header,
    pub(crate) header_digest: Digest,
    pub(crate) layout: Layout,
    pub(crate) opener: ChunkOpener,
    /// Of each task.
    pub(super) parameters: Vec<Parameters>,
    /// What it takes in memory.
    pub(super) bytes: usize,
    /// Given back when nobody uses it any more.
    pub(super) _held: Held,
}

/// One job of an upload: a file and a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UploadJob {
    /// What names it to the server.
    pub(crate) number: u32,
    /// The task's position in the header.
    pub(crate) task: u32,
    /// The file's index in the header.
    pub(crate) index: u32,
    /// Where the file lies.
    pub(crate) file: FileSpan,
}

/// What a leased span comes to, found to be what the header allows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) release: Digest,
    /// All of one task.
    pub(crate) jobs: Vec<UploadJob>,
}

impl Upload {
    pub(crate) fn id(&self) -> UploadId {
        self.header.upload
    }

    /// The number of the job of a task and a file that the header has.
    pub(crate) fn number(&self, task: u32, index: u32) -> u32 {
        // No upload has more jobs than fit.
        task.saturating_mul(self.layout.file_count()).saturating_add(index)
    }

    /// The job of that number; `None` if the header has none such.
    pub(crate) fn job(&self, number: u32) -> Option<UploadJob> {
        // No upload is without a file.
        let files = self.layout.file_count();
        let (task, index) = (number / files, number % files);
        self.header.task(task)?;
        Some(UploadJob { number, task, index, file: self.layout.span(index)? })
    }

    /// What a leased span comes to.
    ///
    /// # Errors
    ///
    /// A text, where the server contradicts the header: it names jobs that there are not, jobs of several tasks, a release that the task does
    /// not name, or other chunks than those in which the files lie.
    pub(crate) fn allowed(&self, span: &LeasedSpan) -> Result<Allowed, String> {
        let job = |number: &u32| {
            let (files, tasks) = (self.layout.file_count(), self.header.tasks.len());
            self.job(*number).ok_or_else(|| {
                format!("the server names job {number}, and the header has {files} files for each of its {tasks} tasks")
            })
        };
        let jobs = span.jobs.iter().map(job).collect::<Result<Vec<_>, String>>()?;
        let (Some(first), Some(last)) = (jobs.first(), jobs.last()) else {
            return Err("the server leases a span without jobs".to_owned());
        };
        if first.task != last.task {
            let (first, last) = (first.task, last.task);
            return Err(format!("the server leases jobs of task {first} and of task {last} as one span"));
        }
        let release = span.release.parse::<Digest>().map_err(|error| format!("the release: {error}"))?;
        if !self.header.task(first.task).is_some_and(|task| task.allows(&release)) {
            let task = first.task;
            return Err(format!("the header does not name release `{release}` for task {task}"));
        }
        if (first.file.first_chunk, last.file.last_chunk) != (span.first_chunk, span.last_chunk) {
            let (first, last) = (span.first_chunk, span.last_chunk);
            return Err(format!(
                "the server says that the files lie in chunks {first} to {last}, which the header contradicts"
            ));
        }
        Ok(Allowed { release, jobs })
    }

    /// The engine parameters of a job's task.
    pub(crate) fn parameters(&self, job: &UploadJob) -> Parameters {
        self.parameters.get(job.task as usize).cloned().unwrap_or_default()
    }

    /// Whether the uploader accepts how engines of this kind are kept apart. That components are is no question.
    pub(crate) fn accepts(&self, kind: &str) -> bool {
        kind == COMPONENT || self.header.isolation.contains(kind)
    }

    /// What the uploader says of file `index` in `chunk`, the one with that sequence number; `None` if the file does not end there.
    pub(crate) fn verdict(&self, chunk: &Chunk, index: u32, sequence: u32) -> Option<Verdict> {
        let position = index.checked_sub(self.layout.ends_in(sequence).start)?;
        chunk.verdicts().get(position as usize).copied()
    }

    /// The part of a file in `chunk`, the one with that sequence number, without a copy.
    pub(crate) fn piece(&self, chunk: &Chunk, span: &FileSpan, sequence: u32) -> Bytes {
        let data = chunk.data();
        let start = self.layout.chunk_offset(sequence).unwrap_or(0);
        // Both lie within the chunk, so that they fit.
        let within = |offset: u64| offset.saturating_sub(start).min(data.len() as u64) as usize;
        data.slice(within(span.offset)..within(span.offset + span.length))
    }

    /// The file's name as an engine is told it: what is not UTF-8 is replaced.
    pub(crate) fn name(&self, index: u32) -> String {
        self.header
            .files
            .get(index as usize)
            .map_or_else(String::new, |file| String::from_utf8_lossy(&file.name).into_owned())
    }
}

#[cfg(test)]
impl Upload {
    /// An upload whose header nobody sealed.
    pub(crate) async fn unsealed(header: Header) -> Self {
        let (layout, header_digest) = (header.layout().expect("a layout"), Digest::of(b"the sealed header"));
        let opener = ChunkOpener::new(&header.key, header.upload, header_digest);
        let parameters = header.tasks.iter().map(|_| Parameters::default()).collect();
        let held = crate::budget::Budget::new(1 << 10).take(1, || false).await;
        Self { header, header_digest, layout, opener, parameters, bytes: 0, _held: held }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("id", &self.id()).finish_non_exhaustive()
    }
}
