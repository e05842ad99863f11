//! Statements of the accounts: organisations, members, tokens.

mod names;
