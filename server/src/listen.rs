//! Accepts connections and serves them until asked to stop: the API and the embedded storage share it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Connections at once; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take for the head of a request, and an idle connection may stay.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Wait after the system has refused a connection (out of descriptors): nothing tells when that is over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds to `wanted`, or where that is taken and `fallback` is set, to any port of the same address.
pub(crate) async fn bind(wanted: SocketAddr, fallback: bool) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind(wanted).await {
        Err(error) if fallback && wanted.port() != 0 => {
            tracing::info!(%wanted, %error, "the former port is taken, using another");
            TcpListener::bind(SocketAddr::new(wanted.ip(), 0)).await?
        }
        other => other?,
    };
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
    /// Serves every connection with a clone of `service`.
    pub(crate) fn serve<S, B>(&self, listener: TcpListener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.tasks.spawn(accept(listener, service, self.clone()));
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
            tracing::warn!(connections = self.tasks.len(), "cut what did not finish in time");
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

async fn accept<S, B>(listener: TcpListener, service: S, lane: Lane)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Some(Ok(place)) = lane.stop.run_until_cancelled(Arc::clone(&room).acquire_owned()).await else {
            break;
        };
        let stream = match lane.stop.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => stream,
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection was not accepted");
                if lane.stop.run_until_cancelled(sleep(ACCEPT_PAUSE)).await.is_none() {
                    break;
                }
                continue;
            }
        };
        let (service, stop, cut) = (service.clone(), lane.stop.clone(), lane.cut.clone());
        lane.tasks.spawn(async move {
            let _ = cut.run_until_cancelled(connection(stream, service, stop)).await;
            drop(place);
        });
    }
}

async fn connection<S, B>(stream: TcpStream, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Answers are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away is no fault of the server's.
        tracing::debug!(%error, "a connection ended early");
    }
}
