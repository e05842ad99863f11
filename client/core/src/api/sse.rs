//! Server-sent events (the WHATWG HTML standard, §9.2), as far as pages of events need them.

use std::time::Duration;

use filemill_api::{EventPage, v1};
use filemill_transport::describe;
use reqwest::Response;

use super::asking::ANSWER_MAX_BYTES;
use super::majors::{Major, page_of_v1};
use crate::error::{Error, NoAnswer};

/// A stream on which nothing comes for this long, not even a comment, is dead.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Pages of events, as the server streams them.
pub(crate) struct EventStream {
    response: Response,
    parser: Parser,
    server: String,
    major: Major,
}

impl EventStream {
    pub(super) fn new(response: Response, server: String, major: Major) -> Self {
        Self { response, parser: Parser::new(ANSWER_MAX_BYTES), server, major }
    }

    /// The next page; `None` when the server ended the stream. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] if the connection broke, [`Error::Protocol`] if a page is too long or is not one: ask for
    /// pages instead.
    pub(crate) async fn next(&mut self) -> Result<Option<EventPage>, Error> {
        loop {
            while let Some(event) = self.parser.next_event() {
                if event.name == "page" {
                    return self
                        .page(&event.data)
                        .map(Some)
                        .map_err(|error| Error::Protocol { server: self.server.clone(), detail: error.to_string() });
                }
            }
            let part = tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await;
            let part = part.map_err(|_| self.unreachable("its stream of events fell silent".to_owned()))?;
            let Some(part) = part.map_err(|error| self.unreachable(describe(error)))? else {
                return Ok(None);
            };
            self.parser.feed(&part).map_err(|TooLong| Error::Protocol {
                server: self.server.clone(),
                detail: "a page of events is longer than 32 MiB".to_owned(),
            })?;
        }
    }

    fn page(&self, data: &str) -> serde_json::Result<EventPage> {
        match self.major {
            Major::Two => serde_json::from_str(data),
            Major::One => serde_json::from_str::<v1::EventPage>(data).map(page_of_v1),
        }
    }

    fn unreachable(&self, detail: String) -> Error {
        Error::Unreachable { server: self.server.clone(), why: NoAnswer::Unreached(detail) }
    }
}

/// One event. Ids are of no use here: a page carries its own cursor.
#[derive(Debug, PartialEq, Eq)]
struct SseEvent {
    name: String,
    data: String,
}

#[derive(Debug)]
struct TooLong;

/// Takes bytes as they come, and never holds more than `bound` of them.
struct Parser {
    bound: usize,
    /// What is not a whole line yet begins at `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Where to look for the next line feed: what lies before was looked at.
    scanned: usize,
    name: String,
    data: String,
    has_data: bool,
}

impl Parser {
    fn new(bound: usize) -> Self {
        Self {
            bound,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            name: String::new(),
            data: String::new(),
            has_data: false,
        }
    }

    fn feed(&mut self, part: &[u8]) -> Result<(), TooLong> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.len() + self.data.len() + part.len() > self.bound {
            return Err(TooLong);
        }
        self.buffer.extend_from_slice(part);
        Ok(())
    }

    /// The next event that is there as a whole.
    fn next_event(&mut self) -> Option<SseEvent> {
        loop {
            let Some(length) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.buffer.len();
                return None;
            };
            let (from, to) = (self.start, self.scanned + length);
            self.start = to + 1;
            self.scanned = to + 1;
            // The standard also allows a lone carriage return, which no JSON on one line and no server in use sends.
            let line = self.buffer[from..to].strip_suffix(b"\r").unwrap_or(&self.buffer[from..to]);
            if line.is_empty() {
                let name = std::mem::take(&mut self.name);
                let data = std::mem::take(&mut self.data);
                if std::mem::take(&mut self.has_data) {
                    return Some(SseEvent { name: if name.is_empty() { "message".to_owned() } else { name }, data });
                }
                continue;
            }
            let (field, value) = match line.iter().position(|byte| *byte == b':') {
                Some(colon) => (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..])),
                None => (line, &[][..]),
            };
            match field {
                b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
                b"data" => {
                    if std::mem::replace(&mut self.has_data, true) {
                        self.data.push('\n');
                    }
                    self.data.push_str(&String::from_utf8_lossy(value));
                }
                // Comments, ids and fields that are not known.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parts: &[&str]) -> Vec<(String, String)> {
        let mut parser = Parser::new(1000);
        let mut events = Vec::new();
        for part in parts {
            parser.feed(part.as_bytes()).unwrap();
            while let Some(event) = parser.next_event() {
                events.push((event.name, event.data));
            }
        }
        events
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        let text =
            ": hello\n\nevent: page\nid: 7\ndata: {\"a\":1}\n\ndata:x\r\ndata: y\r\n\r\nevent: page\n\ndata: z\n";
        let expected = vec![event("page", "{\"a\":1}"), event("message", "x\ny")];
        assert_eq!(parse(&[text]), expected);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(parse(&bytes.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_stream_without_end_is_refused() {
        let mut parser = Parser::new(100);
        parser.feed(&[b'x'; 60]).unwrap();
        assert!(parser.next_event().is_none());
        assert!(parser.feed(&[b'x'; 60]).is_err());

        let mut parser = Parser::new(100);
        let endless = (0..100).try_for_each(|_| {
            parser.feed(b"data: 0123456789\n")?;
            assert!(parser.next_event().is_none());
            Ok::<_, TooLong>(())
        });
        assert!(endless.is_err());
    }
}
