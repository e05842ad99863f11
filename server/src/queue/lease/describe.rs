//! What a node must know of its leases.

use std::collections::HashMap;

use filemill_api::LeasedSpan;
use filemill_api::limits::MAX_WANTED_CHUNKS;

use super::allot::{Grant, Wish};
use super::narrow;
use crate::queue::core::Core;
use crate::queue::masks;
use crate::queue::types::{Leased, LeasedUploadWork};
use crate::storage::{InvalidKey, Object, ObjectKey};
use crate::store::queue::{ChunkRow, TaskRelease, UploadRow, lo_of};
use crate::store::{StoreError, Tx};

/// Most chunks that a wish is told of at once, whatever the number of its uploads: a presigned URL may take 2 KiB, and a node
/// asks for the rest as it comes to them.
const FIRST_CHUNKS: usize = 1024;

impl Core {
    /// Uploads, first chunks and spans of what was granted, for each wish, to nodes that meet these sets of needs.
    pub(super) async fn describe(
        &self,
        tx: &mut Tx,
        wishes: &[Wish],
        grants: &[Grant<'_>],
        met: &[i64],
    ) -> Result<Vec<Leased>, StoreError> {
        let mut numbers: Vec<_> = grants.iter().map(|grant| (grant.run.upload,)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let uploads: HashMap<_, _> =
            tx.uploads_by_number(&numbers).await?.into_iter().map(|row| (row.number, row)).collect();
        let listed: Vec<_> = uploads.values().filter(|upload| upload.listed).map(|upload| (upload.number,)).collect();
        let choices =
            if listed.is_empty() { Choices::default() } else { Choices::of(tx.tasks_of(&listed).await?, met) };
        // The first chunks of what each wish got of each upload.
        let mut ranges = HashMap::<(usize, i64), (i64, i64)>::new();
        for grant in grants {
            let range = ranges.entry((grant.wish, grant.run.upload)).or_insert((i64::MAX, 0));
            *range = (range.0.min(grant.run.first_chunk), range.1.max(grant.run.last_chunk));
        }
        let mut uploads_of = HashMap::<usize, usize>::new();
        for (wish, _) in ranges.keys() {
            *uploads_of.entry(*wish).or_default() += 1;
        }
        for ((wish, _), (first, last)) in &mut ranges {
            let most = (FIRST_CHUNKS / uploads_of[wish]).clamp(1, MAX_WANTED_CHUNKS);
            *last = (*last).min(*first + most as i64 - 1);
        }
        let asked: Vec<_> = ranges.iter().map(|(&(_, upload), &(first, last))| (upload, first, last)).collect();
        let mut chunks = HashMap::<i64, Vec<ChunkRow>>::new();
        for chunk in tx.chunks_within(&asked).await? {
            chunks.entry(chunk.upload).or_default().push(chunk);
        }
        let mut leased: Vec<_> = wishes.iter().map(|_| self.nothing()).collect();
        for grant in grants {
            let Some(upload) = uploads.get(&grant.run.upload) else {
                continue;
            };
            let work = &mut leased[grant.wish].uploads;
            // Spans of one upload go together, even when another's turn came in between.
            if let Some(one) = work.iter_mut().find(|one| one.upload == upload.id) {
                one.spans.push(leased_span(grant, upload, &choices));
                continue;
            }
            let range = ranges.get(&(grant.wish, grant.run.upload)).copied().unwrap_or((0, -1));
            let stored = chunks.get(&upload.number).map(Vec::as_slice).unwrap_or_default();
            let within = stored.iter().filter(|chunk| (range.0..=range.1).contains(&chunk.sequence));
            work.push(LeasedUploadWork {
                upload: upload.id.clone(),
                header: object(
                    ObjectKey::header(&upload.id, &upload.header_sha256),
                    upload.header_length,
                    &upload.header_sha256,
                )?,
                chunks_expected: narrow(upload.chunks),
                chunks: within
                    .map(|chunk| {
                        let sequence = narrow(chunk.sequence);
                        let key = ObjectKey::chunk(&upload.id, sequence, &chunk.sha256);
                        Ok((sequence, object(key, chunk.length, &chunk.sha256)?))
                    })
                    .collect::<Result<_, StoreError>>()?,
                spans: vec![leased_span(grant, upload, &choices)],
            });
        }
        Ok(leased)
    }
}

/// Which release runs, of the tasks that have several or are several: by upload and task, the first one that the nodes can run.
#[derive(Default)]
struct Choices(HashMap<(i64, i64), String>);

impl Choices {
    fn of(rows: Vec<TaskRelease>, met: &[i64]) -> Self {
        let mut rows: Vec<_> = rows.into_iter().filter(|row| met.binary_search(&row.needs).is_ok()).collect();
        rows.sort_unstable_by_key(|row| row.place);
        let mut choices = HashMap::new();
        for row in rows {
            choices.entry((row.upload, row.task)).or_insert(row.release);
        }
        Self(choices)
    }
}

fn leased_span(grant: &Grant<'_>, upload: &UploadRow, choices: &Choices) -> LeasedSpan {
    let run = grant.run;
    let lo = lo_of(run.id);
    let task = i64::from(lo) / upload.files_of_task().max(1);
    LeasedSpan {
        span: run.id,
        fence: run.fence + 1,
        release: choices.0.get(&(upload.number, task)).unwrap_or(&upload.release).clone(),
        jobs: masks::indexes(lo, masks::left(lo, grant.hi, run.gone.cast_unsigned())).collect(),
        first_chunk: narrow(run.first_chunk),
        last_chunk: narrow(run.last_chunk),
        attempt: narrow(run.attempt + 1),
        alone: run.alone,
    }
}

fn object(key: Result<ObjectKey, InvalidKey>, length: i64, sha256: &str) -> Result<Object, StoreError> {
    // What is in the database was checked on its way in.
    let key = key.map_err(|error| StoreError::from(sqlx::Error::Decode(error.into())))?;
    Ok(Object { key, length: u64::try_from(length).unwrap_or(0), sha256: sha256.to_owned() })
}
