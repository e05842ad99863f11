//! Who may call: organisations, their members, tokens and plans. The lowest of the domains: it knows of no other.

mod handle;
mod joins;
pub(crate) mod plan;
mod tokens;
mod types;

pub use handle::Accounts;
pub use joins::{JoinCodeState, JoinCodeSummary, JoinGrant, NewCode};
pub use plan::Plan;
pub use tokens::{Revoked, TokenHash};
pub use types::{Caller, NewToken, Scope, TokenSummary};
