//! How rules say no: the wire's error, made in one place.

use filemill_api::limits::MAX_POOL_NODES;
use filemill_api::{ErrorBody, ErrorCode};

pub(crate) use crate::shown::shown;
use crate::store::StoreError;

pub(crate) fn bad_request(message: impl Into<String>) -> ErrorBody {
    ErrorBody { code: ErrorCode::BadRequest, message: message.into(), hint: None }
}

pub(crate) fn not_found(message: impl Into<String>, hint: &str) -> ErrorBody {
    ErrorBody { code: ErrorCode::NotFound, message: message.into(), hint: Some(hint.to_owned()) }
}

pub(crate) fn conflict(message: impl Into<String>, hint: &str) -> ErrorBody {
    ErrorBody { code: ErrorCode::Conflict, message: message.into(), hint: Some(hint.to_owned()) }
}

pub(crate) fn fenced(run: i64, fence: i64) -> ErrorBody {
    ErrorBody {
        code: ErrorCode::Fenced,
        message: format!("lease `{run}/{fence}` has ended or passed to another node"),
        hint: Some("drop it: its jobs are in other hands".to_owned()),
    }
}

/// Succeeds when what a processor names is the pool that its token is for.
pub(crate) fn own_pool(own: &str, named: &str) -> Result<(), ErrorBody> {
    if own == named {
        return Ok(());
    }
    Err(ErrorBody {
        code: ErrorCode::Forbidden,
        message: format!("the token is for pool `{}`, not for `{}`", shown(own), shown(named)),
        hint: Some(
            "give each processor a token of its own pool (`filemill-server token create --pool NAME`)".to_owned(),
        ),
    })
}

/// Checks the name of a pool that may be asked for.
pub(crate) fn check_pool(name: Option<&str>) -> Result<(), ErrorBody> {
    match name.filter(|name| !is_name(name)) {
        None => Ok(()),
        Some(name) => Err(bad_request(format!("pool `{}` is not 1 to 64 characters of [A-Za-z0-9._-]", shown(name)))),
    }
}

/// Checks a node's id.
pub(crate) fn check_node(node: &str) -> Result<(), ErrorBody> {
    if is_name(node) {
        return Ok(());
    }
    Err(bad_request(format!("node `{}` is not 1 to 64 characters of [A-Za-z0-9._-]", shown(node))))
}

pub(crate) fn too_many_nodes(pool: &str) -> ErrorBody {
    ErrorBody {
        hint: Some("stop some of them, or make another pool".to_owned()),
        ..over_quota(format!("pool `{pool}` has {MAX_POOL_NODES} nodes at work, which is the most"))
    }
}

pub(crate) fn over_quota(message: impl Into<String>) -> ErrorBody {
    ErrorBody { code: ErrorCode::OverQuota, message: message.into(), hint: None }
}

pub(crate) fn no_upload(id: &str) -> ErrorBody {
    not_found(
        format!("there is no upload `{}`", shown(id)),
        "`filemill status --json` names uploads; one is its sender's alone",
    )
}

pub(crate) fn unavailable() -> ErrorBody {
    ErrorBody {
        code: ErrorCode::Unavailable,
        message: "the server cannot take this now".to_owned(),
        hint: Some("try again in a moment".to_owned()),
    }
}

/// More items than a request may carry.
pub(crate) fn too_many(what: &str, most: usize) -> ErrorBody {
    ErrorBody {
        code: ErrorCode::BadRequest,
        message: format!("more than {most} {what} in one request"),
        hint: Some("send several requests".to_owned()),
    }
}

/// More of something than there may be, however many requests bring it.
pub(crate) fn beyond(what: &str, most: usize) -> ErrorBody {
    ErrorBody {
        code: ErrorCode::BadRequest,
        message: format!("more than {most} {what}"),
        hint: Some("name fewer".to_owned()),
    }
}

/// A fault of the database: its text is for the log, not for who asked.
pub(crate) fn from_store(what: &'static str, error: &StoreError) -> ErrorBody {
    if error.is_full() {
        // The store has said it, for all of them.
        return ErrorBody {
            message: "the server has no room left, and takes nothing in".to_owned(),
            hint: Some("it goes on when its operator has made room on the disk of its database".to_owned()),
            ..unavailable()
        };
    }
    if error.is_unavailable() {
        tracing::warn!(what, error = filemill_text::chain(error), "the database cannot be reached");
        return unavailable();
    }
    tracing::error!(what, error = filemill_text::chain(error), "a statement failed");
    ErrorBody {
        code: ErrorCode::Internal,
        message: "the server failed".to_owned(),
        hint: Some("try again later; the server's log tells more".to_owned()),
    }
}

/// Whether `text` is `length` lower-case hex characters.
pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `text` is a name: 1 to 64 characters of `[A-Za-z0-9._-]`.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
