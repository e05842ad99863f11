//! Why a node cannot start.

use std::io;

use crate::net::TokenError;
use crate::pool::PoolFolderError;

/// Why a node cannot start. Once it runs, it does not give up: it keeps trying, and says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A setting is out of range.
    #[error("--{setting} takes {rule}")]
    Config {
        /// Which.
        setting: &'static str,
        /// What it takes.
        rule: &'static str,
    },
    /// Bearer tokens and presigned URLs would cross a network in the clear.
    #[error("`{origin}` is asked over plain http")]
    PlainHttp {
        /// Which server or storage.
        origin: String,
    },
    /// The token file.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server does not let this node in.
    #[error("`{server}` refuses the token: {message}")]
    Refused {
        /// The server.
        server: String,
        /// What it says.
        message: String,
    },
    /// What answers there is something else, the storage beside a server for example.
    #[error("`{server}` does not answer as a filemill server: {why}")]
    NoServer {
        /// What was taken for the server.
        server: String,
        /// What is odd about its answer.
        why: String,
    },
    /// The token is for something else.
    #[error("the token has scope `{scope}`, a processor needs `processor`")]
    Scope {
        /// Its scope.
        scope: String,
    },
    /// The token is for another pool.
    #[error("the token is for the pool `{token}`, the pool's folder is that of `{pool}`")]
    OtherPool {
        /// The token's.
        token: String,
        /// The folder's.
        pool: String,
    },
    /// It could fetch nothing: the server stores elsewhere than this node may go.
    #[error("the server stores on {stored_on}, and --storage-origin names only {configured}")]
    OtherOrigin {
        /// The server's storage.
        stored_on: String,
        /// What this node was given.
        configured: String,
    },
    /// The pool's folder.
    #[error(transparent)]
    Pool(#[from] PoolFolderError),
    /// No HTTP client, for lack of the system's certificates for example.
    #[error("no HTTPS client can be made: {0}")]
    Http(String),
    /// No thread for a slot.
    #[error("no thread can be started for a slot")]
    Thread(#[source] io::Error),
    /// No metrics, for an environment variable of OpenTelemetry that is malformed.
    #[error("metrics cannot be pushed: {0}")]
    Metrics(String),
}

impl NodeError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Config { .. } => "see `filemill-processor run --help`".into(),
            Self::PlainHttp { .. } => "use https, or say --allow-plain-http on a network that you trust".into(),
            Self::Token(_) | Self::Refused { .. } | Self::Scope { .. } => {
                "make a token with `filemill-server token create --scope processor --pool NAME`".into()
            }
            Self::NoServer { .. } => {
                "`filemill-server serve` prints the address as `listening`; what it prints as `storage` is another"
                    .into()
            }
            Self::OtherPool { pool, .. } => {
                format!("make a token with `filemill-server token create --scope processor --pool {pool}`")
            }
            Self::OtherOrigin { stored_on, .. } => format!("add --storage-origin {stored_on} if you trust it"),
            Self::Pool(error) => error.hint(),
            Self::Http(_) => "install the system's CA certificates (package `ca-certificates`)".into(),
            Self::Thread(_) => "raise the limit of threads, or use fewer slots".into(),
            Self::Metrics(_) => "look at the environment variables that begin with `OTEL_`".into(),
        }
    }
}
