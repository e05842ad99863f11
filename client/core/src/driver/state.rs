//! What drives an activity, and what it is about to do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use filemill_seal::UploadId;
use tokio::task::JoinSet;

use super::judged::JudgedBundle;
use super::pause::Pause;
use super::shared::{Kind, Shared};
use super::target::Target;
use crate::api::Position;
use crate::error::Error;
use crate::pack::Packers;
use crate::pipeline::Transferred;
use crate::recipe::{Recipe, Recipes};
use crate::source::Found;
use crate::why_nothing::WhyNothing;

/// Weight of uploads under way, at most: what is known of their files is held in memory.
pub(super) const WEIGHT_MAX: usize = 64;
/// Files that weigh as much as an upload itself.
const FILES_PER_WEIGHT: usize = 128;

/// Drives one activity: what it was given, and how far it is.
pub(crate) struct Driver {
    /// Where events are read on.
    pub(super) position: Position,
    pub(super) shared: Arc<Shared>,
    pub(super) kind: Kind,
    pub(super) recipe: Recipe,
    pub(super) recipes: Arc<Recipes>,
    pub(super) packers: Packers<Target>,
    /// Bundles that nothing may be made of now, and when to try again.
    pub(super) held: Vec<(Target, Vec<Found>)>,
    pub(super) held_until: Option<Instant>,
    /// Files that no engine can be chosen for now, and when to look for one again: a watcher's, and others that engines are only
    /// to be described for.
    pub(super) unassigned: HashMap<PathBuf, Found>,
    pub(super) look_again: Option<Instant>,
    pub(super) look_pause: Pause,
    /// There are other engines since they were looked for.
    pub(super) engines_changed: bool,
    /// Files that are to be looked up in the journal: an engine was found that nobody looked them up for.
    pub(super) given_back: Vec<Found>,
    /// Some were: they come back in parts, for each of which a bundle would be too much.
    pub(super) gave_back: bool,
    /// Why nothing can be sent, as it was told last.
    pub(super) told: WhyNothing,
    /// Bundles whose files the rules are asked of, and what they weigh.
    pub(super) judging: JoinSet<JudgedBundle>,
    pub(super) judging_weight: usize,
    pub(super) transfers: JoinSet<(UploadId, Transferred)>,
    pub(super) active: HashMap<UploadId, Active>,
    /// Uploads to go on with when there is room.
    pub(super) resumes: VecDeque<UploadId>,
    /// Files to be sent again, and when; uploads to be tried again, and when.
    pub(super) later: Vec<(Instant, Later)>,
    /// Places whose files are in `later` or were sent again.
    pub(super) sent_again: HashSet<(UploadId, u32)>,
    pub(super) chores: JoinSet<()>,
    /// Why an upload does not go on whose files are left to the next time.
    pub(super) unsent: Option<Error>,
}

pub(super) enum Later {
    File(Box<Found>),
    Upload(UploadId),
}

/// An upload under way.
pub(super) struct Active {
    pub(super) weight: usize,
    pub(super) files: Arc<[Found]>,
    /// Chunks went missing meanwhile: resume when it ends.
    pub(super) resume: bool,
    /// How often it ended incomplete.
    pub(super) attempts: u32,
}

impl Driver {
    /// Begins an activity, before anything is looked up for it in the journal: a result is either there then, whoever of this home took it
    /// in, or it comes by the stream of events behind the place that this notes.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        kind: Kind,
        recipe: Recipe,
        recipes: Arc<Recipes>,
    ) -> Result<Self, Error> {
        let position = shared.inbox.journal.position(&shared.account).await?;
        Ok(Self {
            position,
            shared,
            kind,
            recipe,
            recipes,
            packers: Packers::new(),
            held: Vec::new(),
            held_until: None,
            unassigned: HashMap::new(),
            look_again: None,
            look_pause: Pause::default(),
            engines_changed: false,
            given_back: Vec::new(),
            gave_back: false,
            told: WhyNothing::default(),
            judging: JoinSet::new(),
            judging_weight: 0,
            transfers: JoinSet::new(),
            active: HashMap::new(),
            resumes: VecDeque::new(),
            later: Vec::new(),
            sent_again: HashSet::new(),
            chores: JoinSet::new(),
            unsent: None,
        })
    }

    /// Goes on with these uploads, too.
    pub(crate) fn resume(&mut self, uploads: impl IntoIterator<Item = UploadId>) {
        self.resumes.extend(uploads);
    }

    /// Takes in a file that has to be sent again and that is counted as pending already.
    pub(crate) fn send_again(&mut self, found: Found) {
        if let Some(place) = found.replaces {
            self.sent_again.insert(place);
        }
        self.later.push((Instant::now(), Later::File(Box::new(found))));
    }

    /// What the uploads under way weigh, with the bundles whose files the rules are asked of.
    pub(super) fn weight(&self) -> usize {
        self.judging_weight + self.active.values().map(|active| active.weight).sum::<usize>()
    }
}

/// What an upload of so many files weighs.
pub(super) fn weight(files: usize) -> usize {
    1 + files / FILES_PER_WEIGHT
}
