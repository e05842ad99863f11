//! Every file that has no result yet, and why.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use filemill_api::{JobStates, WaitReason};
use filemill_seal::UploadId;
use tokio::sync::mpsc;

use crate::api::Patience;
use crate::client::Client;
use crate::content::look_into;
use crate::engines::{Engines, Wanted};
use crate::error::Error;
use crate::journal::{Waiting, Watched, is_running};
use crate::rules::{LeftOut, Rules, is_rule_file};
use crate::source::Found;
use crate::tree::LINK;
use crate::walk::{Met, Root, Walk, walk_into};

/// Files that are read from the journal at once.
const PER_PAGE: u32 = 512;

/// A file without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingFile {
    /// Absolute.
    pub path: PathBuf,
    /// In bytes; unknown for a folder that is left out.
    pub size: Option<u64>,
    /// The upload and the index in it, if it got that far.
    pub place: Option<(UploadId, u32)>,
    /// What was set of the engine's parameters, by name, if it got that far.
    pub parameters: Vec<String>,
    /// Why it has none.
    pub reason: Reason,
}

/// Why a file has no result yet. `Display` says it for people, [`code`](Self::code) for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is new or changing in a watched folder.
    Settling,
    /// No engine can be chosen for it, for this reason.
    NoEngine(String),
    /// It is not known yet which engine suits it best, for this reason.
    NoDescriptions(String),
    /// A rule leaves it out: this one.
    Ignored(String),
    /// Nobody knows whether a rule leaves it out, for this reason: it waits.
    RulesUnread(String),
    /// It is a link, which is not followed.
    Link,
    /// The program that sent it has ended.
    Interrupted,
    /// It changed while it was read, and is sent again.
    SentAgain,
    /// The server does not answer, for this reason.
    Offline(String),
    /// Nothing may be sealed for the pool now, for this reason.
    NoRecipient(String),
    /// Its chunks are still to come.
    Uploading,
    /// Chunks are sent again.
    ChunksMissing,
    /// The organisation's plan allows no more now.
    OverQuota,
    /// No processor can run the release.
    NoProcessor,
    /// Others come first.
    Turn,
    /// A processor has it.
    Running {
        /// How far, from 0 to 1000, as the engine says.
        per_mille: u32,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// There is a result, which was not fetched yet.
    Arriving,
    /// There is a result, which could not be fetched, for this reason. It is asked for again.
    StillToFetch(String),
    /// The server does not know the upload any more.
    Forgotten,
    /// It was given up, for this reason.
    Failed(String),
    /// It is in a watched folder and no file that could be analysed, for this reason.
    Skipped(String),
    /// It is in a watched folder and cannot be read, for this reason.
    Unreadable(String),
    /// The server gives a reason that this program does not know.
    Unknown,
}

impl Reason {
    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::NoEngine(_) => "no_engine",
            Self::NoDescriptions(_) => "no_descriptions",
            Self::Ignored(_) | Self::Link => "ignored",
            Self::RulesUnread(_) => "rules_unread",
            Self::Interrupted => "interrupted",
            Self::SentAgain => "sent_again",
            Self::Offline(_) => "offline",
            Self::NoRecipient(_) => "no_recipient",
            Self::Uploading => "uploading",
            Self::ChunksMissing => "chunks_missing",
            Self::OverQuota => "over_quota",
            Self::NoProcessor => "no_processor",
            Self::Turn => "turn",
            Self::Running { .. } => "running",
            Self::Arriving => "arriving",
            Self::StillToFetch(_) => "still_to_fetch",
            Self::Forgotten => "forgotten",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::Unreadable(_) => "unreadable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settling => f.write_str("settling: it is new, or still changing"),
            Self::NoEngine(why) => write!(f, "waiting for an engine: {why}"),
            Self::NoDescriptions(why) => write!(f, "waiting for engine descriptions: {why}"),
            Self::Ignored(why) => write!(f, "ignored: {why}"),
            Self::RulesUnread(why) => write!(f, "waiting: {why}"),
            Self::Link => f.write_str(LINK),
            Self::Interrupted => f.write_str("interrupted: `filemill resume` goes on with it"),
            Self::SentAgain => f.write_str("changed while it was read: it is sent again"),
            Self::Offline(why) => write!(f, "offline: {why}"),
            Self::NoRecipient(why) => write!(f, "waiting for the pool: {why}"),
            Self::Uploading => f.write_str("uploading"),
            Self::ChunksMissing => f.write_str("uploading again: chunks were lost"),
            Self::OverQuota => f.write_str("over quota: the organisation's plan allows no more now"),
            Self::NoProcessor => f.write_str("no processor can run this release"),
            Self::Turn => f.write_str("waiting for a turn"),
            Self::Running { per_mille, attempt } => {
                write!(f, "running: {} %", per_mille / 10)?;
                if *attempt > 1 { write!(f, ", attempt {attempt}") } else { Ok(()) }
            }
            Self::Arriving => f.write_str("done: `filemill results` fetches the result"),
            Self::StillToFetch(why) => write!(f, "result still to fetch: {why}"),
            Self::Forgotten => f.write_str("the server does not know the upload: `filemill resume` sends it again"),
            Self::Failed(why) => {
                write!(f, "failed because {why}; `filemill send` tries it again, `filemill cancel` forgets it")
            }
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Unreadable(why) => write!(f, "unreadable: {why}"),
            Self::Unknown => f.write_str("for a reason that this version does not know"),
        }
    }
}

/// A folder that a running program watches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchedFolder {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// How it is looked through.
    pub look: LookThrough,
}

/// How a watched folder is looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookThrough {
    /// Nobody has looked through all of it yet.
    Unknown,
    /// Rarely, in small steps: the system tells of what changes.
    Rarely,
    /// Often, because the system may not tell of everything.
    Often {
        /// What it may not tell of, and why.
        why: String,
        /// About so often; more rarely the longer it takes.
        every: Duration,
    },
}

impl fmt::Display for LookThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("is being looked through for the first time"),
            Self::Rarely => f.write_str("is watched by the system's events, and looked through rarely"),
            Self::Often { why, every } => {
                write!(f, "is looked through about every {} seconds: {why}", every.as_secs())
            }
        }
    }
}

impl Client {
    /// The folders that running programs of this home watch, and how.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn watched_folders(&self) -> Result<Vec<WatchedFolder>, Error> {
        let watched = self.journal.watched_folders(&self.home).await?;
        let mut folders: Vec<WatchedFolder> = watched
            .into_iter()
            .map(|(path, watch)| {
                let look = match watch.look {
                    None => LookThrough::Unknown,
                    Some(why) if why.is_empty() => LookThrough::Rarely,
                    Some(why) => LookThrough::Often { why, every: Duration::from_secs(watch.look_every_s) },
                };
                WatchedFolder { path, look }
            })
            .collect();
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(folders)
    }

    /// Hands every file that has no result to `tell`, with the reason: those that were taken in first, oldest first; then
    /// those in watched folders that were not.
    ///
    /// # Errors
    ///
    /// Errors of the journal. A server that does not answer is a reason, not an error; one that refuses the token is.
    pub async fn status(&self, mut tell: impl FnMut(WaitingFile)) -> Result<(), Error> {
        let offline = match self.api.uploads(None).await {
            Ok(_) => None,
            Err(error @ (Error::Unreachable { .. } | Error::Refused { .. })) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        let mut states = States { client: self, offline, last: None, running: HashMap::new() };
        let mut after = 0;
        loop {
            let page = self.journal.waiting_files(&self.config.account(), after, PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.place.row;
            let asked: Vec<_> = page.iter().map(|file| (file.place.upload, file.place.index)).collect();
            let unfetched = self.journal.unfetched_of(&asked).await?.into_iter();
            let unfetched: HashMap<_, _> =
                unfetched.map(|one| ((one.upload, one.index), Reason::StillToFetch(one.reason))).collect();
            for file in page {
                let reason = match unfetched.get(&(file.place.upload, file.place.index)) {
                    Some(reason) => reason.clone(),
                    None => states.reason(&file).await?,
                };
                tell(WaitingFile {
                    path: file.place.path,
                    size: Some(file.place.size),
                    place: Some((file.place.upload, file.place.index)),
                    parameters: file.place.parameters,
                    reason,
                });
            }
        }
        after = 0;
        loop {
            let page = self.journal.failed_files(&self.config.account(), after, PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            for file in page {
                let reason = Reason::Failed(file.message.unwrap_or_default());
                let place = Some((file.upload, file.index));
                let (path, size, parameters) = (file.path, Some(file.size), file.parameters);
                tell(WaitingFile { path, size, place, parameters, reason });
            }
        }
        let offline = states.offline.take();
        self.watched(offline, &mut tell).await
    }

    /// Why the results of what is stored wait, as the server says it of the oldest upload of this program; `None` if it says
    /// nothing.
    pub async fn why_waiting(&self) -> Option<Reason> {
        let unfinished = self.journal.unfinished_uploads(&self.config.account(), self.session.id()).await.ok()?;
        let states = self.api.upload(*unfinished.first()?).await.ok()?;
        states.waiting.first().map(|range| reason_of(&range.reason))
    }

    /// Whether [`resume`](Self::resume) would have something to go on with if this program ended now.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn has_begun(&self) -> Result<bool, Error> {
        let session = self.session.id();
        Ok(!self.journal.unfinished_uploads(&self.config.account(), session).await?.is_empty()
            || !self.journal.files_to_send_again(session, 0, 1).await?.is_empty())
    }

    async fn watched(&self, offline: Option<String>, tell: &mut impl FnMut(WaitingFile)) -> Result<(), Error> {
        // What keeps everything from being sent. Asked for when there is a file that it matters for.
        let mut blocked: Option<Option<Reason>> = offline.map(|why| Some(Reason::Offline(why)));
        let outs = self.journal.out_folders(None).await?;
        for (folder, Watched { ignore, engine, temporary, .. }) in self.journal.watched_folders(&self.home).await? {
            let wanted = Wanted::parse(engine.as_deref());
            // Asked for when there is a file that it matters for; without the server nobody can tell.
            let is_offline = matches!(blocked, Some(Some(Reason::Offline(_))));
            let mut engines: Option<Option<Engines>> = is_offline.then_some(None);
            let (met, mut walked) = mpsc::channel(4);
            let (home, outs) = (self.home.clone(), Arc::clone(&outs));
            let walking = tokio::task::spawn_blocking(move || {
                let root = Root::resolved(folder).without(home.path(), &outs);
                // Whoever watches the folder checked them.
                let Ok(mut rules) = Rules::new(&root.path, &ignore) else { return };
                if !temporary {
                    rules = rules.without_temporary();
                }
                if walk_into(Walk::new(&root).into_unruled(), &root, &rules, &met).is_break() {
                    return;
                }
                // Each file of which they cannot be followed is named by itself, if it has no result.
                let unread: Vec<Met> =
                    rules.unread().into_iter().map(|(path, reason)| Met::Skipped { path, reason }).collect();
                let _ = met.blocking_send(unread);
            });
            while let Some(batch) = walked.recv().await {
                let (mut files, mut unruled) = (Vec::new(), HashMap::new());
                for met in batch {
                    let (path, reason) = match met {
                        // Said of the rule files themselves, after everything else.
                        Met::Ignored { path, why: LeftOut::Unknown { .. } } if is_rule_file(&path) => continue,
                        Met::Unruled { found, why: LeftOut::Unknown { file, .. } } if file == found.path => continue,
                        Met::File(found) => {
                            files.push(found);
                            continue;
                        }
                        Met::Unruled { found, why } => {
                            unruled.insert(found.path.clone(), why);
                            files.push(found);
                            continue;
                        }
                        Met::Ignored { path, why: why @ LeftOut::Unknown { .. } } => {
                            (path, Reason::RulesUnread(why.to_string()))
                        }
                        Met::Ignored { path, why } => (path, Reason::Ignored(why.to_string())),
                        Met::Skipped { path, reason } if reason == LINK => (path, Reason::Link),
                        Met::Skipped { path, reason } => (path, Reason::Skipped(reason)),
                        Met::Unreadable { path, reason } => (path, Reason::Unreadable(reason)),
                    };
                    tell(WaitingFile { path, size: None, place: None, parameters: Vec::new(), reason });
                }
                let taken = self.journal.taken(&files).await?;
                for found in files.into_iter().filter(|found| !taken.contains(&found.path)) {
                    if let Some(why) = unruled.remove(&found.path) {
                        let (path, size, reason) =
                            (found.path, Some(found.stat.size), Reason::RulesUnread(why.to_string()));
                        tell(WaitingFile { path, size, place: None, parameters: Vec::new(), reason });
                        continue;
                    }
                    if engines.is_none() {
                        engines = Some(self.recipes.engines(&wanted, Patience::Brief).await.ok());
                    }
                    if blocked.is_none() {
                        let problem = self.recipes.recipient_problem().await;
                        blocked = Some(problem.map(|error| Reason::NoRecipient(error.with_hint())));
                    }
                    let (found, chosen) = match engines.iter().flatten().next() {
                        Some(engines) => chosen(engines, found).await?,
                        None => (found, None),
                    };
                    let reason = match chosen {
                        Some(error @ Error::Undescribed { .. }) => Reason::NoDescriptions(error.with_hint()),
                        Some(error) => Reason::NoEngine(error.with_hint()),
                        None => blocked.clone().flatten().unwrap_or(Reason::Settling),
                    };
                    let (path, size) = (found.path, Some(found.stat.size));
                    tell(WaitingFile { path, size, place: None, parameters: Vec::new(), reason });
                }
            }
            walking.await.map_err(|_| Error::Stopped)?;
        }
        Ok(())
    }
}

/// Why no engine can be chosen for the file, if none can; and the file, which may have been looked into for that.
async fn chosen(engines: &Engines, mut found: Found) -> Result<(Found, Option<Error>), Error> {
    look_into(engines, std::slice::from_mut(&mut found)).await?;
    let error = engines.for_file(&found).err();
    Ok((found, error))
}

/// What is known of uploads while their files are gone through.
struct States<'a> {
    client: &'a Client,
    offline: Option<String>,
    /// Files of one upload come one after the other.
    last: Option<(UploadId, Option<JobStates>)>,
    running: HashMap<String, bool>,
}

impl States<'_> {
    async fn reason(&mut self, file: &Waiting) -> Result<Reason, Error> {
        let home = &self.client.home;
        let running = *self.running.entry(file.session.clone()).or_insert_with(|| is_running(home, &file.session));
        if file.place.abandoned || file.place.verdict.is_some_and(|verdict| !verdict.is_intact()) {
            return Ok(if running { Reason::SentAgain } else { Reason::Interrupted });
        }
        if file.uploading && !running {
            return Ok(Reason::Interrupted);
        }
        if let Some(why) = &self.offline {
            return Ok(Reason::Offline(why.clone()));
        }
        let upload = file.place.upload;
        if self.last.as_ref().is_none_or(|(last, _)| *last != upload) {
            let states = match self.client.api.upload(upload).await {
                Ok(states) => Some(states),
                Err(Error::Refused { .. }) => None,
                Err(error @ Error::Unreachable { .. }) => {
                    self.offline = Some(error.to_string());
                    return Ok(Reason::Offline(error.to_string()));
                }
                Err(error) => return Err(error),
            };
            self.last = Some((upload, states));
        }
        let Some((_, Some(states))) = &self.last else {
            return Ok(if file.uploading { Reason::Uploading } else { Reason::Forgotten });
        };
        let index = file.place.index;
        let range = states
            .waiting
            .iter()
            .find(|range| (range.first_index..range.first_index.saturating_add(range.count)).contains(&index));
        Ok(range.map_or(Reason::Arriving, |range| reason_of(&range.reason)))
    }
}

fn reason_of(said: &WaitReason) -> Reason {
    match said {
        WaitReason::Uploading => Reason::Uploading,
        WaitReason::ChunksMissing => Reason::ChunksMissing,
        WaitReason::NoProcessor => Reason::NoProcessor,
        WaitReason::Turn => Reason::Turn,
        WaitReason::Running { per_mille, attempt } => Reason::Running { per_mille: *per_mille, attempt: *attempt },
        WaitReason::OverQuota => Reason::OverQuota,
        _ => Reason::Unknown,
    }
}
