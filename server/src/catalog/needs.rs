//! What runs need, and what nodes have: sets of names. The rows of the queue have a number for each set of needs, which the database
//! keeps for all servers.

mod names;
mod numbers;

pub(super) use names::check_names;
pub(crate) use names::{Abilities, NeedSet};
pub(super) use numbers::Numbers;
