//! Every file that has no result yet, and why.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use filemill_api::limits::MAX_TASKS;
use filemill_api::{JobStates, UploadState};
use filemill_seal::{Format, UploadId};
use tokio::sync::mpsc;

use crate::api::Patience;
use crate::client::Client;
use crate::engines::{Engines, Wanted};
use crate::error::Error;
use crate::journal::{Waiting, Watched, is_running};
use crate::look_into::look_into;
use crate::reason::SkipReason;
use crate::rules::{LeftOut, Rules, is_rule_file};
use crate::source::Found;
use crate::waiting::{LookThrough, Reason, WaitingFile, WatchedFolder, reason_of};
use crate::walk::{Met, Root, Walk, walk_into};

/// Files that are read from the journal at once.
const PER_PAGE: u32 = 512;

impl Client {
    /// The folders that running programs of this home watch, and how.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn watched_folders(&self) -> Result<Vec<WatchedFolder>, Error> {
        let watched = self.base.journal.watched_folders(&self.base.home).await?;
        let mut folders: Vec<WatchedFolder> = watched
            .into_iter()
            .map(|(path, watch)| {
                let look = match watch.look {
                    None => LookThrough::Unknown,
                    Some(why) if why.is_empty() => LookThrough::Rarely,
                    Some(why) => LookThrough::Often { why, every_s: watch.look_every_s },
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
        let offline = match self.base.api.uploads(None).await {
            Ok(_) => None,
            Err(error @ (Error::Unreachable { .. } | Error::Refused { .. })) => Some(error),
            Err(error) => return Err(error),
        };
        let mut states = States { client: self, offline, last: None, running: HashMap::new() };
        let mut after = 0;
        loop {
            let page = self.base.journal.waiting_files(&self.base.config.account(), after, PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.place.row;
            let asked: Vec<_> = page.iter().map(|file| (file.place.upload, file.place.index)).collect();
            let unfetched = self.base.journal.unfetched_of(&asked).await?.into_iter();
            let unfetched: HashMap<_, _> =
                unfetched.map(|one| ((one.upload, one.job), Reason::StillToFetch { detail: one.reason })).collect();
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
            let page = self.base.journal.failed_files(&self.base.config.account(), after, PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            for file in page {
                let reason = Reason::Failed { message: file.message.unwrap_or_default() };
                let place = Some((file.upload, file.index));
                let (path, size, parameters) = (file.path, Some(file.size), file.parameters);
                tell(WaitingFile { path, size, place, parameters, reason });
            }
        }
        let offline = states.offline.take();
        self.watched(offline, &mut tell).await
    }

    async fn watched(&self, offline: Option<Error>, tell: &mut impl FnMut(WaitingFile)) -> Result<(), Error> {
        // What keeps everything from being sent. Asked for when there is a file that it matters for.
        let mut blocked: Option<Option<Reason>> = offline.map(|error| Some(Reason::Offline { error }));
        let exports = self.base.journal.export_folders(None).await?;
        for (folder, Watched { ignore, engine, temporary, .. }) in
            self.base.journal.watched_folders(&self.base.home).await?
        {
            let wanted = Wanted::parse(engine.as_deref());
            // Asked for when there is a file that it matters for; without the server nobody can tell.
            let is_offline = matches!(blocked, Some(Some(Reason::Offline { .. })));
            let mut engines: Option<Option<Engines>> = is_offline.then_some(None);
            let (met, mut walked) = mpsc::channel(4);
            let (home, exports) = (self.base.home.clone(), Arc::clone(&exports));
            let walking = tokio::task::spawn_blocking(move || {
                let root = Root::resolved(folder).without(home.path(), &exports);
                // Whoever watches the folder checked them.
                let Ok(mut rules) = Rules::new(&root.path, &ignore) else { return };
                if !temporary {
                    rules = rules.without_temporary();
                }
                if walk_into(Walk::new(&root).into_unruled(), &root, &rules, &met).is_break() {
                    return;
                }
                // Each file of which they cannot be followed is named by itself, if it has no result.
                let unread: Vec<Met> = rules.unread().into_iter().map(unread).collect();
                let _ = met.blocking_send(unread);
            });
            while let Some(batch) = walked.recv().await {
                let (mut files, mut unruled) = (Vec::new(), HashMap::new());
                for met in batch {
                    let (path, reason) = match met {
                        // Said of the rule files themselves, after everything else.
                        Met::Ignored { path, why: LeftOut::Unknown { .. }, .. } if is_rule_file(&path) => continue,
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
                        Met::Ignored { path, why: why @ LeftOut::Unknown { .. }, .. } => {
                            (path, Reason::RulesUnread { rule: why })
                        }
                        Met::Ignored { path, why, .. } => (path, Reason::Ignored { rule: why }),
                        Met::Skipped { path, reason: SkipReason::Link } => (path, Reason::Link),
                        Met::Skipped { path, reason } => (path, Reason::Skipped { reason }),
                        Met::Unreadable { path, reason: detail } => (path, Reason::Unreadable { detail }),
                    };
                    tell(WaitingFile { path, size: None, place: None, parameters: Vec::new(), reason });
                }
                let taken = self.base.journal.taken(&files).await?;
                for found in files.into_iter().filter(|found| !taken.contains(&found.path)) {
                    if let Some(why) = unruled.remove(&found.path) {
                        let (path, size, reason) =
                            (found.path, Some(found.stat.size), Reason::RulesUnread { rule: why });
                        tell(WaitingFile { path, size, place: None, parameters: Vec::new(), reason });
                        continue;
                    }
                    if engines.is_none() {
                        engines = Some(self.desk.recipes.engines(&wanted, Patience::Brief).await.ok());
                    }
                    if blocked.is_none() {
                        let problem = self.desk.recipes.recipient_problem().await;
                        blocked = Some(problem.map(|error| Reason::NoRecipient { error }));
                    }
                    let (found, chosen) = match engines.iter().flatten().next() {
                        Some(engines) => chosen(engines, found).await?,
                        None => (found, None),
                    };
                    let reason = match chosen {
                        Some(error @ Error::Undescribed { .. }) => Reason::NoDescriptions { error },
                        Some(error) => Reason::NoEngine { error },
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

/// A rule file whose rules cannot be followed.
fn unread((path, detail): (PathBuf, String)) -> Met {
    Met::Skipped { path, reason: SkipReason::RulesUnread { detail } }
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
    offline: Option<Error>,
    /// Files of one upload come one after the other.
    last: Option<(UploadId, Option<JobStates>)>,
    running: HashMap<String, bool>,
}

impl States<'_> {
    async fn reason(&mut self, file: &Waiting) -> Result<Reason, Error> {
        let home = &self.client.base.home;
        let running = *self.running.entry(file.session.clone()).or_insert_with(|| is_running(home, &file.session));
        if file.place.abandoned || file.place.verdict.is_some_and(|verdict| !verdict.is_intact()) {
            return Ok(if running { Reason::SentAgain } else { Reason::Interrupted });
        }
        let is_interrupted = file.uploading && !running;
        if let Some(error) = &self.offline {
            return Ok(if is_interrupted { Reason::Interrupted } else { Reason::Offline { error: error.clone() } });
        }
        let upload = file.place.upload;
        if self.last.as_ref().is_none_or(|(last, _)| *last != upload) {
            let states = match self.client.base.api.upload(upload).await {
                Ok(states) => Some(states),
                Err(Error::Refused { .. }) => None,
                Err(error @ Error::Unreachable { .. }) => {
                    self.offline = Some(error.clone());
                    return Ok(if is_interrupted { Reason::Interrupted } else { Reason::Offline { error } });
                }
                Err(error) => return Err(error),
            };
            self.last = Some((upload, states));
        }
        let states = self.last.as_ref().and_then(|(_, states)| states.as_ref());
        let is_cancelled = states.is_some_and(|states| states.upload.state == UploadState::Cancelled);
        if is_interrupted && !is_cancelled {
            return Ok(Reason::Interrupted);
        }
        let Some(states) = states else {
            let is_older = file.uploading && file.format != Format::One && self.client.base.api.is_older();
            return Ok(match file.uploading {
                _ if is_older => Reason::OlderServer,
                true => Reason::Uploading,
                false => Reason::Forgotten,
            });
        };
        // With several tasks whatever one of them waits for.
        let upload = &states.upload;
        let tasks = upload.tasks.clamp(1, MAX_TASKS as u32);
        let mut jobs = (0..tasks).filter_map(|task| task.checked_mul(upload.files)?.checked_add(file.place.index));
        let range_of = |job: u32| {
            states
                .waiting
                .iter()
                .find(|range| (range.first_job..range.first_job.saturating_add(range.count)).contains(&job))
        };
        let range = jobs.find_map(range_of);
        Ok(match range {
            Some(range) => reason_of(&range.reason),
            None if is_cancelled => Reason::Cancelled,
            None => Reason::Arriving,
        })
    }
}
