//! Who may call: organisations, their members, tokens and plans. The lowest of the domains: it knows of no other.

mod handle;
mod kinds;
pub(crate) mod plan;
mod tokens;

pub use handle::Accounts;
pub use kinds::{Caller, NewToken, Scope, TokenSummary};
pub use plan::Plan;
