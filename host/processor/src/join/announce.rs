//! Telling the server the pool's statement, before a person is told the pool's root.

use filemill_api::{ErrorCode, Pools, SignedStatement, paths};
use filemill_seal::Enrolment;
use serde::Deserialize;

use super::redeem::may_pass;
use crate::net::{CallError, Server};
use crate::pool::{PoolFolder, announcement};

/// What the server made of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// It takes the statement, or has one that the same root signed later.
    Taken,
    /// Another root signs for the pool.
    OtherRoot,
    /// It does not take it, for this reason.
    Refused(String),
}

/// Tells the server the pool's statement, so that the person who logs in next finds it there. The node does it again.
///
/// # Errors
///
/// [`CallError`] where the server has not decided.
pub(super) async fn announce(server: &Server, pool: &PoolFolder) -> Result<Announced, CallError> {
    let request = match announcement(pool) {
        Ok(request) => request,
        Err(error) => return Ok(Announced::Refused(error.to_string())),
    };
    let refused = match server.tell(paths::POOLS, &request).await {
        Ok(()) => return Ok(Announced::Taken),
        Err(error) if may_pass(&error) => return Err(error),
        Err(error) => error,
    };
    let said = Announced::Refused(refused.to_string());
    if !matches!(&refused, CallError::Refused { body, .. } if body.code == ErrorCode::Conflict) {
        return Ok(said);
    }
    // That may be a root which nobody has named yet, or a later statement of this very one: what is there tells.
    match server.get::<Pools>(paths::POOLS).await {
        Ok(pools) => Ok(signer(&pools, pool.enrolment()).unwrap_or(said)),
        Err(error) if may_pass(&error) => Err(error),
        Err(_) => Ok(said),
    }
}

/// Whose statements of the pool the server has; `None` if it has none.
fn signer(pools: &Pools, enrolment: &Enrolment) -> Option<Announced> {
    let of_pool = pools.pools.iter().filter(|offered| pool_of(offered).as_deref() == Some(enrolment.pool()));
    of_pool.fold(None, |found, offered| {
        if found == Some(Announced::Taken) || is_signed(offered, enrolment) {
            Some(Announced::Taken)
        } else {
            Some(Announced::OtherRoot)
        }
    })
}

fn is_signed(offered: &SignedStatement, enrolment: &Enrolment) -> bool {
    let signed = serde_json::to_value(offered).and_then(serde_json::from_value);
    signed.is_ok_and(|signed| enrolment.verify_at_any_time(&signed).is_ok())
}

/// The pool that a statement says it is of, whoever signed it.
fn pool_of(offered: &SignedStatement) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        pool: String,
    }
    serde_json::from_str::<Said>(&offered.statement).ok().map(|said| said.pool)
}
