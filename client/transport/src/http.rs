//! The one HTTP client.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, IntoUrl, Method, Request, RequestBuilder, Response};

use crate::describe::describe;

/// How long it may take until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection without a request is closed after this time: what lies between may have forgotten it by then.
const IDLE: Duration = Duration::from_secs(60);
/// How often the system asks whether a silent peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A client that follows no redirect, so that what was checked of a URL holds for what is asked: neither token nor data goes to
/// a place that nobody configured. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Http(Client);

/// What differs between programs.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions<'a> {
    /// Who asks: `program/version`.
    pub user_agent: &'a str,
    /// A connection is dead on which an answer is waited for and nothing comes for so long. It counts while a body is sent, too:
    /// `None` for whoever sends large bodies over slow lines or listens to streams, and has limits of its own.
    pub silence: Option<Duration>,
}

/// No client can be made, for lack of the system's certificates for example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(String);

impl Http {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// [`HttpError`], where TLS cannot be set up.
    pub fn new(options: HttpOptions<'_>) -> Result<Self, HttpError> {
        let mut client = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(options.user_agent)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_keepalive(KEEPALIVE);
        if let Some(silence) = options.silence {
            client = client.read_timeout(silence);
        }
        client.build().map(Self).map_err(|error| HttpError(describe(error)))
    }

    /// Begins a request. It has no time limit but the connection's: set one.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        self.0.request(method, url)
    }

    /// Makes a request that was built elsewhere.
    ///
    /// # Errors
    ///
    /// As it says: [`describe`] puts it into words.
    pub async fn execute(&self, request: Request) -> Result<Response, reqwest::Error> {
        self.0.execute(request).await
    }
}
