//! Opening uploads, many in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use filemill_api::OpenUpload;

use crate::queue::announce;
use crate::queue::announce::Announced;
use crate::queue::coalesce::Coalesced;
use crate::queue::core::Core;
use crate::queue::fair_share::Owner;
use crate::random;
use crate::store::queue::{NewRun, NewTaskRelease, NewUpload, RunState, UploadRow};
use crate::store::{StoreError, Tx};

/// An upload's fences begin at a random number below this: the number that names its runs may have named another upload's before the
/// database was restored, and a node may still hold a lease of that one.
const FIRST_FENCES: i64 = 1 << 40;

/// One of a caller's uploads.
pub(in crate::queue) struct OpenAsk {
    pub(in crate::queue) owner: Owner,
    pub(in crate::queue) opening: Arc<OneOpening>,
}

/// An upload to open.
pub(in crate::queue) struct OneOpening {
    pub(in crate::queue) upload: OpenUpload,
    pub(in crate::queue) announced: Announced,
    /// Of each task, in order.
    pub(in crate::queue) tasks: Vec<TaskNeeds>,
}

/// What it takes to run one task.
pub(in crate::queue) struct TaskNeeds {
    /// Any of its releases.
    pub(in crate::queue) any: i64,
    /// Each of them.
    pub(in crate::queue) each: Vec<i64>,
}

impl OneOpening {
    /// Whether what is to be done is more than one release.
    fn is_listed(&self) -> bool {
        self.tasks.len() > 1 || self.tasks.iter().any(|task| task.each.len() > 1)
    }

    /// How many releases are listed for it.
    fn listed(&self) -> usize {
        if self.is_listed() { self.tasks.iter().map(|task| task.each.len()).sum() } else { 0 }
    }
}

/// Opens what many callers ask; answers the row of an upload that was there already.
pub(in crate::queue) struct Opening(pub(in crate::queue) Arc<Core>);

impl Coalesced for Opening {
    type Ask = OpenAsk;
    type Answer = Option<UploadRow>;
    type Begun = Tx;
    const NAME: &'static str = "open uploads";
    /// Runs, and a flat part for each upload: some 50 ms of SQLite's only writer.
    const FULL: usize = 2048;

    fn weight(ask: &OpenAsk) -> usize {
        10 + ask.opening.announced.runs + ask.opening.listed()
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, mut tx: Tx, asks: &[OpenAsk]) -> Result<Vec<Self::Answer>, StoreError> {
        // An id that was asked for twice: the first is inserted, and the others are compared with it.
        let mut firsts = HashMap::new();
        for ask in asks {
            firsts.entry(ask.opening.upload.id.as_str()).or_insert(ask);
        }
        let new: Vec<_> = firsts.values().map(|ask| new_upload(ask)).collect();
        let inserted: HashMap<_, _> =
            tx.insert_uploads(&new).await?.into_iter().map(|(number, id)| (id, number)).collect();
        let (mut runs, mut tasks) = (Vec::new(), Vec::new());
        let fences = random::numbers(inserted.len())?;
        for ((id, number), fence) in inserted.iter().zip(fences) {
            if let Some(ask) = firsts.get(id.as_str()) {
                // It was checked before.
                let pieces = announce::cut(&ask.opening.upload.files, ask.opening.upload.chunks).unwrap_or_default();
                runs.extend(new_runs(*number, ask, &pieces, fence % FIRST_FENCES));
                if ask.opening.is_listed() {
                    tasks.extend(new_tasks(*number, &ask.opening));
                }
            }
        }
        if !runs.is_empty() {
            tx.insert_runs(&runs).await?;
        }
        if !tasks.is_empty() {
            tx.insert_tasks(&tasks).await?;
        }
        let repeated: Vec<_> = asks
            .iter()
            .filter(|ask| {
                let id = ask.opening.upload.id.as_str();
                !inserted.contains_key(id) || firsts.get(id).is_none_or(|first| !std::ptr::eq(*first, *ask))
            })
            .map(|ask| (ask.opening.upload.id.as_str(),))
            .collect();
        let mut known = HashMap::new();
        if !repeated.is_empty() {
            known.extend(tx.uploads_by_id(&repeated).await?.into_iter().map(|row| (row.id.clone(), row)));
        }
        tx.commit().await?;
        Ok(asks.iter().map(|ask| known.get(&ask.opening.upload.id).cloned()).collect())
    }
}

fn new_upload(ask: &OpenAsk) -> NewUpload<'_> {
    let OpenAsk { owner, opening } = ask;
    let upload = &opening.upload;
    NewUpload {
        id: &upload.id,
        organisation: owner.organisation,
        member: owner.member,
        // The announcement was checked: there is one.
        release: upload.tasks.first().and_then(|task| task.releases.first()).map_or("", String::as_str),
        pool: &upload.pool,
        needs: opening.tasks.first().map_or(0, |task| task.any),
        header_length: length_of(upload),
        header_sha256: &upload.header_sha256,
        files: i64::from(opening.announced.jobs),
        tasks: i64::from(opening.announced.tasks),
        listed: opening.is_listed(),
        chunks: i64::from(upload.chunks),
        ranges_sha256: &opening.announced.ranges_sha256,
    }
}

/// The runs of each task, which has all files.
fn new_runs<'a>(
    number: i64,
    ask: &'a OpenAsk,
    pieces: &[announce::Piece],
    fence: i64,
) -> impl Iterator<Item = NewRun<'a>> {
    let files = pieces.last().map_or(0, |piece| piece.hi);
    ask.opening.tasks.iter().zip(0..).flat_map(move |(task, place): (_, u32)| {
        let first = place * files;
        let of_task =
            move |piece: &announce::Piece| announce::Piece { lo: first + piece.lo, hi: first + piece.hi, ..*piece };
        pieces.iter().map(of_task).map(move |piece| new_run(number, ask, task.any, piece, fence))
    })
}

fn new_tasks(number: i64, opening: &OneOpening) -> impl Iterator<Item = NewTaskRelease<'_>> {
    opening.upload.tasks.iter().zip(&opening.tasks).zip(0..).flat_map(move |((task, needs), position)| {
        let releases = task.releases.iter().zip(&needs.each).zip(0..);
        releases.map(move |((release, &needs), place)| (number, position, place, release.as_str(), needs))
    })
}

fn new_run(number: i64, ask: &OpenAsk, needs: i64, piece: announce::Piece, fence: i64) -> NewRun<'_> {
    let OpenAsk { owner, opening } = ask;
    NewRun {
        upload: number,
        organisation: owner.organisation,
        member: owner.member,
        pool: &opening.upload.pool,
        needs,
        lo: piece.lo,
        hi: piece.hi,
        gone: 0,
        first_chunk: i64::from(piece.first_chunk),
        last_chunk: i64::from(piece.last_chunk),
        state: RunState::WAITING,
        patient: false,
        alone: false,
        deaths: 0,
        missed: 0,
        vstart: 0,
        fence,
        attempt: 0,
    }
}

/// Bounded by the check of the announcement.
pub(in crate::queue) fn length_of(upload: &OpenUpload) -> i64 {
    i64::try_from(upload.header_length).unwrap_or(i64::MAX)
}
