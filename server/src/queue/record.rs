//! Records events in the transaction that makes them happen, and counts results towards the end of their uploads.

use std::collections::BTreeMap;

use filemill_api::Outcome;

use crate::random;
use crate::store::queue::{NewEvent, UploadRow};
use crate::store::{StoreError, Tx};

/// Something to tell the member who uploaded.
#[derive(Debug)]
pub(crate) struct Happening<'a> {
    /// Its upload, locked.
    pub(crate) upload: &'a UploadRow,
    /// The job whose result it is, or the first of several; none: it concerns the upload.
    pub(crate) job: Option<u32>,
    /// How many jobs it ends.
    pub(crate) ends: u32,
    /// The jobs of a batch, as they are written down.
    pub(crate) jobs: Option<String>,
    /// An outcome code, or what else happened.
    pub(crate) kind: &'a str,
    pub(crate) fence: i64,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) object: Option<(u64, &'a str)>,
}

impl<'a> Happening<'a> {
    /// The server itself ends a job.
    pub(crate) fn verdict(upload: &'a UploadRow, job: u32, outcome: Outcome, fence: i64) -> Self {
        Self { upload, job: Some(job), ends: 1, jobs: None, kind: outcome.code(), fence, body: None, object: None }
    }
}

/// Writes everything that happened, and answers which organisations to wake once it is committed.
///
/// Comes last in a transaction: it locks the organisations, which come after uploads and runs.
pub(crate) async fn record(tx: &mut Tx, happenings: &[Happening<'_>]) -> Result<Vec<i64>, StoreError> {
    if happenings.is_empty() {
        return Ok(Vec::new());
    }
    let mut done = BTreeMap::<i64, i64>::new();
    let mut told = BTreeMap::<i64, i64>::new();
    for happening in happenings {
        *told.entry(happening.upload.organisation).or_default() += 1;
        if happening.ends > 0 {
            *done.entry(happening.upload.number).or_default() += i64::from(happening.ends);
        }
    }
    if !done.is_empty() {
        tx.count_done(&done.into_iter().collect::<Vec<_>>()).await?;
    }
    let counts: Vec<_> = told.iter().map(|(&organisation, &count)| (organisation, count)).collect();
    // Where each organisation's cursor stood before.
    let mut cursors: BTreeMap<i64, i64> = tx
        .allot_cursors(&counts)
        .await?
        .into_iter()
        .map(|(organisation, last)| (organisation, last - told.get(&organisation).copied().unwrap_or(0)))
        .collect();
    let mut events = Vec::with_capacity(happenings.len());
    for (happening, mark) in happenings.iter().zip(random::numbers(happenings.len())?) {
        let cursor = cursors.get_mut(&happening.upload.organisation).ok_or(sqlx::Error::RowNotFound)?;
        *cursor += 1;
        events.push(NewEvent {
            member: happening.upload.member,
            cursor: *cursor,
            mark,
            upload: happening.upload.number,
            index: happening.job,
            jobs: happening.jobs.as_deref(),
            kind: happening.kind,
            fence: happening.fence,
            body: happening.body,
            object: happening.object,
        });
    }
    tx.insert_events(&events).await?;
    Ok(told.into_keys().collect())
}
