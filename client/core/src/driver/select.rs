//! Choosing what to send: not what was sent before, unless that is asked for.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;

use filemill_seal::{Digest, Outcome, Sha256, UploadId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conclude::Conclusion;
use super::left_out::LeftOutCounts;
use super::shared::{Request, Shared};
use crate::ending::{Ending, NotSent};
use crate::error::Error;
use crate::event::{Event, Note};
use crate::inbox::Reopened;
use crate::journal::{Asked, FileState, Known};
use crate::look_into::look_into;
use crate::reason::AgainReason;
use crate::rules::{LeftOut, is_rule_file};
use crate::source::Found;
use crate::stat::FileStat;
use crate::walk::Met;
use crate::wall_clock::now_s;

/// An upload that has less time left is not waited for; its files are sent again.
const TIME_LEFT_MIN_S: u64 = 3600;
/// Bytes that are read at once to compare a file.
const COMPARE_BYTES: usize = 256 << 10;

/// A file that is to be sent.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) file: Found,
    /// For this release it was not sent before; `None` if no engine could be chosen for it, so that nobody knows.
    pub(super) looked_up: Option<Digest>,
}

/// What is handed on.
#[derive(Debug)]
pub(super) enum Handed {
    Files(Vec<Selected>),
    /// Nothing more is met: only what is given back still comes.
    AllMet,
}

/// Where files come from, and where they go.
pub(super) struct Ways {
    pub(super) met: mpsc::Receiver<Vec<Met>>,
    /// Files that were handed on, and for which another engine was chosen since; or one at all.
    pub(super) given_back: mpsc::Receiver<Vec<Found>>,
    pub(super) selected: mpsc::Sender<Handed>,
    pub(super) requests: mpsc::Sender<Request>,
}

/// Takes in what a walk met, and hands on the files that are to be sent, until `stop`: what waited for its engine is given back
/// long after the last was met.
pub(super) async fn select(shared: Arc<Shared>, ways: Ways, stop: CancellationToken) -> Result<(), Error> {
    let Ways { mut met, mut given_back, selected, requests } = ways;
    let work = async {
        let mut selector = Selector {
            shared,
            selected,
            requests,
            attached: HashSet::new(),
            left_out: LeftOutCounts::default(),
            rules_told: false,
        };
        let mut all_met = false;
        loop {
            tokio::select! {
                met = met.recv(), if !all_met => match met {
                    Some(met) => {
                        let files = selector.files_of(met).await?;
                        selector.take(files).await?;
                    }
                    None => {
                        all_met = true;
                        selector.all_met().await?;
                    }
                },
                files = given_back.recv() => match files {
                    Some(files) => selector.take(files).await?,
                    None => return Ok(()),
                },
            }
        }
    };
    tokio::select! {
        result = work => result,
        () = stop.cancelled() => Ok(()),
    }
}

struct Selector {
    shared: Arc<Shared>,
    selected: mpsc::Sender<Handed>,
    requests: mpsc::Sender<Request>,
    /// Uploads that the activity was asked to go on with.
    attached: HashSet<UploadId>,
    left_out: LeftOutCounts,
    /// It was said that rule files do not count.
    rules_told: bool,
}

/// What a file that was sent before is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Former {
    /// Its result is there.
    Done,
    /// Its result will come.
    UnderWay,
    /// It has to be sent again, in place of the former.
    Replace,
    /// Nothing.
    Useless,
}

/// Files of a batch, as they were judged.
#[derive(Default)]
struct Judged {
    /// To be sent.
    new: Vec<Found>,
    /// Sent before, from the same path or another.
    known: Vec<(Found, Known)>,
    /// Of these, the ones whose path is not in the journal.
    copies: Vec<(Found, Known)>,
    /// Their content was found to be that of the row, their stat was not.
    touched: Vec<(i64, Found)>,
    /// Versions of watched files that were written to since, whose results are still to come.
    outgrown: Vec<Known>,
}

impl Judged {
    /// `file` is another than it was; if its writer went on, nobody waits for the result of that any more.
    fn outgrow(&mut self, file: &Found, known: Option<&Known>) {
        self.outgrown.extend(known.filter(|known| file.former.is_some() && former(known) == Former::UnderWay).cloned());
    }
}

impl Selector {
    async fn take(&mut self, files: Vec<Found>) -> Result<(), Error> {
        if self.shared.again || files.is_empty() {
            return self.hand_on(files, None).await;
        }
        // By release: what another one said of a file is no answer.
        let engines = self.shared.engines();
        let mut files = files;
        look_into(&engines, &mut files).await?;
        let mut groups: HashMap<Option<Digest>, Vec<Found>> = HashMap::new();
        for file in files {
            // As whoever sends it finds the release: else it would be given back for ever.
            let chosen = engines.for_file(&file).ok().and_then(|release| engines.named(&release.engine));
            let release = chosen.map(|release| release.release);
            groups.entry(release).or_default().push(file);
        }
        for (release, files) in groups {
            match release {
                Some(release) => self.take_for(&release, files).await?,
                None => self.hand_on(files, None).await?,
            }
        }
        Ok(())
    }

    /// Takes files in that are to be sent for `release`.
    async fn take_for(&mut self, release: &Digest, files: Vec<Found>) -> Result<(), Error> {
        let journal = &self.shared.inbox.journal;
        if !journal.knows_release(&self.shared.account, release).await? {
            return self.hand_on(files, Some(*release)).await;
        }
        let judged = self.judge(release, files).await?;
        self.outgrow(judged.outgrown).await?;
        if !judged.copies.is_empty() {
            journal.reuse(judged.copies).await?;
        }
        if !judged.touched.is_empty() {
            journal.same_again(judged.touched).await?;
        }
        self.answer(release, judged.known).await?;
        self.hand_on(judged.new, Some(*release)).await
    }

    /// Counts the files, and says what is not a file.
    async fn files_of(&mut self, met: Vec<Met>) -> Result<Vec<Found>, Error> {
        let mut files = Vec::with_capacity(met.len());
        for met in met {
            self.tell_of_rules(&met).await;
            match met {
                Met::File(found) => {
                    self.shared.expect_file(found.stat.size);
                    files.push(Found { watched: self.shared.is_watching(), ..found });
                }
                Met::Skipped { path, reason } => {
                    let path = self.shared.named(&path);
                    self.shared.events.tell(Event::Skipped { path, reason }).await;
                }
                Met::Unreadable { path, reason } => {
                    self.shared.expect_file(0);
                    // Nobody knows what would have been sent, and to which engine: it may be a folder, or nothing.
                    let engine = Some(String::new());
                    let conclusion =
                        Conclusion { engine, ..Conclusion::not_sent(path, 0, NotSent::Unreadable, reason) };
                    self.shared.conclude(conclusion).await?;
                }
                Met::Ignored { why, is_folder, .. } => self.left_out.count(&why, is_folder),
                Met::Unruled { why, .. } => self.left_out.count(&why, false),
            }
        }
        Ok(files)
    }

    /// Says once that a folder which is sent has rules: whoever wrote them may count on them, and they are a watcher's.
    async fn tell_of_rules(&mut self, met: &Met) {
        let path = match met {
            Met::File(found) => &found.path,
            Met::Ignored { path, why: LeftOut::Rules, .. } => path,
            _ => return,
        };
        let is_named = || self.shared.roots.iter().any(|root| root.path == *path);
        if self.rules_told || self.shared.is_watching() || !is_rule_file(path) || is_named() {
            return;
        }
        self.rules_told = true;
        self.shared.events.tell(Event::Note(Note::RulesNotFollowed { path: self.shared.named(path) })).await;
    }

    async fn hand_on(&self, files: Vec<Found>, looked_up: Option<Digest>) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let files = files.into_iter().map(|file| Selected { file, looked_up }).collect();
        self.selected.send(Handed::Files(files)).await.map_err(|_| Error::Stopped)
    }

    async fn all_met(&self) -> Result<(), Error> {
        self.shared.progress.all_found();
        for note in self.left_out.notes() {
            self.shared.events.tell(Event::Note(note)).await;
        }
        let named = &self.shared.roots;
        if !self.shared.is_watching() && !named.is_empty() && self.shared.progress.now().found_files == 0 {
            let named = named.iter().map(|root| root.given.clone()).collect();
            self.shared.events.tell(Event::Note(self.left_out.nothing_found(named))).await;
        }
        self.selected.send(Handed::AllMet).await.map_err(|_| Error::Stopped)
    }

    /// Finds out which of the files were sent before: by path where the file's stat proves that it is the same, else by
    /// content.
    async fn judge(&self, release: &Digest, files: Vec<Found>) -> Result<Judged, Error> {
        let journal = &self.shared.inbox.journal;
        let account = &self.shared.account;
        let asked = Asked { release, parameters: &self.shared.parameters };
        let mut by_path = journal.known_by_path(account, asked, &files).await?;
        let sizes = journal.known_sizes(&files.iter().map(|file| file.stat.size).collect()).await?;
        let mut judged = Judged::default();
        let mut compare = Vec::new();
        for file in files {
            let latest = by_path.remove(&file.path);
            let is_watching = self.shared.is_watching();
            let outgrown = latest.as_ref().filter(|known| is_watching && went_on(&known.file.stat, &file.stat));
            let file = Found { former: outgrown.map(|known| (known.upload, known.index)), ..file };
            let known = latest.filter(|known| former(known) != Former::Useless);
            match &known {
                Some(known) if is_same(&file, known) => judged.known.push((file, known.clone())),
                _ if sizes.contains(&file.stat.size) => compare.push((file, known)),
                _ => {
                    judged.outgrow(&file, known.as_ref());
                    judged.new.push(in_place_of(file, known.as_ref()));
                }
            }
        }
        let (compare, hashes) = hash_all(compare).await?;
        let contents = hashes.iter().flatten().copied().collect();
        let by_content = journal.known_by_content(account, asked, &contents).await?;
        for ((file, known), sha256) in compare.into_iter().zip(hashes) {
            let same_path = known.as_ref().filter(|known| sha256.is_some() && known.sha256 == sha256);
            if let Some(known) = same_path.filter(|known| is_of_use(known)) {
                let file = Found { former: None, ..file };
                judged.touched.push((known.row, file.clone()));
                judged.known.push((file, known.clone()));
                continue;
            }
            judged.outgrow(&file, known.as_ref());
            let others = sha256.and_then(|sha256| by_content.get(&sha256)).map(Vec::as_slice).unwrap_or_default();
            let done = others.iter().find(|known| former(known) == Former::Done);
            match done.or_else(|| others.iter().find(|known| former(known) == Former::UnderWay)) {
                Some(known) => {
                    judged.copies.push((file.clone(), known.clone()));
                    // From now on it is a copy: its own path waits.
                    let known = Known { reused: true, file: file.clone(), ..known.clone() };
                    judged.known.push((file, known));
                }
                None => judged.new.push(in_place_of(file, known.as_ref())),
            }
        }
        Ok(judged)
    }

    /// Nobody waits for the results of these any more: those of what became of them come instead.
    async fn outgrow(&self, outgrown: Vec<Known>) -> Result<(), Error> {
        for known in outgrown {
            let path = known.file.path;
            if self.shared.awaited.claim(known.upload, known.index, &path, known.reused) {
                let event = Event::SentAgain { path: self.shared.named(&path), reason: AgainReason::WriterWentOn };
                self.shared.events.tell(event).await;
                if known.reused {
                    self.shared.progress.copy_waits_no_more(known.file.stat.size);
                }
                self.shared.forget_file(known.file.stat.size);
            }
        }
        Ok(())
    }

    /// Says the last of files whose result is there, and waits for the others.
    async fn answer(&mut self, release: &Digest, known: Vec<(Found, Known)>) -> Result<(), Error> {
        let (done, under_way): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|(_, known)| former(known) == Former::Done);
        self.conclude(release, done).await?;
        if !self.shared.is_watching() {
            let watched: Vec<i64> =
                under_way.iter().filter(|(_, known)| known.file.watched).map(|(_, known)| known.row).collect();
            if !watched.is_empty() {
                self.shared.inbox.journal.named_by_hand(watched).await?;
            }
        }
        for (file, known) in &under_way {
            // First of all: the result may arrive at any moment.
            let waits = if known.reused {
                self.shared.awaited.expect_for(known.upload, known.index, known.file.path.clone())
            } else {
                self.shared.awaited.expect(known.upload, known.index)
            };
            if !waits {
                // Named twice by the user: one last word is enough.
                self.shared.forget_file(file.stat.size);
            } else if known.reused {
                self.shared.progress.copy_waits(known.file.stat.size);
            } else if known.stored {
                // Of what is still to be stored, the transfer says how much there is already.
                self.shared.progress.stored(file.stat.size);
            }
            if self.attached.insert(known.upload) {
                self.requests.send(Request::Resume(known.upload)).await.map_err(|_| Error::Stopped)?;
            }
        }
        // It may have arrived before.
        let asked: Vec<_> = under_way.iter().map(|(_, known)| (known.upload, known.index)).collect();
        let mut by_place: HashMap<(UploadId, u32), Vec<(Found, Known)>> = HashMap::new();
        for (file, known) in under_way {
            by_place.entry((known.upload, known.index)).or_default().push((file, known));
        }
        let mut done = Vec::new();
        for place in self.shared.inbox.journal.with_result(&asked).await? {
            // Only these: whoever follows the events says the last of others that wait for the same result.
            for (file, known) in by_place.remove(&place).unwrap_or_default() {
                if self.shared.awaited.claim(place.0, place.1, &file.path, known.reused) {
                    if known.reused {
                        self.shared.progress.copy_waits_no_more(known.file.stat.size);
                    }
                    done.push((file, known));
                }
            }
        }
        self.conclude(release, done).await
    }

    async fn conclude(&self, release: &Digest, done: Vec<(Found, Known)>) -> Result<(), Error> {
        if done.is_empty() {
            return Ok(());
        }
        let mut by_place: HashMap<(UploadId, u32), Vec<(Found, Known)>> = HashMap::new();
        let mut asked = Vec::new();
        for (file, known) in done {
            let files = by_place.entry((known.upload, known.index)).or_default();
            if files.is_empty() {
                asked.push((known.upload, known.index));
            }
            files.push((file, known));
        }
        for portion in self.shared.inbox.portions(&asked).await? {
            let files = portion.iter().filter_map(|place| by_place.remove(place)).flatten().collect();
            self.conclude_portion(release, &portion, files).await?;
        }
        Ok(())
    }

    async fn conclude_portion(
        &self,
        release: &Digest,
        places: &[(UploadId, u32)],
        done: Vec<(Found, Known)>,
    ) -> Result<(), Error> {
        let opened = self.shared.inbox.reopen(places).await?;
        for (file, known) in done {
            match opened.get(&(known.upload, known.index)) {
                // It could be opened when it came, and cannot any more: this home has another key than it was sealed for.
                Some(Reopened { ending: Ending::NotShown { reason }, .. }) if former(&known) == Former::Done => {
                    let path = self.shared.named(&file.path);
                    let event =
                        Event::SentAgain { path, reason: AgainReason::ResultNotShown { detail: reason.clone() } };
                    self.shared.events.tell(event).await;
                    self.hand_on(vec![file], Some(*release)).await?;
                }
                Some(opened) => self.shared.conclude_known(&file, &known, opened.clone()).await?,
                // The journal lost it: as if it had never been sent.
                None => self.hand_on(vec![file], Some(*release)).await?,
            }
        }
        Ok(())
    }
}

/// Whether `file` is for certain the one that was sent from the same path, and needs not be sent again.
fn is_same(file: &Found, known: &Known) -> bool {
    let unchanged = known.file.stat == file.stat;
    // Not read in full yet: whoever goes on with the upload compares it with what was sent.
    let proven = known.sha256.is_none() || known.file.stat.is_settled_at(known.file.seen_ns);
    unchanged && proven && is_of_use(known)
}

/// Whether it is the file that was sent from the same path, and its writer went on since: one that is filled in parts may be as long as
/// it was, or shorter. Where files have no number that tells them apart, it may be any other.
fn went_on(former: &FileStat, now: &FileStat) -> bool {
    let is_same = now.inode != 0 && former.device == now.device && former.inode == now.inode;
    is_same && (former.size, former.modified_ns) != (now.size, now.modified_ns)
}

fn is_of_use(known: &Known) -> bool {
    matches!(former(known), Former::Done | Former::UnderWay)
}

/// The file, which takes the place of a former that is still open.
fn in_place_of(file: Found, known: Option<&Known>) -> Found {
    let replaced = known.filter(|known| former(known) == Former::Replace);
    Found { replaces: replaced.map(|known| (known.upload, known.index)), ..file }
}

fn former(known: &Known) -> Former {
    match known.state {
        FileState::Done if known.refused => Former::Useless,
        FileState::Done => {
            // Others may end differently the next time: limits, the processor, somebody's wish.
            let outcome = known.outcome.as_deref().and_then(|code| Outcome::from_code(code).ok());
            if outcome.is_some_and(Outcome::is_lasting) { Former::Done } else { Former::Useless }
        }
        FileState::Open if known.void || known.abandoned => Former::Replace,
        FileState::Open if known.not_after < now_s().saturating_add(TIME_LEFT_MIN_S) => Former::Replace,
        FileState::Open => Former::UnderWay,
        FileState::Replaced | FileState::Failed => Former::Useless,
    }
}

type Candidate = (Found, Option<Known>);

/// The SHA-256 of each file; `None` for one that is not what it was, or cannot be read: then whoever sends it finds out.
async fn hash_all(files: Vec<Candidate>) -> Result<(Vec<Candidate>, Vec<Option<Digest>>), Error> {
    if files.is_empty() {
        return Ok((files, Vec::new()));
    }
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; COMPARE_BYTES];
        let hashes = files.iter().map(|(file, _)| hash(file, &mut buffer)).collect();
        (files, hashes)
    })
    .await
    .map_err(|_| Error::Stopped)
}

fn hash(file: &Found, buffer: &mut [u8]) -> Option<Digest> {
    let (mut open, stat) = file.open().ok()?;
    if stat != file.stat {
        return None;
    }
    let mut hash = Sha256::new();
    let mut read = 0;
    loop {
        match open.read(buffer) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_writer_of_the_same_file_went_on() {
        let stat = |inode, size, modified_ns| FileStat { size, modified_ns, changed_ns: 0, inode, device: 1 };
        for (size, modified_ns) in [(2, 1), (1, 2), (0, 2)] {
            assert!(went_on(&stat(7, 1, 1), &stat(7, size, modified_ns)));
        }
        assert!(!went_on(&stat(7, 1, 1), &stat(8, 2, 2)) && !went_on(&stat(7, 1, 1), &stat(7, 1, 1)));
        assert!(!went_on(&stat(0, 1, 1), &stat(0, 2, 2)), "on Windows every file has this number");
    }
}
