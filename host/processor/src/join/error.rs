//! Why a processor does not join.

use std::path::{Path, PathBuf};

use filemill_api::ErrorBody;

use crate::error::NodeError;
use crate::pool::PoolFolderError;

/// Why a processor does not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// What was given as a code is not one.
    #[error("that is not a one-time code")]
    Code,
    /// A token stands in a command line.
    #[error("that is a token, and a code is wanted")]
    Token,
    /// What was given as the server's address is another's.
    #[error("`{url}` is not the address of a server: it does not begin with https:// or http://")]
    Scheme {
        /// What was given.
        url: String,
    },
    /// Another program joins in the same folder.
    #[error("another `join` is under way in `{}`", .dir.display())]
    UnderWay {
        /// The folder.
        dir: PathBuf,
    },
    /// The keys that a processor had when it joined are gone.
    #[error("this processor has joined, but `{}` is gone, with the keys of its pool", .dir.display())]
    LostPool {
        /// Where they were.
        dir: PathBuf,
    },
    /// The server refuses the code.
    #[error("`{server}` refuses the code: {}", .body.message)]
    Refused {
        /// The server.
        server: String,
        /// What it says.
        body: ErrorBody,
    },
    /// The server cannot be reached, or is too busy.
    #[error("`{server}` cannot be used: {why}")]
    Away {
        /// The server.
        server: String,
        /// Why.
        why: String,
    },
    /// The answer is not what was asked for.
    #[error("`{server}` gives what was not asked for: {why}")]
    Answer {
        /// The server.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// Other processors of the pool have its keys.
    #[error("pool `{pool}` of `{server}` has another root than {}", whose(dir, *.is_new))]
    OtherRoot {
        /// The server.
        server: String,
        /// The pool.
        pool: String,
        /// Where this processor's keys of the pool are, or are to be.
        dir: PathBuf,
        /// Whether they were made here just now; they are gone then.
        is_new: bool,
    },
    /// The folder is that of a processor of another server.
    #[error("the folder belongs to a processor that has joined `{server}`")]
    OtherServer {
        /// That server.
        server: String,
    },
    /// A setting, or no HTTP client.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] PoolFolderError),
}

impl JoinError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Code => "it has 28 letters and digits, in groups of four with hyphens between them".into(),
            Self::Token => {
                "others on this machine can read a command line: revoke it (`filemill-server token revoke`), and run \
                 `filemill-processor run --token-file FILE` with another"
                    .into()
            }
            Self::Scheme { .. } => "`filemill-server serve` prints its address as `listening`".into(),
            Self::UnderWay { .. } => "wait until it has ended, or name another folder with --dir for another processor".into(),
            Self::LostPool { .. } => {
                "restore the folder from your secret store, or copy it from another processor of the pool: clients have pinned its root; a \
                 new processor is made with another --dir"
                    .into()
            }
            Self::Refused { body, .. } => {
                body.hint.clone().unwrap_or_else(|| "ask for another code (`filemill-server join-code create`)".into())
            }
            Self::Away { .. } => "run the same line again in a while: the code is good for ten minutes".into(),
            Self::Answer { .. } => {
                "check that the address is a filemill server's, of this version or a later one".into()
            }
            Self::OtherRoot { dir, is_new: true, .. } => format!(
                "other processors of the pool have its keys: copy the folder `pool` of one of them to `{}`, and run the same line again; \
                 the code is good here for ten minutes",
                dir.display()
            ),
            Self::OtherRoot { dir, .. } => format!(
                "these are keys of another pool of that name: name another folder with --dir, or replace `{}` by a copy of the folder \
                 `pool` of a processor of that pool, and run the same line again",
                dir.display()
            ),
            Self::OtherServer { .. } => "name another folder with --dir".into(),
            Self::Node(error) => error.hint(),
            Self::Folder(error) => error.hint(),
        }
    }
}

fn whose(dir: &Path, is_new: bool) -> String {
    if is_new { "the one that was made here".to_owned() } else { format!("the one in `{}`", dir.display()) }
}
