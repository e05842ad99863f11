//! What the runs of each release may use, by the names that it has when it runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use filemill_runtime::{Limits, ReleaseLimits};
use filemill_seal::Digest;

/// Names that are remembered: of what is offered, and of what was and may still have jobs in flight.
const REMEMBERED: usize = 1024;

/// The limits of this processor, and what engines were dropped in as.
pub(crate) struct NamedLimits {
    limits: ReleaseLimits,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    /// A file may be there under several names; a name may have had several files.
    by_digest: BTreeMap<Digest, BTreeSet<String>>,
    /// In the order in which they were last said.
    order: VecDeque<(Digest, String)>,
}

impl NamedLimits {
    pub(crate) fn new(limits: ReleaseLimits) -> Self {
        Self { limits, names: Mutex::default() }
    }

    /// A release was dropped in as `local/name`. It is called so for as long as this node may have jobs of it, also when its
    /// file is gone.
    pub(crate) fn name(&self, digest: Digest, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.by_digest.entry(digest).or_default().insert(name.to_owned()) {
            names.order.retain(|(known, called)| (*known, called.as_str()) != (digest, name));
        }
        names.order.push_back((digest, name.to_owned()));
        if names.order.len() > REMEMBERED
            && let Some((oldest, name)) = names.order.pop_front()
            && let Some(called) = names.by_digest.get_mut(&oldest)
        {
            called.remove(&name);
            if called.is_empty() {
                names.by_digest.remove(&oldest);
            }
        }
    }

    /// What a run of that release may use now.
    pub(crate) fn of(&self, digest: Digest) -> &Limits {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let called = names.by_digest.get(&digest);
        // Of several names, the first one that has limits of its own counts.
        let is_limited = |name: &&String| self.limits.by_release.contains_key(&format!("local/{name}"));
        let name = called.into_iter().flatten().find(is_limited);
        self.limits.of(&digest.to_string(), name.map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_release_is_limited_by_every_name_that_it_was_dropped_in_as() {
        let few = |log_lines| Limits { log_lines, ..Limits::default() };
        let by_release = HashMap::from([("local/small".to_owned(), few(2))]);
        let limits = NamedLimits::new(ReleaseLimits { default: few(3), by_release });
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        assert_eq!(limits.of(one).log_lines, 3);
        for name in ["a", "small", "z"] {
            limits.name(one, name);
        }
        assert_eq!((limits.of(one).log_lines, limits.of(other).log_lines), (2, 3));
        // The file was replaced: jobs of what it was go on as they were.
        limits.name(other, "small");
        assert_eq!((limits.of(one).log_lines, limits.of(other).log_lines), (2, 2));
    }

    #[test]
    fn no_more_names_are_remembered_than_there_is_room_for() {
        let limits = NamedLimits::new(ReleaseLimits::default());
        for n in 0..2 * REMEMBERED {
            limits.name(Digest::of(&n.to_be_bytes()), "it");
        }
        let names = limits.names.lock().expect("no thread panicked");
        assert_eq!((names.order.len(), names.by_digest.len()), (REMEMBERED, REMEMBERED));
    }
}
