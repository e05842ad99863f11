//! The stream of events: complete, resumable, and at its end when the server stops.

use filemill_api::{CancelRequest, Cancelled, EventKind, EventPage, JobOutcome, Outcome, paths};
use reqwest::{Response, StatusCode};

use super::{LIMIT, Mill, ok, one, problem};

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
                let mark = |mark: &String| format!("{}-{mark}", page.next);
                let id =
                    page.events.last().map_or_else(|| "0".to_owned(), |last| last.mark.as_ref().map(mark).unwrap());
                assert_eq!(field("id"), Some(id.as_str()));
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
    assert_eq!(
        event.kind,
        EventKind::Results { jobs: vec![JobOutcome { job: 0, outcome: Outcome::Cancelled }], sealed: None }
    );

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

#[tokio::test]
async fn a_stream_and_a_page_know_a_position_by_its_mark() {
    let mill = Mill::start().await;
    let (first, second) = (cancelled(&mill, 1).await, cancelled(&mill, 2).await);
    let page: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    let event = page.events[0].clone();
    let (cursor, mark) = (event.cursor, event.mark.clone().unwrap());
    assert_eq!((mark.len(), event.upload.as_str(), page.events.len()), (16, first.as_str(), 2));
    let ask = async |query: &str| -> EventPage {
        ok(mill.get(&mill.user, &format!("{}?{query}", paths::EVENTS)).await).await
    };
    let known = ask(&format!("after={cursor}&mark={mark}")).await;
    assert_eq!((one(known.events).upload, known.reset), (second.clone(), false));
    let foreign = ask(&format!("after={cursor}&mark=00000000000000ab")).await;
    assert!(ask(&format!("after={cursor}&mark=ffffffffffffffff")).await.reset, "any 16 hex digits are a mark");
    assert_eq!((foreign.events.len(), foreign.reset), (0, true));
    assert!(!ask(&format!("after={cursor}&mark=")).await.reset, "it does not know the mark");
    assert!(ask(&format!("after={}&mark=", i64::MAX)).await.reset);
    assert_eq!(ask(&format!("after={}", i64::MAX)).await.events.len(), 2, "silence for ever");
    for bad in ["x", "00000000000000000", "+0000000000000ab"] {
        problem(mill.get(&mill.user, &format!("{}?after=1&mark={bad}", paths::EVENTS)).await, StatusCode::BAD_REQUEST)
            .await;
    }

    let stream = async |id: String, query: &str| {
        let request = mill.http.get(mill.url(&format!("{}?{query}", paths::EVENT_STREAM))).bearer_auth(&mill.user);
        Reader { response: request.header("last-event-id", id).send().await.unwrap(), buffer: String::new() }
    };
    for (id, query) in [(format!("{cursor}-{mark}"), String::new()), (cursor.to_string(), format!("mark={mark}"))] {
        let mut reader = stream(id, &query).await;
        assert_eq!(one(reader.page().await.unwrap().events).upload, second);
    }
    for (id, query) in [(format!("{cursor}-00000000000000ab"), ""), (cursor.to_string(), "mark=00000000000000ab")] {
        let mut reader = stream(id, query).await;
        let page = reader.page().await.unwrap();
        assert!(page.reset && page.events.is_empty(), "{page:?}");
        assert_eq!(reader.page().await, None, "the stream ends with it");
    }
    mill.stop().await;
}
