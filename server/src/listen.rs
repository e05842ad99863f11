//! Accepts connections and serves them until asked to stop: the API and the embedded storage share it.
//!
//! Whoever says nothing, or takes nothing, is not waited for: `door` knows all connections and ends those whose time is over, `line`
//! counts what moves of each request and answer, `wire` what the socket takes. hyper has a deadline for the head of an HTTP/1 request
//! only: none before it knows the version, none for the HTTP/2 preface, none for writing.

mod door;
mod line;
mod pace;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::HttpBody;
use axum::http::{HeaderValue, Request, Response, Version, header};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use crate::bounds::Bounds;
use door::{Door, Entry};
use line::{Answer, Line};
use wire::Wire;

pub(crate) use line::{Exchange, Received};

/// Wait after the system has refused a connection (out of descriptors): nothing tells when that is over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest head of a request, and most of a body that is read at once.
const HEAD_BYTES: usize = 64 << 10;
/// Longest list of headers in HTTP/2.
const HEADERS_BYTES: u32 = 16 << 10;
/// How much of a body an HTTP/2 caller may send before it is read, of one request and of all on a connection.
/// What waits there for room, nobody has counted yet.
const WINDOW_BYTES: (u32, u32) = (64 << 10, 256 << 10);
/// How often an HTTP/2 connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// Ends the stream that a task serves.
    static CUT: CancellationToken;
}

/// Binds to `wanted`, and says where that is: port 0 is any.
pub(crate) async fn bind(wanted: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(wanted).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The connections of one listener, and how they end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    tasks: TaskTracker,
    /// No more connections; requests under way finish.
    stop: CancellationToken,
    /// The end of what has not finished.
    cut: CancellationToken,
}

impl Lane {
    /// Serves every connection with a clone of `service`, which finds its [`Exchange`] among a request's extensions.
    pub(crate) fn serve<S, B>(&self, listener: TcpListener, service: S, bounds: Bounds)
    where
        S: Service<Request<Received>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let door = Arc::new(Door::new(bounds));
        self.tasks.spawn(Arc::clone(&door).watch(self.stop.clone()));
        self.tasks.spawn(accept(listener, service, door, self.clone()));
    }

    /// Cancelled when requests should come to their end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Takes no more connections, lets requests under way finish until `deadline`, and cuts the rest. None is left when
    /// this returns.
    pub(crate) async fn drain(&self, deadline: Instant) {
        self.stop.cancel();
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "cut what did not finish in time");
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }

    /// Ends everything now, without waiting for it.
    pub(crate) fn cut(&self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

async fn accept<S, B>(listener: TcpListener, service: S, door: Arc<Door>, lane: Lane)
where
    S: Service<Request<Received>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        let (stream, peer) = match lane.stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection was not accepted");
                if is_out_of_descriptors(&error) {
                    door.make_room();
                }
                if lane.stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await.is_none() {
                    break;
                }
                continue;
            }
        };
        let Some(entry) = lane.stop.run_until_cancelled(door.admit(peer.ip())).await else { break };
        let (service, lane_of_it, bounds) = (service.clone(), lane.clone(), door.bounds().clone());
        lane.tasks.spawn(async move {
            let line = Arc::clone(&entry.line);
            let served = connection(stream, service, &entry, &lane_of_it, &bounds);
            tokio::select! {
                // Nothing is begun of one that was ended before its turn came.
                biased;
                () = line.cut.cancelled() => {}
                // Its streams end with it.
                () = lane_of_it.cut.cancelled() => line.cut.cancel(),
                () = served => {}
            }
            // Before the place is free.
            line.cut.cancel();
        });
    }
}

#[cfg(unix)]
fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn is_out_of_descriptors(_: &std::io::Error) -> bool {
    false
}

async fn connection<S, B>(stream: TcpStream, service: S, entry: &Entry, lane: &Lane, bounds: &Bounds)
where
    S: Service<Request<Received>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let line = &entry.line;
    let mut builder = auto::Builder::new(Streams { line: Arc::clone(line), tasks: lane.tasks.clone() });
    // What comes, when and how fast, is watched by the door.
    builder.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES).auto_date_header(false);
    builder
        .http2()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(HEADERS_BYTES)
        .initial_stream_window_size(WINDOW_BYTES.0)
        .initial_connection_window_size(WINDOW_BYTES.1);
    let answering = service_fn(|request: Request<Incoming>| answer(request, service.clone(), Arc::clone(line)));
    let io = TokioIo::new(Wire::new(stream, Arc::clone(line)));
    let connection = builder.serve_connection(io, answering);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! { () = lane.stop.cancelled() => {}, () = line.close.cancelled() => {} } } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away is no fault of the server's.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Lets the service answer one request, and counts what moves.
async fn answer<S, B>(request: Request<Incoming>, service: S, line: Arc<Line>) -> Result<Response<Answer<B>>, S::Error>
where
    S: Service<Request<Received>, Response = Response<B>>,
{
    let cut = CUT.try_with(CancellationToken::clone).unwrap_or_else(|_| line.cut.clone());
    let exchange = Exchange::begin(&line, cut);
    let in_stream = request.version() == Version::HTTP_2;
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Arc::clone(&exchange));
    let request = Request::from_parts(parts, Received::new(body, Arc::clone(&exchange)));
    let mut response = service.oneshot(request).await?;
    exchange.answered();
    if let Some(date) = date(SystemTime::now()) {
        response.headers_mut().insert(header::DATE, date);
    }
    Ok(response.map(|body| Answer::new(body, exchange, in_stream)))
}

/// The header `Date` (RFC 9110, 6.6.1). hyper would set one, but keeps it until the clock has passed it: one of seconds in which the clock
/// was days ahead would stand in every answer for days, and callers compare their clocks with it. None where the year has not four digits.
fn date(now: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000_S: u64 = 253_402_300_800;
    now.duration_since(UNIX_EPOCH).ok().filter(|since| since.as_secs() < YEAR_10000_S)?;
    HeaderValue::try_from(httpdate::fmt_http_date(now)).ok()
}

/// Runs the streams of an HTTP/2 connection, each of which can be ended by itself.
#[derive(Clone)]
struct Streams {
    line: Arc<Line>,
    tasks: TaskTracker,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let cut = self.line.cut.child_token();
        self.tasks.spawn(CUT.scope(cut.clone(), async move {
            let _ = cut.run_until_cancelled(stream).await;
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_of_its_moment_whatever_the_clock_says() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(784_111_777).expect("a date"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_776).expect("a date"), "Sun, 06 Nov 1994 08:49:36 GMT", "a clock may go back");
        assert_eq!(at(253_402_300_800), None);
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(1)), None);
    }
}
