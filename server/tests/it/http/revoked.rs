//! A token that was revoked gets and does nothing any more, also by requests that began before.

use bytes::Bytes;
use filemill_api::{AdvanceUpload, CancelRequest, Cancelled, ChunksAnswer, ChunksRequest, EventPage, SpanKey, paths};
use filemill_server::accounts::Scope;
use futures::StreamExt;
use futures::channel::mpsc;
use reqwest::StatusCode;

use super::{LIMIT, Mill, POOL, lease_request, problem, until, want};

impl Mill {
    async fn token_to_revoke(&self, scope: Scope) -> (i64, String) {
        let pool = (scope == Scope::Processor).then_some(POOL);
        let made = self.admin.create_token("acme", "alice", scope, pool).await.unwrap();
        // From now on the server takes it for good for a moment: what begins soon is let in, however the test's parts overtake each other.
        assert_eq!(self.get(&made.text, paths::WHOAMI).await.status(), StatusCode::OK);
        (made.id, made.text)
    }

    /// Revokes it, and waits until the server knows.
    async fn revoke(&self, (id, text): &(i64, String)) {
        assert!(self.admin.revoke_token(*id).await.unwrap().is_some());
        until("the revoked token is refused", async || {
            self.get(text, paths::WHOAMI).await.status() == StatusCode::UNAUTHORIZED
        })
        .await;
    }
}

#[tokio::test]
async fn no_work_comes_to_a_processor_that_was_revoked_while_it_waited() {
    let mill = Mill::start().await;
    let revoked = mill.token_to_revoke(Scope::Processor).await;
    let poll = mill.http.post(mill.url(paths::LEASES)).bearer_auth(&revoked.1).json(&lease_request(15_000));
    let poll = tokio::spawn(async move { poll.send().await.unwrap() });
    mill.revoke(&revoked).await;
    mill.send(&mill.upload(1)).await;
    problem(poll.await.unwrap(), StatusCode::UNAUTHORIZED).await;
    // It is another's at once, and untried.
    let leased = mill.lease(5_000).await;
    assert_eq!((leased.uploads.len(), leased.uploads[0].spans[0].attempt), (1, 1));
    mill.stop().await;
}

#[tokio::test]
async fn no_chunk_comes_to_a_processor_that_was_revoked_while_it_waited() {
    let mill = Mill::start().await;
    let revoked = mill.token_to_revoke(Scope::Processor).await;
    let mut sample = mill.upload(1);
    // Of two chunks the second is not there yet.
    sample.open.chunks = 2;
    sample.open.files[0].last_chunk = 1;
    mill.send(&sample).await;
    let leased = mill.lease(5_000).await;
    let run = &leased.uploads[0].spans[0];
    let lease = SpanKey { span: run.span, fence: run.fence };
    let request = ChunksRequest { lease, from: 1, count: 1, wait_ms: 15_000 };
    let ask = |token: &str| mill.http.post(mill.url(paths::LEASE_CHUNKS)).bearer_auth(token).json(&request);
    let (poll, allowed) = (ask(&revoked.1), ask(&mill.processor));
    let poll = tokio::spawn(async move { poll.send().await.unwrap() });
    let allowed = tokio::spawn(async move { allowed.send().await.unwrap() });
    mill.revoke(&revoked).await;
    let second = AdvanceUpload {
        id: sample.open.id.clone(),
        header_stored: true,
        stored: Vec::new(),
        want: vec![want(1, b"the second chunk")],
    };
    let advanced = mill.advance(second.clone()).await;
    assert_eq!(mill.put(&advanced.chunks[0], b"the second chunk".to_vec()).await.status(), StatusCode::OK);
    mill.advance(AdvanceUpload { stored: second.want, want: Vec::new(), ..second }).await;
    problem(poll.await.unwrap(), StatusCode::UNAUTHORIZED).await;
    let stored: ChunksAnswer = super::ok(allowed.await.unwrap()).await;
    assert_eq!(stored.chunks.len(), 1);
    mill.stop().await;
}

#[tokio::test]
async fn a_body_that_ends_after_its_token_was_revoked_does_nothing() {
    let mill = Mill::start().await;
    let revoked = mill.token_to_revoke(Scope::User).await;
    let sample = mill.upload(1);
    let body = serde_json::to_vec(&serde_json::json!({ "uploads": [sample.open] })).unwrap();
    let (first, second) = body.split_at(body.len() / 2);
    let (pieces, body) = mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    pieces.unbounded_send(Ok(Bytes::copy_from_slice(first))).unwrap();
    let request = mill.http.post(mill.url(paths::UPLOADS)).bearer_auth(&revoked.1);
    let request = request.header("content-type", "application/json").body(reqwest::Body::wrap_stream(body));
    let answer = tokio::spawn(async move { request.send().await.unwrap() });
    mill.revoke(&revoked).await;
    pieces.unbounded_send(Ok(Bytes::copy_from_slice(second))).unwrap();
    drop(pieces);
    problem(answer.await.unwrap(), StatusCode::UNAUTHORIZED).await;
    let path = paths::UPLOAD.replace("{upload}", &sample.open.id);
    assert_eq!(mill.get(&mill.user, &path).await.status(), StatusCode::NOT_FOUND);
    mill.stop().await;
}

#[tokio::test]
async fn no_event_comes_by_a_stream_whose_token_was_revoked() {
    let mill = Mill::start().await;
    let revoked = mill.token_to_revoke(Scope::User).await;
    let stream = mill.get(&revoked.1, paths::EVENT_STREAM).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let mut stream = stream.bytes_stream();
    mill.revoke(&revoked).await;
    // The same member's, who is told by another token.
    let sample = mill.upload(1);
    mill.send(&sample).await;
    let cancel = CancelRequest { uploads: vec![sample.open.id.clone()] };
    let cancelled: Cancelled = mill.ask(&mill.user, paths::CANCEL, &cancel).await;
    assert_eq!(cancelled.uploads.len(), 1);
    until("there is an event", async || {
        let page: EventPage = super::ok(mill.get(&mill.user, paths::EVENTS).await).await;
        !page.events.is_empty()
    })
    .await;
    let told = async {
        let mut told = Vec::new();
        while let Some(Ok(piece)) = stream.next().await {
            told.extend_from_slice(&piece);
        }
        told
    };
    let told = tokio::time::timeout(LIMIT, told).await.expect("the stream ends");
    assert!(!String::from_utf8_lossy(&told).contains("event: page"));
    mill.stop().await;
}
