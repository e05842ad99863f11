//! Saying the last of a file, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use filemill_seal::{Artifact, Digest, UploadId};

use super::shared::Shared;
use super::unkept::ToKeep;
use crate::awaited::Waiters;
use crate::ending::{Ending, Finished, NotSent};
use crate::error::Error;
use crate::event::Event;
use crate::inbox::{Arrival, Reopened};
use crate::journal::{FilePlace, Known};
use crate::source::Found;
use crate::walk::as_given;

/// A result from so many bytes on is a long one: it is told once everything before it was read.
const LONG_BYTES: usize = 16 << 10;

/// A file of which the last is to be said.
pub(super) struct Conclusion {
    pub(super) path: PathBuf,
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    pub(super) sha256: Option<Digest>,
    pub(super) place: Option<(UploadId, u32)>,
    pub(super) reused: bool,
    /// It is the newest result of a file that has grown.
    pub(super) supersedes: bool,
    pub(super) sealed: Option<Vec<u8>>,
    /// What lies in it beside the report.
    pub(super) artifacts: Arc<[Artifact]>,
    /// Of its upload; the one that it would have gone to if it got into none.
    pub(super) engine: Option<String>,
    /// What was set of its parameters.
    pub(super) parameters: Vec<String>,
    pub(super) ending: Ending,
}

impl Conclusion {
    /// A file that was not sent.
    pub(super) fn not_sent(path: PathBuf, size: u64, code: NotSent, message: String) -> Self {
        Self {
            path,
            name: Vec::new(),
            size,
            sha256: None,
            place: None,
            reused: false,
            supersedes: false,
            sealed: None,
            artifacts: Arc::default(),
            engine: None,
            parameters: Vec::new(),
            ending: Ending::NotSent { code, message, error: None },
        }
    }

    pub(super) fn of_found(found: &Found, code: NotSent, message: String) -> Self {
        Self::not_sent(found.path.clone(), found.stat.size, code, message)
    }

    /// The same because of an error that concerns more than this file.
    pub(super) fn because_of(found: &Found, code: NotSent, error: &Error) -> Self {
        let ending = Ending::NotSent { code, message: error.to_string(), error: Some(Box::new(error.clone())) };
        Self { ending, ..Self::of_found(found, code, String::new()) }
    }

    /// A file whose result is `opened`.
    pub(super) fn of_place(place: &FilePlace, opened: Reopened) -> Self {
        let sha256 = match place.verdict {
            Some(filemill_seal::Verdict::Intact(sha256)) => Some(sha256),
            _ => None,
        };
        Self {
            path: place.path.clone(),
            name: place.name.clone(),
            size: place.size,
            sha256,
            place: Some((place.upload, place.index)),
            reused: place.reused,
            supersedes: place.former.is_some(),
            sealed: opened.sealed,
            artifacts: opened.artifacts,
            engine: Some(place.engine.clone()),
            parameters: place.parameters.clone(),
            ending: opened.ending,
        }
    }
}

impl Shared {
    /// Counts a file of which something will be said.
    pub(super) fn expect_file(&self, bytes: u64) {
        self.progress.found(bytes);
        self.pending.send_modify(|pending| *pending += 1);
    }

    /// Takes a file back, of so many bytes when it was counted: it was counted twice, or nothing will be said of it.
    pub(super) fn forget_file(&self, bytes: u64) {
        self.progress.forget(bytes);
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    /// Waits no longer for a file that is not finished.
    pub(super) fn leave_open(&self) {
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    /// Says the last of a file.
    ///
    /// # Errors
    ///
    /// Errors of the journal. That its sealed result cannot be kept now is told.
    pub(super) async fn conclude(&self, mut conclusion: Conclusion) -> Result<(), Error> {
        if let (Some(export), Some(sealed)) = (&self.export, conclusion.sealed.take()) {
            let result = ToKeep {
                name: std::mem::take(&mut conclusion.name),
                place: conclusion.place,
                path: conclusion.supersedes.then(|| conclusion.path.clone()),
            };
            let paths = self.keep(export, result, sealed, Arc::clone(&conclusion.artifacts)).await?;
            if let Ending::Succeeded { report, .. } = &mut conclusion.ending {
                for (artifact, path) in report.artifacts.iter_mut().zip(paths) {
                    artifact.path = Some(path);
                }
            }
        }
        let finished = Finished {
            path: as_given(&self.roots, &conclusion.path),
            size: conclusion.size,
            sha256: conclusion.sha256,
            engine: conclusion.engine.unwrap_or_else(|| self.engine_for(&conclusion.path)),
            parameters: conclusion.parameters,
            place: conclusion.place,
            reused: conclusion.reused,
            supersedes: conclusion.supersedes,
            ending: conclusion.ending,
        };
        let path = conclusion.path;
        let room = self.events.room(finished.ending.bytes() > LONG_BYTES).await;
        // Whoever is told of the last file sees that it is the last.
        self.progress.done(&finished);
        if let Some(room) = room {
            room.tell(Event::Finished(Box::new(finished)));
        }
        self.taken.said(&path);
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
        Ok(())
    }

    /// Says the last of the files whose result arrived, if this activity waits for them.
    pub(super) async fn arrived(&self, arrival: Arrival) -> Result<(), Error> {
        // Whoever sends or watches waits for the first task of each file. Results of others are in the journal.
        if arrival.task != 0 {
            return Ok(());
        }
        // Such a file is sent again in another upload: whatever is said of this one is not its last word.
        let is_void = |place: &FilePlace| place.verdict.is_some_and(|verdict| !verdict.is_intact());
        if arrival.places.iter().any(|place| !place.reused && (place.abandoned || is_void(place))) {
            return Ok(());
        }
        let Waiters { itself, mut others } = self.awaited.arrived(arrival.upload, arrival.index);
        let Arrival { sealed, artifacts, ending, .. } = &arrival;
        let opened = || Reopened { sealed: sealed.clone(), artifacts: Arc::clone(artifacts), ending: ending.clone() };
        let said = |place: &FilePlace| Conclusion::of_place(place, opened());
        for place in &arrival.places {
            let was_copied = place.reused && others.remove(&place.path);
            if was_copied {
                self.progress.copy_waits_no_more(place.size);
            }
            if was_copied || !place.reused && itself {
                self.conclude(said(place)).await?;
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        // Found to have the same content after the places were looked up.
        for place in self.inbox.journal.places(&[(arrival.upload, arrival.index)]).await? {
            if place.reused && others.remove(&place.path) {
                self.progress.copy_waits_no_more(place.size);
                self.conclude(said(&place)).await?;
            }
        }
        Ok(())
    }

    /// Says the last of a file whose content had its result before.
    pub(super) async fn conclude_known(&self, found: &Found, known: &Known, opened: Reopened) -> Result<(), Error> {
        self.conclude(Conclusion {
            path: found.path.clone(),
            name: found.name.clone(),
            size: found.stat.size,
            sha256: known.sha256,
            place: Some((known.upload, known.index)),
            reused: true,
            supersedes: found.former.is_some(),
            sealed: opened.sealed,
            artifacts: opened.artifacts,
            // It was looked for among those of the same release, with the same parameters.
            engine: Some(self.engines().for_file(found).map(|release| release.engine.clone()).unwrap_or_default()),
            parameters: self.parameters.names().to_vec(),
            ending: opened.ending,
        })
        .await
    }

    /// Name of the engine that a file of this name goes to; empty if there is none.
    fn engine_for(&self, path: &Path) -> String {
        self.engines().for_name(path).map(|release| release.engine.clone()).unwrap_or_default()
    }

    /// What the user calls `path`.
    pub(super) fn named(&self, path: &Path) -> PathBuf {
        as_given(&self.roots, path)
    }
}
