//! An HTTP server on loopback that stands between two parts, in this process.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::redirect::Policy;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// What a proxy answers. An error cuts the connection.
pub(crate) type Answer = Result<Response<reqwest::Body>>;

/// Headers that mean one connection, or that a changed body makes wrong.
const OF_ONE_HOP: [HeaderName; 5] =
    [header::CONNECTION, header::HOST, header::TRANSFER_ENCODING, header::ACCEPT_ENCODING, header::TE];

/// A listening socket whose requests are answered until this is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    // Dropped with everything that runs in it.
    _runtime: Runtime,
}

impl Proxy {
    /// Answers every request with `answer`.
    pub(crate) fn start<F, A>(answer: F) -> Result<Self>
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().context("no runtime for a proxy")?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("no port for a proxy")?;
        let address = listener.local_addr()?;
        runtime.spawn(accept(listener, Arc::new(answer)));
        Ok(Self { address, _runtime: runtime })
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A client for the part behind a proxy. It keeps no connection, so that a restart of that part is not felt twice.
pub(crate) fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .context("no HTTP client")
}

/// Those of `headers` that go on to the part behind.
pub(crate) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in OF_ONE_HOP {
        headers.remove(name);
    }
    headers
}

async fn accept<F, A>(listener: TcpListener, answer: Arc<F>)
where
    F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| {
            let answered = answer(request);
            async move { answered.await.map_err(|error| std::io::Error::other(format!("{error:#}"))) }
        });
        connections.spawn(async move {
            // Whoever was cut off says so himself.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
