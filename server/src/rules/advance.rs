//! Advancing uploads, many in one transaction: chunks are stored, jobs become ready, and take their turns.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use filemill_api::limits::{MAX_STORED_CHUNKS, MAX_UPLOADS_PER_REQUEST};
use filemill_api::{AdvanceRequest, AdvanceUpload, ChunkWant, ErrorBody};

use super::announce::{check_chunk, check_wanted, cost};
use super::combine::Combined;
use super::open::{state_of, wanted};
use super::refusal::{is_hex, no_upload, too_many};
use super::rest::resting;
use super::{Advanced, Caller, Core, Rules, ms};
use crate::store::{RunState, StoreError, Tx, UploadRow};

impl Rules {
    /// Records what is stored of the caller's uploads, each by itself, and answers where more goes.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many. For one: `bad_request`; `not_found`: no such upload of this caller.
    pub async fn advance(
        &self,
        caller: &Caller,
        request: AdvanceRequest,
    ) -> Result<Vec<Result<Advanced, ErrorBody>>, ErrorBody> {
        if request.uploads.len() > MAX_UPLOADS_PER_REQUEST {
            return Err(too_many("uploads", request.uploads.len(), MAX_UPLOADS_PER_REQUEST));
        }
        if request.uploads.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.advancing.ask(AdvanceAsk { member: caller.member, uploads: request.uploads }).await
    }
}

/// One caller's uploads.
pub(super) struct AdvanceAsk {
    member: i64,
    uploads: Vec<AdvanceUpload>,
}

/// Advances what many callers ask.
pub(super) struct Advancing(pub(super) Arc<Core>);

impl Combined for Advancing {
    type Ask = AdvanceAsk;
    type Answer = Vec<Result<Advanced, ErrorBody>>;
    const NAME: &'static str = "advance uploads";
    const FULL: usize = 20_000;

    fn weight(ask: &AdvanceAsk) -> usize {
        ask.uploads.iter().map(|upload| 10 + upload.stored.len()).sum()
    }

    async fn run(&self, asks: &[AdvanceAsk]) -> Result<Vec<Self::Answer>, StoreError> {
        let core = &self.0;
        let mut tx = core.store.begin().await?;
        // Whatever else was sent as an id could make the statement fail, for everybody in the batch.
        let ids: HashSet<_> = asks
            .iter()
            .flat_map(|ask| &ask.uploads)
            .map(|upload| upload.id.as_str())
            .filter(|id| is_hex(id, 32))
            .collect();
        let ids: Vec<_> = ids.into_iter().map(|id| (id,)).collect();
        let mut rows: HashMap<String, UploadRow> =
            tx.lock_uploads_by_id(&ids).await?.into_iter().map(|row| (row.id.clone(), row)).collect();

        let mut news = BTreeMap::<i64, News<'_>>::new();
        let mut verdicts = Vec::new();
        for ask in asks {
            for upload in &ask.uploads {
                let verdict = check(ask.member, upload, rows.get(&upload.id));
                if let (Ok(()), Some(row)) = (&verdict, rows.get(&upload.id))
                    && row.finished_at.is_none()
                {
                    news.entry(row.number).or_default().add(upload);
                }
                verdicts.push(verdict);
            }
        }
        let mut lowest = None;
        if !news.is_empty() {
            let moved = store_chunks(&mut tx, core, &news, &mut rows).await?;
            lowest = announce(&mut tx, core, &moved).await?;
        }
        tx.commit().await?;
        if let Some(lowest) = lowest {
            core.wake_leasing(lowest);
        }
        core.chunks.ring(news.into_iter().filter(|(_, news)| !news.stored.is_empty()).map(|(number, _)| number));

        let mut verdicts = verdicts.into_iter();
        Ok(asks
            .iter()
            .map(|ask| {
                ask.uploads
                    .iter()
                    .map(|upload| {
                        verdicts.next().unwrap_or_else(|| Err(super::refusal::unavailable()))?;
                        let row = rows.get(&upload.id).ok_or_else(|| no_upload(&upload.id))?;
                        let state = state_of(row);
                        Ok(Advanced { chunks: wanted(&upload.id, state, &upload.want)?, state })
                    })
                    .collect()
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
        return Err(too_many("stored chunks", upload.stored.len(), MAX_STORED_CHUNKS));
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

/// Makes runs ready or partial whose chunks have come, and gives them their turns. Answers the first of them.
async fn announce(tx: &mut Tx, core: &Core, moved: &[(i64, i64)]) -> Result<Option<i64>, StoreError> {
    if moved.is_empty() {
        return Ok(None);
    }
    let prefixes: HashMap<_, _> = moved.iter().copied().collect();
    let waking: Vec<_> = tx
        .lock_waiting(moved)
        .await?
        .into_iter()
        .filter_map(|run| {
            let prefix = *prefixes.get(&run.upload)?;
            let state = resting(true, prefix, run.first_chunk, run.last_chunk, run.patient || run.alone);
            (state != run.state() && state != RunState::WAITING).then_some((run, state))
        })
        .collect();
    // A run that had its turn announced keeps it.
    let mut costs = BTreeMap::<i64, i64>::new();
    for (run, _) in waking.iter().filter(|(run, _)| run.vstart == 0) {
        *costs.entry(run.organisation).or_default() += cost(run.jobs(), run.first_chunk, run.last_chunk);
    }
    let mut turns = HashMap::new();
    if !costs.is_empty() {
        let costs: Vec<_> = costs.into_iter().collect();
        for (organisation, start, unit) in tx.take_turns(&costs, core.served()).await? {
            turns.insert(organisation, (start, unit));
        }
    }
    let served = core.served();
    let mut announced = Vec::with_capacity(waking.len());
    for (run, state) in &waking {
        let vstart = match turns.get_mut(&run.organisation) {
            Some((start, unit)) if run.vstart == 0 => {
                let begins = *start;
                *start += cost(run.jobs(), run.first_chunk, run.last_chunk) * *unit;
                begins
            }
            _ => run.vstart.max(served),
        };
        announced.push((run.id, state.0, vstart));
    }
    if !announced.is_empty() {
        tx.announce_runs(&announced).await?;
    }
    Ok(announced.iter().map(|&(_, _, vstart)| vstart).min())
}
