//! What an application is told while a command runs.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem::Discriminant;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use filemill_seal::{Artifact, Digest, LogLine, Outcome, PoolError, Resources, ResultBody, UploadId};

use crate::error::Error;
use crate::reported::Report;

/// One thing that a person may want to see. They come over a bounded channel: an application that does not read them
/// holds the work up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A file is done: the last that is said of it.
    Finished(Box<Finished>),
    /// Something in a folder is no file that could be analysed.
    Skipped {
        /// What.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file changed under the reader and is sent again.
    SentAgain {
        /// Which.
        path: PathBuf,
        /// What happened to it.
        reason: String,
    },
    /// A file waits for something that is not there yet: in a watched folder for an engine, elsewhere for an engine's description.
    Waiting {
        /// Which.
        path: PathBuf,
        /// What for.
        reason: String,
    },
    /// Something does not work; the program keeps trying.
    Trouble {
        /// What, and with whom.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// What did not work works again.
    Recovered {
        /// What, and with whom.
        message: String,
    },
    /// Something that is good to know.
    Remark {
        /// What.
        message: String,
    },
}

/// What became of one file.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Where it is, as the user named it or its folder.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// SHA-256 of what was sent, if it was read in full.
    pub sha256: Option<Digest>,
    /// Name of the engine.
    pub engine: String,
    /// What was set of the engine's parameters, by name.
    pub parameters: Vec<String>,
    /// The upload and the index in it, if it got that far.
    pub place: Option<(UploadId, u32)>,
    /// Whether the result is that of the same content, sent before.
    pub reused: bool,
    /// Whether its writer went on since it was sent before: the result of what it was counts no more.
    pub supersedes: bool,
    /// What came of it.
    pub ending: Ending,
}

/// What came of one file.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The engine made a report.
    Succeeded {
        /// The report.
        report: Report,
        /// What the engine logged.
        log: Vec<LogLine>,
        /// What the run took.
        resources: Resources,
    },
    /// A processor says that there is no report, and why.
    Unsuccessful {
        /// How it ended.
        outcome: Outcome,
        /// A short word for the kind of failure.
        kind: String,
        /// A sentence for people.
        message: String,
        /// What the engine logged.
        log: Vec<LogLine>,
        /// What the run took.
        resources: Resources,
    },
    /// The server ended it; no processor vouches for that.
    EndedByServer {
        /// How it ended.
        outcome: Outcome,
        /// A sentence for people.
        message: String,
    },
    /// What the server handed out as the result is not to be believed, and so is not shown.
    NotShown {
        /// Why not.
        reason: String,
    },
    /// It could not be sent.
    NotSent {
        /// A short word for the kind of failure: `unreadable`, `vanished`, `changing`, `server`, …
        kind: String,
        /// A sentence for people.
        message: String,
    },
}

impl Ending {
    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let logged = |log: &[LogLine]| log.iter().map(|line| line.level.len() + line.message.len() + 48).sum::<usize>();
        match self {
            Self::Succeeded { report, log, .. } => report.bytes() + logged(log),
            Self::Unsuccessful { message, log, .. } => message.len() + logged(log),
            Self::EndedByServer { message, .. } | Self::NotSent { message, .. } => message.len(),
            Self::NotShown { reason } => reason.len(),
        }
    }

    /// What a result says that stood up to its checks, and the artifacts in it.
    pub(crate) fn of(body: ResultBody) -> (Self, Vec<Artifact>) {
        if let Some(report) = body.report {
            let (report, artifacts) = Report::split(report);
            return (Self::Succeeded { report, log: body.log, resources: body.resources }, artifacts);
        }
        let (kind, message) = body.failure.map_or_else(Default::default, |failure| (failure.kind, failure.message));
        let message = if message.is_empty() { body.outcome.to_string() } else { message };
        let ending =
            Self::Unsuccessful { outcome: body.outcome, kind, message, log: body.log, resources: body.resources };
        (ending, Vec::new())
    }

    /// What the run took, if a processor ran it.
    pub fn resources(&self) -> Option<&Resources> {
        match self {
            Self::Succeeded { resources, .. } | Self::Unsuccessful { resources, .. } => Some(resources),
            Self::EndedByServer { .. } | Self::NotShown { .. } | Self::NotSent { .. } => None,
        }
    }

    /// Whether its engine, by the word of a processor, does not read such a file or found it malformed: that is an answer, too.
    pub fn is_rejected(&self) -> bool {
        matches!(self, Self::Unsuccessful { outcome: Outcome::Rejected, .. })
    }

    /// Whether there is a report.
    pub fn succeeded(&self) -> bool {
        matches!(self, Self::Succeeded { .. })
    }

    /// What went wrong, for people; `None` if nothing did.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Succeeded { .. } => None,
            Self::Unsuccessful { message, .. }
            | Self::EndedByServer { message, .. }
            | Self::NotSent { message, .. } => Some(message),
            Self::NotShown { reason } => Some(reason),
        }
    }

    /// The outcome's code, if a processor or the server said one.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Succeeded { .. } => Some(Outcome::Succeeded),
            Self::Unsuccessful { outcome, .. } | Self::EndedByServer { outcome, .. } => Some(*outcome),
            Self::NotShown { .. } | Self::NotSent { .. } => None,
        }
    }
}

/// How far the work is. Numbers only grow, except where something is done again, or turns out to be nothing that is to be done.
#[derive(Debug, Default)]
pub struct Progress {
    found_files: AtomicU64,
    found_bytes: AtomicU64,
    done_files: AtomicU64,
    done_bytes: AtomicU64,
    needless_bytes: AtomicU64,
    reused_files: AtomicU64,
    rejected_files: AtomicU64,
    failed_files: AtomicU64,
    read_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// Plaintext bytes of the chunks that are stored.
    stored_bytes: AtomicU64,
    all_found: AtomicU64,
    /// Of files that are done, by the hashes of their paths.
    ends: Mutex<Ends>,
    hash: RandomState,
}

/// What became of a file the last time.
#[derive(Clone, Copy, Debug)]
struct End {
    has_failed: bool,
    is_rejected: bool,
    is_reused: bool,
}

/// Why nothing can be sent, said once for each kind of reason, whose text may hold the time.
#[derive(Debug, Default)]
pub(crate) struct WhyNothing(Option<(Discriminant<Error>, Option<Discriminant<PoolError>>)>);

impl WhyNothing {
    /// What to say of it now, if it was not said before.
    pub(crate) fn notice(&mut self, error: &Error) -> Option<Notice> {
        let of_the_pool = match error {
            Error::Pool(of_the_pool) => Some(std::mem::discriminant(of_the_pool)),
            _ => None,
        };
        let kind = (std::mem::discriminant(error), of_the_pool);
        (self.0.replace(kind) != Some(kind)).then(|| Notice::Trouble {
            message: format!("nothing can be sent now: {error}; what is to be sent waits"),
            hint: error.hint(),
        })
    }
}

/// How the files that were done last have ended, [`ENDS_MAX`] or up to twice as many: a watcher may go on for months.
#[derive(Debug, Default)]
struct Ends {
    young: HashMap<u64, End>,
    old: HashMap<u64, End>,
}

/// What is kept in mind of how files ended takes some 4 MiB with it.
const ENDS_MAX: usize = 1 << 16;

impl Ends {
    /// Notes how a file has ended, and answers how it had before, if that is kept in mind.
    fn replace(&mut self, path: u64, now: End) -> Option<End> {
        let former = self.young.insert(path, now).or_else(|| self.old.remove(&path));
        if self.young.len() >= ENDS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        former
    }
}

/// [`Progress`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressNow {
    /// Files found so far.
    pub found_files: u64,
    /// Their bytes.
    pub found_bytes: u64,
    /// Files that are done, successfully or not.
    pub done_files: u64,
    /// Files among them that their engine rejected: [`Ending::is_rejected`].
    pub rejected_files: u64,
    /// Files among them that were not analysed: neither succeeded nor rejected.
    pub failed_files: u64,
    /// Files among them whose content had its result before.
    pub reused_files: u64,
    /// Bytes read from files.
    pub read_bytes: u64,
    /// Bytes that went over the network to storage.
    pub sent_bytes: u64,
    /// Bytes of files that storage has, before compression.
    pub stored_bytes: u64,
    /// Bytes of files that are done and were not to be stored: their content had its result before, or they could not be sent.
    pub needless_bytes: u64,
    /// Whether no more files will be found.
    pub all_found: bool,
}

impl Progress {
    /// The numbers of this moment.
    pub fn now(&self) -> ProgressNow {
        ProgressNow {
            found_files: self.found_files.load(Ordering::Relaxed),
            found_bytes: self.found_bytes.load(Ordering::Relaxed),
            done_files: self.done_files.load(Ordering::Relaxed),
            rejected_files: self.rejected_files.load(Ordering::Relaxed),
            failed_files: self.failed_files.load(Ordering::Relaxed),
            reused_files: self.reused_files.load(Ordering::Relaxed),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            stored_bytes: self.stored_bytes.load(Ordering::Relaxed),
            needless_bytes: self.needless_bytes.load(Ordering::Relaxed),
            all_found: self.all_found.load(Ordering::Relaxed) != 0,
        }
    }

    pub(crate) fn found(&self, bytes: u64) {
        self.found_files.fetch_add(1, Ordering::Relaxed);
        self.found_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn all_found(&self) {
        self.all_found.store(1, Ordering::Relaxed);
    }

    /// Takes back a file that was found: it was counted twice, or is left out.
    pub(crate) fn forget(&self, bytes: u64) {
        less(&self.found_files, 1);
        less(&self.found_bytes, bytes);
    }

    /// Takes back all files that are not done: they are found again.
    pub(crate) fn forget_open(&self) {
        self.found_files.store(self.done_files.load(Ordering::Relaxed), Ordering::Relaxed);
        self.found_bytes.store(self.done_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// A file is done. One that was done before, and has changed or was mended since, is one file, and counts as it ended now.
    pub(crate) fn done(&self, file: &Finished) {
        let is_rejected = file.ending.is_rejected();
        let has_failed = !file.ending.succeeded() && !is_rejected;
        let now = End { has_failed, is_rejected, is_reused: file.reused };
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        self.done_bytes.fetch_add(file.size, Ordering::Relaxed);
        if file.reused || matches!(file.ending, Ending::NotSent { .. }) {
            self.needless_bytes.fetch_add(file.size, Ordering::Relaxed);
        }
        if let Some(former) = ends.replace(self.hash.hash_one(&file.path), now) {
            less(&self.found_files, 1);
            less(&self.rejected_files, former.is_rejected.into());
            less(&self.failed_files, former.has_failed.into());
            less(&self.reused_files, former.is_reused.into());
        } else {
            self.done_files.fetch_add(1, Ordering::Relaxed);
        }
        self.rejected_files.fetch_add(now.is_rejected.into(), Ordering::Relaxed);
        self.failed_files.fetch_add(now.has_failed.into(), Ordering::Relaxed);
        self.reused_files.fetch_add(now.is_reused.into(), Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, bytes: u64) {
        self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn less(number: &AtomicU64, by: u64) {
    // What was counted with another size than it has now must not make it endless.
    let _ = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| Some(number.saturating_sub(by)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_done_again_is_one_file_and_counts_as_it_ended_the_last_time() {
        let progress = Progress::default();
        let end = |path: &str, ending: Ending, reused: bool| {
            progress.found(2);
            progress.done(&Finished {
                path: PathBuf::from(path),
                size: 2,
                sha256: None,
                engine: String::new(),
                parameters: Vec::new(),
                place: None,
                reused,
                supersedes: false,
                ending,
            });
            let now = progress.now();
            (now.found_files, now.done_files, now.failed_files, now.rejected_files, now.reused_files)
        };
        let succeeded = || {
            let report = Report {
                json: filemill_seal::JsonObject::from_text("{}".to_owned()).unwrap(),
                summary: String::new(),
                findings: Vec::new(),
                artifacts: Vec::new(),
                description: None,
            };
            Ending::Succeeded { report, log: Vec::new(), resources: Resources::default() }
        };
        let unreadable = || Ending::NotSent { kind: "unreadable".to_owned(), message: String::new() };
        let ended = |outcome| Ending::Unsuccessful {
            outcome,
            kind: String::new(),
            message: String::new(),
            log: Vec::new(),
            resources: Resources::default(),
        };
        assert_eq!(end("mended", unreadable(), false), (1, 1, 1, 0, 0));
        assert_eq!(end("changed", succeeded(), true), (2, 2, 1, 0, 1));
        assert_eq!(end("mended", succeeded(), false), (2, 2, 0, 0, 1));
        assert_eq!(end("changed", succeeded(), false), (2, 2, 0, 0, 0));
        assert_eq!(end("changed", unreadable(), false), (2, 2, 1, 0, 0));
        assert_eq!(end("changed", ended(Outcome::Rejected), false), (2, 2, 0, 1, 0));
        assert_eq!(end("changed", ended(Outcome::Trapped), false), (2, 2, 1, 0, 0));
        let unvouched = Ending::EndedByServer { outcome: Outcome::Rejected, message: String::new() };
        assert_eq!(end("mended", unvouched, false), (2, 2, 2, 0, 0), "a server's word alone is no answer of an engine");
    }

    #[test]
    fn what_is_kept_in_mind_of_files_that_are_done_is_bounded() {
        let mut ends = Ends::default();
        let end = End { has_failed: true, is_rejected: false, is_reused: false };
        for path in 0..5 * ENDS_MAX as u64 {
            assert!(ends.replace(path, end).is_none());
            assert!(ends.young.len() + ends.old.len() < 2 * ENDS_MAX);
        }
        let [last, one_of_the_last] = [1, ENDS_MAX as u64].map(|back| 5 * ENDS_MAX as u64 - back);
        assert!(ends.replace(last, end).is_some() && ends.replace(one_of_the_last, end).is_some());
        assert!(ends.replace(0, end).is_none(), "it is long ago");
    }

    #[test]
    fn why_nothing_can_be_sent_is_said_once_though_its_text_changes_with_the_time() {
        let mut why = WhyNothing::default();
        let clock = |ahead_s| Error::Clock { server: String::new(), ahead_s, detail: String::new() };
        assert!(
            matches!(why.notice(&clock(700_000)), Some(Notice::Trouble { message, .. }) if message.contains("nothing can be sent now"))
        );
        assert!(why.notice(&clock(700_001)).is_none());
        assert!(why.notice(&Error::NoEngineFits).is_some());
        assert!(why.notice(&clock(700_002)).is_some());
    }
}
