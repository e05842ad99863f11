//! What a processor asks while it works: leases, chunks, reports.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use filemill_api::limits::MAX_LEASED_JOBS;
use filemill_api::{
    ChunkUrl, ChunksAnswer, ChunksRequest, ErrorBody, LeaseAnswer, LeaseRequest, LeasedUpload, MissingRequest,
    ReportAnswer, ReportRequest, ReturnRequest, paths,
};
use serde::Serialize;

use crate::http::app::App;
use crate::http::auth::{Polls, Processor, Reports};
use crate::http::body::{JsonBody, Medium, Small};
use crate::http::caller::{Ticket, no_room_for_answer};
use crate::http::problem::Refusal;
use crate::http::sign::get;
use crate::queue::{Leased, LeasedUploadWork};
use crate::storage::{Object, Signer};

/// Most chunk URLs of one upload in a lease's first answer; a node asks for the rest as it comes to them.
const FIRST_CHUNKS: usize = filemill_api::limits::MAX_WANTED_CHUNKS;

/// What is taken for a presigned URL with its headers, and for a span.
const URL_BYTES: usize = 1 << 10;
const SPAN_BYTES: usize = 512;
/// The least that an upload takes: its header, one chunk, and one span.
const UPLOAD_BYTES: usize = 2 * URL_BYTES + SPAN_BYTES;

/// Leases jobs to the caller's node, waiting for them up to the time it says; empty when none came, or the server
/// stops. May ask the node to describe releases, and does not wait then.
///
/// Scope `processor`, for the token's pool only.
#[utoipa::path(
    post,
    path = paths::LEASES,
    tag = "leases",
    request_body = LeaseRequest,
    responses((status = OK, body = LeaseAnswer)),
)]
pub(in crate::http) async fn lease(
    own: Processor<Polls>,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<LeaseRequest, Small>,
) -> Result<Response, Refusal> {
    lease_as::<LeaseAnswer>(&own, &app, &ticket, body.value).await
}

/// The same, in the words of whichever version it was asked.
pub(in crate::http) async fn lease_as<A: Serialize + From<LeaseAnswer>>(
    own: &str,
    app: &App,
    ticket: &Ticket,
    mut request: LeaseRequest,
) -> Result<Response, Refusal> {
    // Where there is no room for an answer of so many uploads of one file, no more is leased than has room in any case.
    let jobs = usize::try_from(request.max_jobs.min(MAX_LEASED_JOBS)).unwrap_or(usize::MAX);
    if !app.callers.has_room_for_answer(&ticket.account, jobs.saturating_mul(UPLOAD_BYTES)) {
        let fitting = (app.bounds.answers.always / UPLOAD_BYTES).max(1);
        request.max_jobs = request.max_jobs.min(u32::try_from(fitting).unwrap_or(u32::MAX));
    }
    // Dropping the rule's future hands back what it may have leased meanwhile.
    let leased =
        app.stop.run_until_cancelled(app.queue.lease(own, request)).await.unwrap_or_else(|| Ok(Default::default()))?;
    let bytes = leased.uploads.iter().map(bytes_of).sum();
    let ready = async {
        // It has waited for them.
        if !leased.uploads.is_empty() {
            ticket.still_holds(app).await?;
        }
        let room = ticket.reserve_some(app, bytes).await?;
        Ok((room, app.storage.signer().await.map_err(Refusal::fault)?))
    };
    let (room, signer) = match ready.await {
        Ok(ready) => ready,
        Err(refusal) => {
            // What the node is not told of would be nobody's until its time is over.
            app.queue.take_back(own, &leased).await;
            return Err(refusal);
        }
    };
    let Leased { uploads, lease_ms, describe, lacks } = leased;
    let (uploads, beyond) = fitting(uploads, room.held());
    if !beyond.is_empty() {
        let nothing_fits = uploads.is_empty();
        app.queue.take_back(own, &Leased { uploads: beyond, ..Leased::default() }).await;
        if nothing_fits {
            return Err(no_room_for_answer());
        }
    }
    let uploads = uploads.into_iter().map(|work| sign_work(&signer, work)).collect::<Result<_, _>>()?;
    ticket.answer(room, &A::from(LeaseAnswer { uploads, lease_ms, describe, lacks }))
}

/// What an answer takes for this.
fn bytes_of(work: &LeasedUploadWork) -> usize {
    (1 + work.chunks.len().min(FIRST_CHUNKS)) * URL_BYTES + work.spans.len() * SPAN_BYTES
}

/// What of leased work fits into so many bytes, and what does not. Chunks that do not fit are left out: a node asks for them when it
/// comes to them.
fn fitting(leased: Vec<LeasedUploadWork>, bytes: usize) -> (Vec<LeasedUploadWork>, Vec<LeasedUploadWork>) {
    let (mut within, mut beyond, mut left) = (Vec::with_capacity(leased.len()), Vec::new(), bytes);
    for mut work in leased {
        if bytes_of(&work) > left {
            let least = (1 + work.chunks.len().min(1)) * URL_BYTES;
            let spans = left.saturating_sub(least) / SPAN_BYTES;
            if spans < work.spans.len() {
                let spans = work.spans.split_off(spans);
                beyond.push(LeasedUploadWork { spans, chunks: Vec::new(), ..work.clone() });
            }
            if work.spans.is_empty() {
                continue;
            }
            work.chunks.truncate((left - work.spans.len() * SPAN_BYTES) / URL_BYTES - 1);
        }
        left -= bytes_of(&work);
        within.push(work);
    }
    (within, beyond)
}

/// Signs GETs of an upload's stored chunks, waiting for the first of them up to the time asked; empty when it did not
/// come, or the server stops.
///
/// Scope `processor`, and only under a lease that holds, in the token's pool.
#[utoipa::path(
    post,
    path = paths::LEASE_CHUNKS,
    tag = "leases",
    request_body = ChunksRequest,
    responses((status = OK, body = ChunksAnswer)),
)]
pub(in crate::http) async fn chunks(
    own: Processor<Polls>,
    State(app): State<App>,
    ticket: Ticket,
    body: JsonBody<ChunksRequest, Small>,
) -> Result<Json<ChunksAnswer>, Refusal> {
    chunks_of(&own, &app, &ticket, body.value).await
}

/// The same, in whichever version it was asked.
pub(in crate::http) async fn chunks_of(
    own: &str,
    app: &App,
    ticket: &Ticket,
    request: ChunksRequest,
) -> Result<Json<ChunksAnswer>, Refusal> {
    let stored =
        app.stop.run_until_cancelled(app.queue.lease_chunks(own, request)).await.unwrap_or_else(|| Ok(Vec::new()))?;
    if !stored.is_empty() {
        // It has waited for them.
        ticket.still_holds(app).await?;
    }
    let signer = app.storage.signer().await.map_err(Refusal::fault)?;
    Ok(Json(ChunksAnswer { chunks: sign_chunks(&signer, &stored)? }))
}

/// Prolongs the node's leases and records what they are doing; says which to stop working on.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::LEASE_REPORT,
    tag = "leases",
    request_body = ReportRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(in crate::http) async fn report(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<ReportRequest, Medium>,
) -> Result<Json<ReportAnswer>, Refusal> {
    let request = body.value;
    Ok(Json(app.queue.report(&own, request).await?))
}

/// Ends leases; what is not completed in them goes to others, without blame.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::LEASE_RETURN,
    tag = "leases",
    request_body = ReturnRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(in crate::http) async fn give_back(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<ReturnRequest, Medium>,
) -> Result<Json<ReportAnswer>, Refusal> {
    let request = body.value;
    Ok(Json(app.queue.give_back(&own, request).await?))
}

/// Ends a lease because stored chunks are not there, or not what they should be; its jobs wait for the uploader to send
/// them again.
///
/// Scope `processor`; a lease counts only with its fence, and in the token's pool.
#[utoipa::path(
    post,
    path = paths::LEASE_MISSING,
    tag = "leases",
    request_body = MissingRequest,
    responses((status = OK, body = ReportAnswer)),
)]
pub(in crate::http) async fn missing(
    own: Processor<Reports>,
    State(app): State<App>,
    body: JsonBody<MissingRequest, Small>,
) -> Result<Json<ReportAnswer>, Refusal> {
    let request = body.value;
    Ok(Json(app.queue.missing(&own, request).await?))
}

fn sign_work(signer: &Signer, work: LeasedUploadWork) -> Result<LeasedUpload, ErrorBody> {
    let first = work.chunks.get(..FIRST_CHUNKS).unwrap_or(&work.chunks);
    Ok(LeasedUpload {
        header: get(signer, &work.header)?,
        chunks: sign_chunks(signer, first)?,
        upload: work.upload,
        chunks_expected: work.chunks_expected,
        spans: work.spans,
    })
}

fn sign_chunks(signer: &Signer, chunks: &[(u32, Object)]) -> Result<Vec<ChunkUrl>, ErrorBody> {
    chunks.iter().map(|(sequence, object)| Ok(ChunkUrl { sequence: *sequence, get: get(signer, object)? })).collect()
}

#[cfg(test)]
mod tests {
    use filemill_api::LeasedSpan;

    use super::*;
    use crate::storage::ObjectKey;

    fn work(number: u8, chunks: u32, spans: i64) -> LeasedUploadWork {
        let (id, sha256) = (format!("{number:032x}"), "0".repeat(64));
        let object = |key: ObjectKey| Object { key, length: 1, sha256: sha256.clone() };
        let chunk = |sequence| (sequence, object(ObjectKey::chunk(&id, sequence, &sha256).unwrap()));
        let span = |span| LeasedSpan {
            span,
            fence: 1,
            release: String::new(),
            jobs: vec![0],
            first_chunk: 0,
            last_chunk: 0,
            attempt: 1,
            alone: false,
        };
        LeasedUploadWork {
            upload: id.clone(),
            header: object(ObjectKey::header(&id, &sha256).unwrap()),
            chunks: (0..chunks).map(chunk).collect(),
            chunks_expected: chunks,
            spans: (0..spans).map(span).collect(),
        }
    }

    /// (upload, chunks, spans) each.
    fn shape(leased: &[LeasedUploadWork]) -> Vec<(String, usize, usize)> {
        let last = |id: &str| id.trim_start_matches('0').to_owned();
        leased.iter().map(|work| (last(&work.upload), work.chunks.len(), work.spans.len())).collect()
    }

    #[test]
    fn as_much_of_a_lease_is_told_as_there_is_room_for_and_the_rest_goes_back() {
        let all = vec![work(1, 1, 1), work(2, 64, 100), work(3, 1, 1)];
        let bytes: usize = all.iter().map(bytes_of).sum();
        let one = |id: &str, chunks, runs| (id.to_owned(), chunks, runs);
        let tell = |bytes| {
            let (within, beyond) = fitting(all.clone(), bytes);
            assert!(within.iter().map(bytes_of).sum::<usize>() <= bytes);
            let spans = within.iter().chain(&beyond).map(|work| work.spans.len()).sum::<usize>();
            assert_eq!(spans, 102, "every span is told of or goes back");
            assert!(within.iter().all(|work| !work.spans.is_empty() && !work.chunks.is_empty()));
            (shape(&within), shape(&beyond))
        };
        assert_eq!(tell(bytes), (shape(&all), vec![]));
        assert_eq!(tell(60 << 10), (vec![one("1", 1, 1), one("2", 6, 100)], vec![one("3", 0, 1)]));
        assert_eq!(tell(10 << 10), (vec![one("1", 1, 1), one("2", 1, 11)], vec![one("2", 0, 89), one("3", 0, 1)]));
        assert_eq!(tell(0), (vec![], vec![one("1", 0, 1), one("2", 0, 100), one("3", 0, 1)]));
    }

    #[test]
    fn what_nothing_is_stored_of_takes_the_room_of_its_header() {
        let (within, beyond) = fitting(vec![work(1, 0, 1)], URL_BYTES + SPAN_BYTES);
        assert_eq!((within.len(), beyond.len()), (1, 0));
    }
}
