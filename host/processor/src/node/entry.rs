//! Whether the server lets this node in, and stores where this node may go.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::net::{Backoff, CallError, Origin, Server};

/// Asks who the token stands for, for as long as the server is away; `false` if `stop` came first.
pub(super) async fn let_in(server: &Server, config: &NodeConfig, stop: &CancellationToken) -> Result<bool, NodeError> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let who = loop {
        let answer = tokio::select! {
            () = stop.cancelled() => return Ok(false),
            answer = server.first_answer() => answer,
        };
        match answer {
            Ok(who) => break who,
            Err(error) if error.is_transient() && !error.is_unauthorised() => {}
            Err(error) => {
                let server = Origin::of(&config.server).to_string();
                return Err(match error {
                    CallError::Foreign(status) => {
                        let why = format!("it answers {status} without a reason that this program can read");
                        NodeError::NoServer { server, why }
                    }
                    // Without the server's hint: the error has its own.
                    CallError::Refused { status, body } => {
                        NodeError::Refused { server, message: format!("it answers {status}: {}", body.message) }
                    }
                    CallError::Malformed(why) => NodeError::NoServer { server, why },
                    away @ (CallError::Away(_) | CallError::OlderServer) => {
                        NodeError::Refused { server, message: away.to_string() }
                    }
                });
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = backoff.wait() => {}
        }
    };
    if who.scope != "processor" {
        return Err(NodeError::Scope { scope: who.scope });
    }
    if let Some(token) = who.pool.filter(|token| token != server.pool()) {
        return Err(NodeError::OtherPool { token, pool: server.pool().to_owned() });
    }
    check_origins(&who.storage_origins, &config.storage_origins)?;
    Ok(true)
}

/// Compares where the server stores with where this node may go. With nothing in common every job would be leased only to be
/// handed back, until the server takes that for the job's fault.
fn check_origins(stored_on: &[String], configured: &[Origin]) -> Result<(), NodeError> {
    let origins: Vec<Origin> = stored_on.iter().filter_map(|origin| origin.parse().ok()).collect();
    let (known, unknown): (Vec<_>, Vec<_>) = origins.iter().partition(|origin| configured.contains(origin));
    if known.is_empty()
        && let Some(first) = unknown.first()
    {
        let configured: Vec<_> = configured.iter().map(ToString::to_string).collect();
        return Err(NodeError::OtherOrigin { stored_on: first.to_string(), configured: configured.join(", ") });
    }
    for origin in unknown {
        tracing::warn!(
            "the server stores on `{origin}`, which is not configured here: such chunks are not fetched \
             (hint: add --storage-origin {origin} if you trust it)"
        );
    }
    Ok(())
}
