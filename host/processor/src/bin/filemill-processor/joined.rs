//! The node of a processor that has joined, and what to do where it does not start.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use filemill_processor::{Joined, NodeError, PoolFolder, PoolFolderError, ProcessorFolder};

use super::node::{NodeArgs, Place, Ready, prepare};

/// It was not said where the node belongs, and it did not join anywhere.
#[derive(Debug, thiserror::Error)]
#[error("no processor has joined in `{}`", dir.display())]
pub(crate) struct NotJoined {
    pub(crate) dir: PathBuf,
}

/// What to do about that.
pub(crate) const NOT_JOINED_HINT: &str = "paste the line that `filemill-server serve --embedded` prints (`filemill-processor join …`), or give --server, --token-file, --pool \
                                          and --storage-origin";

/// Why the node of a processor that has joined does not start. It has no token file and no pool's folder of its person's own making, so
/// that the remedies are others.
#[derive(Debug)]
pub(crate) struct OfJoined {
    error: NodeError,
    server: String,
    /// As far as it is known.
    pool: Option<String>,
}

/// Runs it.
pub(crate) fn run(folder: &ProcessorFolder, args: NodeArgs) -> anyhow::Result<()> {
    let joined = folder.joined()?.ok_or_else(|| NotJoined { dir: folder.dir().to_owned() })?;
    let storage_origins = joined.storage_origins.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?;
    let (pool, cache) = (folder.pool(), Some(folder.cache()));
    start(prepare(Place { server: joined.server.clone(), pool, storage_origins, cache }, args)?, folder, &joined)
}

/// Runs it, with what `folder` holds by now.
pub(crate) fn start(ready: Ready, folder: &ProcessorFolder, joined: &Joined) -> anyhow::Result<()> {
    let done = folder.read_token().map_err(anyhow::Error::from).and_then(|token| ready.start(token));
    done.map_err(|error| match error.downcast::<NodeError>() {
        Ok(error) => {
            let pool = PoolFolder::open(&folder.pool()).ok().map(|pool| pool.enrolment().pool().to_owned());
            OfJoined { error, server: joined.server.as_str().trim_end_matches('/').to_owned(), pool }.into()
        }
        Err(error) => error,
    })
}

impl OfJoined {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        let join = format!("filemill-processor join {}", self.server);
        match &self.error {
            NodeError::Token(_) | NodeError::Refused { .. } | NodeError::Scope { .. } | NodeError::OtherPool { .. } => {
                let pool = self.pool.as_deref().unwrap_or("NAME");
                format!(
                    "join again, with another code of the server's operator (`filemill-server join-code create --pool {pool}`): \
                     `{join} --code CODE --storage-origin URL`"
                )
            }
            NodeError::OtherOrigin { stored_on, .. } => format!(
                "if you trust it, run the line by which it joined again, with it: `{join} --code CODE --storage-origin {stored_on}`"
            ),
            NodeError::Pool(PoolFolderError::Missing { .. }) => {
                "there was one when it joined: restore the folder from your secret store, or copy it from another processor of the pool"
                    .to_owned()
            }
            error => error.hint(),
        }
    }
}

impl fmt::Display for OfJoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for OfJoined {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
