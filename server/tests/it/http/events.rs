//! The stream of events: complete, resumable, and at its end when the server stops.

use filemill_api::{CancelRequest, Cancelled, EventKind, EventPage, Outcome, paths};
use reqwest::{Response, StatusCode};

use super::{LIMIT, Mill, one, problem};

/// Reads messages of a stream.
struct Reader {
    response: Response,
    buffer: String,
}

impl Reader {
    async fn open(mill: &Mill, last: Option<i64>) -> Self {
        let mut request = mill.http.get(mill.url(paths::EVENT_STREAM)).bearer_auth(&mill.user);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next page; none at the end.
    async fn page(&mut self) -> Option<EventPage> {
        loop {
            if let Some((message, rest)) = self.buffer.split_once("\n\n") {
                let message = message.to_owned();
                self.buffer = rest.to_owned();
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                let Some(data) = field("data") else { continue };
                assert_eq!(field("event"), Some("page"));
                let page: EventPage = serde_json::from_str(data).unwrap();
                assert_eq!(field("id"), Some(page.next.to_string().as_str()));
                return Some(page);
            }
            let piece =
                tokio::time::timeout(LIMIT, self.response.chunk()).await.expect("a message or the end").unwrap()?;
            self.buffer += std::str::from_utf8(&piece).unwrap();
        }
    }
}

/// Makes events: an upload that is cancelled.
async fn cancelled(mill: &Mill, id: u8) -> String {
    let sample = mill.upload(id);
    mill.open(&sample.open).await;
    let request = CancelRequest { uploads: vec![sample.open.id.clone()] };
    let answer: Cancelled = mill.ask(&mill.user, paths::CANCEL, &request).await;
    assert_eq!(one(answer.uploads).into_result().unwrap(), 1);
    sample.open.id
}

#[tokio::test]
async fn a_stream_tells_what_was_and_what_comes_and_resumes_without_gap_or_repeat() {
    let mill = Mill::start().await;
    let first = cancelled(&mill, 1).await;
    let mut reader = Reader::open(&mill, None).await;
    let page = reader.page().await.unwrap();
    let event = &page.events[0];
    assert_eq!(event.upload, first);
    assert_eq!(event.kind, EventKind::Result { index: 0, outcome: Outcome::Cancelled, sealed: None });

    let second = cancelled(&mill, 2).await;
    let live = reader.page().await.unwrap();
    assert_eq!(live.events[0].upload, second);
    assert!(live.events[0].cursor > event.cursor);
    drop(reader);

    // Meanwhile one more; the stream goes on behind what was seen.
    let third = cancelled(&mill, 3).await;
    let mut resumed = Reader::open(&mill, Some(live.next)).await;
    assert_eq!(one(resumed.page().await.unwrap().events).upload, third);
    let mut middle = Reader::open(&mill, Some(event.cursor)).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(middle.page().await.unwrap().events.into_iter().map(|event| event.upload));
    }
    assert_eq!(seen, [second, third]);

    let bad = mill.http.get(mill.url(paths::EVENT_STREAM)).bearer_auth(&mill.user).header("last-event-id", "x");
    problem(bad.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    drop((resumed, middle));
    mill.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let mill = Mill::start().await;
    let mut reader = Reader::open(&mill, None).await;
    let Mill { server, admin, dir, .. } = mill;
    let begin = std::time::Instant::now();
    let (end, ()) = tokio::join!(reader.page(), server.shutdown());
    assert_eq!(end, None);
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "it waited for the stream's reader");
    admin.close().await;
    drop(dir);
}
