//! Choosing what to send: not what was sent before, unless that is asked for.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use filemill_seal::{Digest, Outcome, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conclude::Conclusion;
use super::{Request, Shared};
use crate::error::Error;
use crate::journal::{FileState, Known};
use crate::notice::Notice;
use crate::source::{Found, now_s, open_regular};
use crate::walk::Met;

/// An upload that has less time left is not waited for; its files are sent again.
const TIME_LEFT_MIN_S: u64 = 3600;
/// Bytes that are read at once to compare a file.
const COMPARE_BYTES: usize = 256 << 10;

/// Takes in what a walk met, and hands on the files that are to be sent.
pub(super) async fn select(
    shared: Arc<Shared>,
    mut met: mpsc::Receiver<Vec<Met>>,
    selected: mpsc::Sender<Vec<Found>>,
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let work = async {
        let mut selector = Selector { shared, selected, requests, attached: HashSet::new() };
        while let Some(met) = met.recv().await {
            selector.take(met).await?;
        }
        selector.shared.progress.all_found();
        Ok(())
    };
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Selector {
    shared: Arc<Shared>,
    selected: mpsc::Sender<Vec<Found>>,
    requests: mpsc::Sender<Request>,
    /// Uploads that the run was asked to go on with.
    attached: HashSet<filemill_seal::UploadId>,
}

/// What to do with a file that was sent before.
enum Former {
    /// Its result is there.
    Done,
    /// Its result will come.
    UnderWay,
    /// It has to be sent again, in place of the former.
    Replace,
    /// It is of no use.
    Useless,
}

impl Selector {
    async fn take(&mut self, met: Vec<Met>) -> Result<(), Error> {
        let mut files = Vec::with_capacity(met.len());
        for met in met {
            match met {
                Met::File(found) => {
                    self.shared.expect_file(found.stat.size);
                    files.push(found);
                }
                Met::Skipped { path, reason } => {
                    let path = self.shared.named(&path);
                    self.shared.notices.send(Notice::Skipped { path, reason }).await.map_err(|_| Error::Stopped)?;
                }
                Met::Unreadable { path, reason } => {
                    self.shared.expect_file(0);
                    self.shared.conclude(Conclusion::not_sent(path, 0, "unreadable", reason)).await?;
                }
                Met::Ignored { .. } => {}
            }
        }
        let shared = Arc::clone(&self.shared);
        let journal = &shared.inbox.journal;
        if shared.again || !journal.knows_release(&shared.account, &shared.release).await? {
            return self.hand_on(files).await;
        }
        let by_path = journal.known_by_path(&shared.account, &shared.release, &files).await?;
        let sizes: HashSet<u64> = files.iter().map(|file| file.stat.size).collect();
        let sizes = journal.known_sizes(&shared.account, &shared.release, &sizes).await?;
        let mut new = Vec::new();
        for mut file in files {
            if let Some(known) = by_path.get(&file.path)
                && self.same_path(&mut file, known).await?
            {
                continue;
            }
            if sizes.contains(&file.stat.size) && self.same_content(&file).await? {
                continue;
            }
            new.push(file);
        }
        self.hand_on(new).await
    }

    async fn hand_on(&self, files: Vec<Found>) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        self.selected.send(files).await.map_err(|_| Error::Stopped)
    }

    /// Whether `file` is the one that was sent from the same path, and needs not be sent again.
    async fn same_path(&mut self, file: &mut Found, known: &Known) -> Result<bool, Error> {
        let former = former(known);
        if matches!(former, Former::Useless) {
            return Ok(false);
        }
        if matches!(former, Former::Replace) {
            file.replaces = Some((known.upload, known.index));
            return Ok(false);
        }
        let unchanged = known.file.stat == file.stat
            && (known.file.stat.is_settled_at(known.file.seen_ns) || self.has_content(file, known.sha256).await?);
        // A file that changed while its former content is under way: that is found out by whoever reads it.
        if !unchanged {
            return Ok(false);
        }
        match former {
            Former::Done => self.shared.conclude_known(file, (known.upload, known.index), known.sha256).await,
            _ => self.attach(file, known).await,
        }
    }

    /// Whether the same content was sent before, from wherever.
    async fn same_content(&mut self, file: &Found) -> Result<bool, Error> {
        let Some(sha256) = hash(file).await? else {
            return Ok(false);
        };
        let shared = Arc::clone(&self.shared);
        let known =
            shared.inbox.journal.known_by_content(&shared.account, &shared.release, file.stat.size, &sha256).await?;
        let done = known.iter().find(|known| matches!(former(known), Former::Done));
        let Some(known) = done.or_else(|| known.iter().find(|known| matches!(former(known), Former::UnderWay))) else {
            return Ok(false);
        };
        if matches!(former(known), Former::Done) {
            if !shared.conclude_known(file, (known.upload, known.index), Some(sha256)).await? {
                return Ok(false);
            }
            shared.inbox.journal.reuse(vec![(file.clone(), known.clone())]).await?;
            return Ok(true);
        }
        shared.inbox.journal.reuse(vec![(file.clone(), known.clone())]).await?;
        let known = Known { reused: true, file: file.clone(), ..known.clone() };
        self.attach(file, &known).await
    }

    /// Waits for the result of what is under way.
    async fn attach(&mut self, file: &Found, known: &Known) -> Result<bool, Error> {
        let (upload, index) = (known.upload, known.index);
        // First of all: the result may arrive at any moment.
        if known.reused {
            self.shared.awaited.expect_for(upload, index, known.file.path.clone());
        } else if !self.shared.awaited.expect(upload, index) {
            // Named twice by the user: one line is enough.
            self.shared.progress.done(true);
            self.shared.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
            return Ok(true);
        }
        if self.attached.insert(upload) {
            self.requests.send(Request::Resume(upload)).await.map_err(|_| Error::Stopped)?;
        }
        if self.shared.inbox.journal.result(upload, index).await?.is_some() {
            let waiters = self.shared.awaited.arrived(upload, index);
            if waiters.itself || !waiters.others.is_empty() {
                for path in waiters.others.iter().filter(|path| **path != file.path) {
                    let other = Found { path: path.clone(), ..file.clone() };
                    self.shared.conclude_known(&other, (upload, index), known.sha256).await?;
                }
                self.shared.conclude_known(file, (upload, index), known.sha256).await?;
            }
        }
        Ok(true)
    }

    async fn has_content(&self, file: &Found, sha256: Option<Digest>) -> Result<bool, Error> {
        // Not read in full yet: whoever goes on with the upload compares what was sent.
        let Some(sha256) = sha256 else { return Ok(true) };
        Ok(hash(file).await? == Some(sha256))
    }
}

/// What a file that was sent before is good for.
fn former(known: &Known) -> Former {
    match known.state {
        FileState::Done if known.refused => Former::Useless,
        FileState::Done => {
            // Others may end differently the next time: limits, the processor, somebody's wish.
            let lasting = [Outcome::Succeeded, Outcome::Rejected, Outcome::Failed];
            let outcome = known.outcome.as_deref().and_then(|code| Outcome::from_code(code).ok());
            if outcome.is_some_and(|outcome| lasting.contains(&outcome)) { Former::Done } else { Former::Useless }
        }
        FileState::Open if known.void || known.abandoned => Former::Replace,
        FileState::Open if known.not_after < now_s().saturating_add(TIME_LEFT_MIN_S) => Former::Replace,
        FileState::Open => Former::UnderWay,
        FileState::Replaced | FileState::Failed => Former::Useless,
    }
}

/// The file's SHA-256; `None` if it is not what it was, or cannot be read: then whoever sends it finds out.
async fn hash(file: &Found) -> Result<Option<Digest>, Error> {
    let file = file.clone();
    tokio::task::spawn_blocking(move || {
        let (mut open, stat) = open_regular(&file.path).ok()?;
        if stat != file.stat {
            return None;
        }
        let mut hash = Sha256::new();
        let mut buffer = vec![0; COMPARE_BYTES.min(usize::try_from(stat.size).unwrap_or(COMPARE_BYTES).max(1))];
        let mut read = 0;
        loop {
            match open.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    hash.update(&buffer[..length]);
                    read += length as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        (read == stat.size).then(|| hash.finish())
    })
    .await
    .map_err(|_| Error::Stopped)
}
