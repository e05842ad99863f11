//! Statements of the accounts: organisations, members, tokens.

mod joins;
mod names;

pub(crate) use joins::{JoinCodeRow, ListedJoinCode, NewJoinCode};
