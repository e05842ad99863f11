//! Advancing uploads, many in one transaction: chunks are stored, jobs become ready, and get their places.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use filemill_api::limits::MAX_STORED_CHUNKS;
use filemill_api::{AdvanceUpload, ChunkWant, ErrorBody};

use crate::queue::announce::{check_chunk, check_wanted, most_runs};
use crate::queue::coalesce::Coalesced;
use crate::queue::core::Core;
use crate::queue::requeue::unheld_state;
use crate::queue::types::Advanced;
use crate::queue::upload::{state_of, wanted};
use crate::queue::waking::Waking;
use crate::refusal::{is_hex, no_upload, too_many};
use crate::retry::ms;
use crate::store::queue::{RunState, UploadRow};
use crate::store::{StoreError, Tx};

/// One of a caller's uploads.
pub(in crate::queue) struct AdvanceAsk {
    pub(in crate::queue) member: i64,
    pub(in crate::queue) upload: AdvanceUpload,
}

/// What becomes of it.
pub(in crate::queue) struct AdvanceAnswer {
    pub(in crate::queue) advanced: Result<Advanced, ErrorBody>,
    /// Runs that became ready or partial.
    pub(in crate::queue) runs: usize,
}

/// Advances what many callers ask.
pub(in crate::queue) struct Advancing(pub(in crate::queue) Arc<Core>);

impl Coalesced for Advancing {
    type Ask = AdvanceAsk;
    type Answer = AdvanceAnswer;
    type Begun = Tx;
    const NAME: &'static str = "advance uploads";
    /// Chunks, and a flat part for each upload; also the most runs that may become ready, which a request does not say.
    const FULL: usize = 2048;

    fn weight(ask: &AdvanceAsk) -> usize {
        10 + ask.upload.stored.len()
    }

    fn beyond_weight(answer: &AdvanceAnswer) -> usize {
        answer.runs
    }

    async fn begin(&self) -> Result<Tx, StoreError> {
        self.0.store.begin().await
    }

    async fn run(&self, mut tx: Tx, asks: &[AdvanceAsk]) -> Result<Vec<AdvanceAnswer>, StoreError> {
        let core = &self.0;
        // Whatever else was sent as an id could make the statement fail, for everybody in the batch.
        let ids: HashSet<_> = asks.iter().map(|ask| ask.upload.id.as_str()).filter(|id| is_hex(id, 32)).collect();
        let ids: Vec<_> = ids.into_iter().map(|id| (id,)).collect();
        let mut rows: HashMap<String, UploadRow> =
            tx.lock_uploads_by_id(&ids).await?.into_iter().map(|row| (row.id.clone(), row)).collect();

        let mut news = BTreeMap::<i64, News<'_>>::new();
        let mut verdicts = Vec::new();
        let mut most = 0;
        for AdvanceAsk { member, upload } in asks {
            let verdict = check(*member, upload, rows.get(&upload.id));
            if let (Ok(()), Some(row)) = (&verdict, rows.get(&upload.id))
                && row.finished_at.is_none()
            {
                if !news.contains_key(&row.number) {
                    most += usize::try_from(most_runs(row.files, row.tasks, row.chunks)).unwrap_or(usize::MAX);
                    if most > Self::FULL && !news.is_empty() {
                        break;
                    }
                }
                news.entry(row.number).or_default().add(upload);
            }
            verdicts.push(verdict);
        }
        let mut waking = Waking::default();
        let mut announced = HashMap::new();
        if !news.is_empty() {
            let moved = store_chunks(&mut tx, core, &news, &mut rows).await?;
            (waking, announced) = announce(&mut tx, &moved, rows.values()).await?;
        }
        tx.commit().await?;
        core.wake_leasing(waking);
        core.chunks.ring(news.into_iter().filter(|(_, news)| !news.stored.is_empty()).map(|(number, _)| number));

        // The others come in the next transaction.
        Ok(verdicts
            .into_iter()
            .zip(asks)
            .map(|(verdict, AdvanceAsk { upload, .. })| {
                let row = rows.get(&upload.id);
                let advanced = verdict.and_then(|()| {
                    let state = state_of(row.ok_or_else(|| no_upload(&upload.id))?);
                    Ok(Advanced { chunks: wanted(&upload.id, state, &upload.want)?, state })
                });
                AdvanceAnswer { advanced, runs: row.and_then(|row| announced.get(&row.number)).copied().unwrap_or(0) }
            })
            .collect())
    }
}

/// What came for one upload, from however many requests: the last word on a chunk counts.
#[derive(Default)]
struct News<'a> {
    header_stored: bool,
    stored: BTreeMap<u32, &'a ChunkWant>,
}

impl<'a> News<'a> {
    fn add(&mut self, upload: &'a AdvanceUpload) {
        self.header_stored |= upload.header_stored;
        self.stored.extend(upload.stored.iter().map(|chunk| (chunk.sequence, chunk)));
    }
}

fn check(member: i64, upload: &AdvanceUpload, row: Option<&UploadRow>) -> Result<(), ErrorBody> {
    let Some(row) = row.filter(|row| row.member == member && is_hex(&upload.id, 32)) else {
        return Err(no_upload(&upload.id));
    };
    let chunks = u32::try_from(row.chunks).unwrap_or(0);
    if upload.stored.len() > MAX_STORED_CHUNKS {
        return Err(too_many("stored chunks", MAX_STORED_CHUNKS));
    }
    upload.stored.iter().try_for_each(|chunk| check_chunk(chunk, chunks))?;
    check_wanted(&upload.want, chunks)
}

/// Records chunks, and answers (number, prefix) of the uploads whose runs may wake. Brings `rows` up to date.
async fn store_chunks(
    tx: &mut Tx,
    core: &Core,
    news: &BTreeMap<i64, News<'_>>,
    rows: &mut HashMap<String, UploadRow>,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let places: Vec<_> = news
        .iter()
        .flat_map(|(&number, news)| news.stored.keys().map(move |&sequence| (number, i64::from(sequence))))
        .collect();
    let mut known = HashMap::new();
    if !places.is_empty() {
        for chunk in tx.chunks(&places).await? {
            known.insert((chunk.upload, chunk.sequence), chunk.sha256);
        }
    }
    let headed: HashSet<i64> = rows.values().filter(|row| row.header_stored).map(|row| row.number).collect();
    let (mut put, mut replaced, mut advances) = (Vec::new(), Vec::new(), Vec::new());
    for (&number, news) in news {
        let mut more = 0;
        for chunk in news.stored.values() {
            let sequence = i64::from(chunk.sequence);
            match known.get(&(number, sequence)) {
                Some(sha256) if *sha256 == chunk.sha256 => continue,
                Some(sha256) => replaced.push((number, sequence, sha256.as_str())),
                None => more += 1,
            }
            // Bounded by the check.
            put.push((number, sequence, i64::try_from(chunk.length).unwrap_or(i64::MAX), chunk.sha256.as_str()));
        }
        // A repeated word changes nothing, and writes nothing.
        if (news.header_stored && !headed.contains(&number)) || put.last().is_some_and(|&(upload, ..)| upload == number)
        {
            advances.push((number, news.header_stored, more));
        }
    }
    if advances.is_empty() {
        return Ok(Vec::new());
    }
    if !put.is_empty() {
        tx.put_chunks(&put).await?;
    }
    if !replaced.is_empty() {
        tx.doom_replaced(&replaced, ms(core.config.replaced_stay)).await?;
    }
    let prefixes: HashMap<_, _> = tx.advance_uploads(&advances).await?.into_iter().collect();
    let mut moved = Vec::new();
    for row in rows.values_mut() {
        let Some(&prefix) = prefixes.get(&row.number) else {
            continue;
        };
        let header_stored = row.header_stored || news.get(&row.number).is_some_and(|news| news.header_stored);
        if header_stored && (prefix != row.prefix || !row.header_stored) {
            moved.push((row.number, prefix));
        }
        (row.header_stored, row.prefix) = (header_stored, prefix);
    }
    Ok(moved)
}

/// Makes runs ready or partial whose chunks have come: (upload, prefix) each, of uploads whose headers are stored. Answers how many
/// of each upload it were, too.
async fn announce(
    tx: &mut Tx,
    moved: &[(i64, i64)],
    rows: impl Iterator<Item = &UploadRow>,
) -> Result<(Waking, HashMap<i64, usize>), StoreError> {
    let (mut waking, mut counts) = (Waking::default(), HashMap::new());
    if moved.is_empty() {
        return Ok((waking, counts));
    }
    let prefixes: HashMap<_, _> = moved.iter().copied().collect();
    let rows: HashMap<_, _> = rows.map(|row| (row.number, row)).collect();
    let mut announced = Vec::new();
    for run in tx.lock_waiting(moved).await? {
        let (Some(&prefix), Some(upload)) = (prefixes.get(&run.upload), rows.get(&run.upload)) else {
            continue;
        };
        let state = unheld_state(true, prefix, run.first_chunk, run.last_chunk, run.patient || run.alone);
        if state != run.state() && state != RunState::WAITING {
            let place = place_of(run.vstart, run.upload);
            waking.add(upload, run.needs, place);
            announced.push((run.id, state.0, place));
            *counts.entry(run.upload).or_default() += 1;
        }
    }
    if !announced.is_empty() {
        tx.announce_runs(&announced).await?;
    }
    Ok((waking, counts))
}

/// A run's place among its member's: in the order in which the uploads were opened, unless it has gone behind.
fn place_of(vstart: i64, upload: i64) -> i64 {
    if vstart == 0 { upload } else { vstart }
}
