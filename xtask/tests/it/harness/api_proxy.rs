//! A hostile server: a proxy before the real one that changes its answers, and records what was said.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::stream::{self, Stream};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Request, Response};
use serde_json::Value;

use super::proxy::{Answer, Proxy, client, passed_on};

/// One call, as the caller made it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Without the query, as version 2 names it: a part of an earlier release asks for the same by the same name in version 1.
    pub(crate) path: String,
    /// Null if there was none.
    pub(crate) asked: Value,
}

/// A call with an answer of the real server's (one page of it, for a stream of events), before it was twisted.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) call: Call,
    pub(crate) answer: Value,
}

/// Changes an answer.
type Twist = Box<dyn FnMut(&Call, &mut Value) + Send>;

/// The proxy.
pub(crate) struct ApiProxy {
    proxy: Proxy,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    client: reqwest::Client,
    /// The storage's own origin, and the one that is named instead.
    storage: (String, String),
    twist: Mutex<Option<Twist>>,
    heard: Mutex<Vec<Heard>>,
}

impl ApiProxy {
    /// A proxy before `server` in whose answers `storage.0` is replaced by `storage.1`, and nothing else at first.
    pub(crate) fn start(server: &str, storage: (&str, &str)) -> Result<Self> {
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            client: client()?,
            storage: (storage.0.to_owned(), storage.1.to_owned()),
            twist: Mutex::default(),
            heard: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let proxy = Proxy::start(move |request| answer(Arc::clone(&served), request))?;
        Ok(Self { proxy, shared })
    }

    pub(crate) fn origin(&self) -> String {
        self.proxy.origin()
    }

    /// From now on changes answers so.
    pub(crate) fn twist(&self, twist: impl FnMut(&Call, &mut Value) + Send + 'static) {
        *lock(&self.shared.twist) = Some(Box::new(twist));
    }

    /// From now on changes nothing any more.
    pub(crate) fn untwist(&self) {
        *lock(&self.shared.twist) = None;
    }

    /// Every call of `path` that was answered so far.
    pub(crate) fn heard(&self, path: &str) -> Vec<Heard> {
        let heard = lock(&self.shared.heard);
        heard.iter().filter(|one| one.call.path == path).cloned().collect()
    }
}

impl Shared {
    fn changed(&self, call: &Call, text: &str) -> Result<String> {
        let text = text.replace(&self.storage.0, &self.storage.1);
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
            return Ok(text);
        };
        lock(&self.heard).push(Heard { call: call.clone(), answer: value.clone() });
        if let Some(twist) = &mut *lock(&self.twist) {
            twist(call, &mut value);
        }
        Ok(serde_json::to_string(&value)?)
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let url = format!("{}{}", shared.server, head.uri.path_and_query().map_or("/", |path| path.as_str()));
    let body = reqwest::Response::from(Response::new(reqwest::Body::wrap(body))).bytes().await?;
    let path = match head.uri.path().strip_prefix("/v1/") {
        Some(call) => format!("/v2/{call}"),
        None => head.uri.path().to_owned(),
    };
    let call = Call { path, asked: serde_json::from_slice(&body).unwrap_or_default() };
    let mut headers = passed_on(&head.headers);
    headers.remove(CONTENT_LENGTH);
    let asked = shared.client.request(head.method, url).headers(headers).body(body);
    let real = asked.send().await.context("the server does not answer")?;
    let (mut head, body) = Response::<reqwest::Body>::from(real).into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_stream = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
    let real = reqwest::Response::from(Response::new(body));
    let body = if is_stream {
        reqwest::Body::wrap_stream(events(shared, call, real))
    } else {
        let text = real.text().await?;
        shared.changed(&call, &text)?.into()
    };
    Ok(Response::from_parts(head, body))
}

/// Server-sent events, each changed as a whole.
fn events(shared: Arc<Shared>, call: Call, real: reqwest::Response) -> impl Stream<Item = Result<Bytes>> {
    let start = (shared, call, real, Vec::new());
    stream::try_unfold(start, |(shared, call, mut real, mut seen)| async move {
        loop {
            if let Some(end) = seen.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = seen.drain(..end + 2).collect();
                let event = one_event(&shared, &call, &String::from_utf8_lossy(&event))?;
                return Ok(Some((Bytes::from(event), (shared, call, real, seen))));
            }
            match real.chunk().await? {
                Some(more) => seen.extend_from_slice(&more),
                None => return Ok(None),
            }
        }
    })
}

/// One event of a stream, its `data` changed.
fn one_event(shared: &Shared, call: &Call, event: &str) -> Result<String> {
    let mut changed = String::new();
    for line in event.trim_end().lines() {
        match line.strip_prefix("data:") {
            Some(data) => {
                changed.push_str("data: ");
                changed.push_str(&shared.changed(call, data.trim_start())?);
            }
            None => changed.push_str(line),
        }
        changed.push('\n');
    }
    Ok(changed + "\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
