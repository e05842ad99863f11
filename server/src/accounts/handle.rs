//! The accounts' handle, and what is remembered behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::types::Caller;
use crate::store::Store;

/// The accounts of one database. Cheap to clone; nothing goes on by itself.
#[derive(Clone)]
pub struct Accounts {
    pub(super) store: Store,
    pub(super) callers: Arc<Callers>,
}

/// Callers by the hash of their token. Each counts for a moment only, so that revoking works soon.
pub(super) type Callers = Mutex<HashMap<[u8; 32], (Caller, Instant)>>;

impl Accounts {
    /// The accounts of this database.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, callers: Arc::default() }
    }
}
