//! Storage as it may be: slow, failing, cut off, lying. A proxy before the embedded S3 that records what goes through.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::stream;
use hyper::body::{Body as _, Incoming};
use hyper::{Method, Request, Response};
use tokio::sync::watch;
use tokio::time::Instant;

use super::proxy::{Answer, Proxy, client, passed_on};

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    Header { upload: String },
    Chunk { upload: String, sequence: u32 },
    Component,
    Result,
    Other,
}

/// A request, as a rule sees it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) object: Object,
}

/// What becomes of a request.
pub(crate) enum Deed {
    /// Storage answers it.
    Pass,
    /// It is refused with this status, as S3 does: 503 when it is asked too much, 403 when the URL has expired.
    Refuse(u16),
    /// The connection is cut in the middle of the body.
    Cut,
    /// It waits until there is another rule, which decides.
    Hold,
    /// Storage answers it, with another body.
    Alter(fn(Vec<u8>) -> Vec<u8>),
}

/// Decides over each request.
type Rule = Arc<dyn Fn(&Asked) -> Deed + Send + Sync>;

/// A request that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) asked: Asked,
    pub(crate) status: u16,
}

/// The proxy.
pub(crate) struct StorageProxy {
    proxy: Proxy,
    shared: Arc<Shared>,
}

struct Shared {
    storage: String,
    client: reqwest::Client,
    rule: watch::Sender<Rule>,
    answered: Mutex<Vec<Answered>>,
    uplink: Mutex<Uplink>,
}

/// A link of limited speed that all uploads share.
#[derive(Default)]
struct Uplink {
    bytes_per_second: Option<u32>,
    free_at: Option<Instant>,
}

impl StorageProxy {
    /// A proxy before the storage whose origin is `storage`; at first everything passes.
    pub(crate) fn start(storage: &str) -> Result<Self> {
        let pass: Rule = Arc::new(|_| Deed::Pass);
        let shared = Arc::new(Shared {
            storage: storage.to_owned(),
            client: client()?,
            rule: watch::Sender::new(pass),
            answered: Mutex::default(),
            uplink: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let proxy = Proxy::start(move |request| answer(Arc::clone(&served), request))?;
        Ok(Self { proxy, shared })
    }

    pub(crate) fn origin(&self) -> String {
        self.proxy.origin()
    }

    /// From now on `rule` decides, also over what an earlier one holds.
    pub(crate) fn rule(&self, rule: impl Fn(&Asked) -> Deed + Send + Sync + 'static) {
        self.shared.rule.send_replace(Arc::new(rule));
    }

    /// Everything passes again.
    pub(crate) fn pass(&self) {
        self.rule(|_| Deed::Pass);
    }

    /// Bodies of PUTs together take this long from now on.
    pub(crate) fn limit_uplink(&self, bytes_per_second: u32) {
        lock(&self.shared.uplink).bytes_per_second = Some(bytes_per_second);
    }

    /// Every request that was answered so far, in order.
    pub(crate) fn answered(&self) -> Vec<Answered> {
        lock(&self.shared.answered).clone()
    }

    /// The chunks that storage has confirmed, in the order of that: one that was sent twice is there twice.
    pub(crate) fn stored_chunks(&self) -> Vec<Object> {
        let stored = |one: &Answered| one.asked.method == Method::PUT && one.status == 200;
        let chunks = self.answered().into_iter().filter(stored).map(|one| one.asked.object);
        chunks.filter(|object| matches!(object, Object::Chunk { .. })).collect()
    }
}

impl Asked {
    /// Whether it is a chunk's PUT.
    pub(crate) fn is_chunk_put(&self) -> bool {
        self.method == Method::PUT && self.sequence().is_some()
    }

    /// Whether it is a result's GET.
    pub(crate) fn is_result_get(&self) -> bool {
        self.method == Method::GET && self.object == Object::Result
    }

    /// A chunk's sequence number.
    pub(crate) fn sequence(&self) -> Option<u32> {
        match self.object {
            Object::Chunk { sequence, .. } => Some(sequence),
            _ => None,
        }
    }
}

impl Object {
    fn of_path(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/').skip(1); // the bucket
        match (parts.next(), parts.next(), parts.next()) {
            (Some("uploads"), Some(upload), Some("header")) => Self::Header { upload: upload.into() },
            (Some("uploads"), Some(upload), Some(sequence)) => {
                sequence.parse().map_or(Self::Other, |sequence| Self::Chunk { upload: upload.into(), sequence })
            }
            (Some("releases"), Some(_), None) => Self::Component,
            (Some("results"), Some(_), Some(_)) => Self::Result,
            _ => Self::Other,
        }
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let asked = Asked { method: request.method().clone(), object: Object::of_path(request.uri().path()) };
    let mut rules = shared.rule.subscribe();
    let deed = loop {
        let rule = Arc::clone(&rules.borrow_and_update());
        match rule(&asked) {
            Deed::Hold => rules.changed().await.context("the test has ended")?,
            deed => break deed,
        }
    };
    let answer = match deed {
        Deed::Pass | Deed::Hold => pass(&shared, &asked, request).await?,
        Deed::Refuse(status) => refusal(status)?,
        Deed::Cut => cut(&shared, &asked, request).await?,
        Deed::Alter(alter) => {
            let (mut head, body) = whole(&shared, &asked, request).await?;
            head.headers.remove("content-length");
            Response::from_parts(head, alter(body.into()).into())
        }
    };
    let status = answer.status().as_u16();
    lock(&shared.answered).push(Answered { asked, status });
    Ok(answer)
}

fn refusal(status: u16) -> Answer {
    let (code, message) = match status {
        403 => ("AccessDenied", "Request has expired"),
        _ => ("SlowDown", "Please reduce your request rate."),
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let head = Response::builder().status(status).header("content-type", "application/xml");
    Ok(head.body(body.into())?)
}

/// Passes a request on, and its answer back while it comes in.
async fn pass(shared: &Arc<Shared>, asked: &Asked, request: Request<Incoming>) -> Answer {
    let url = format!("{}{}", shared.storage, request.uri().path_and_query().map_or("/", |path| path.as_str()));
    let headers = passed_on(request.headers());
    let mut behind = shared.client.request(asked.method.clone(), url).headers(headers);
    if asked.method == Method::PUT {
        behind = behind.body(reqwest::Body::wrap_stream(uplink(Arc::clone(shared), request.into_body())));
    }
    let answer = behind.send().await.context("storage does not answer")?;
    Ok(Response::from(answer))
}

/// As [`pass`], with the whole body of the answer in hand.
async fn whole(
    shared: &Arc<Shared>,
    asked: &Asked,
    request: Request<Incoming>,
) -> Result<(hyper::http::response::Parts, Bytes)> {
    let (head, body) = pass(shared, asked, request).await?.into_parts();
    let answer = reqwest::Response::from(Response::from_parts(head.clone(), body));
    Ok((head, answer.bytes().await?))
}

/// Ends the connection in the middle of whichever body there is.
async fn cut(shared: &Arc<Shared>, asked: &Asked, mut request: Request<Incoming>) -> Answer {
    if asked.method == Method::PUT {
        frame(request.body_mut()).await?;
        bail!("cut while a body came in");
    }
    let (head, body) = whole(shared, asked, request).await?;
    let half = body.slice(..body.len() / 2);
    let parts = [Ok(half), Err(std::io::Error::other("cut"))];
    Ok(Response::from_parts(head, reqwest::Body::wrap_stream(stream::iter(parts))))
}

/// The frames of an upload's body, as fast as the link lets them through.
fn uplink(shared: Arc<Shared>, body: Incoming) -> impl stream::Stream<Item = Result<Bytes>> {
    stream::try_unfold((shared, body), |(shared, mut body)| async move {
        let Some(data) = frame(&mut body).await? else {
            return Ok(None);
        };
        let until = lock(&shared.uplink).take(data.len());
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
        Ok(Some((data, (shared, body))))
    })
}

async fn frame(body: &mut Incoming) -> Result<Option<Bytes>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

impl Uplink {
    /// Until when the link is busy with `bytes` more; none: it has no limit.
    fn take(&mut self, bytes: usize) -> Option<Instant> {
        let rate = f64::from(self.bytes_per_second?);
        let now = Instant::now();
        let begin = self.free_at.map_or(now, |free| free.max(now));
        let end = begin + Duration::from_secs_f64(bytes as f64 / rate);
        self.free_at = Some(end);
        Some(end)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
