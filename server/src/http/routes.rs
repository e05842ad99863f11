//! What is known of a request by its route, before anything of it is worked on.

use std::collections::{HashMap, HashSet};

use axum::http::Method;

use crate::callers::Kind;

/// What is known of a request by its route, before anything of it is worked on.
#[derive(Debug, Default)]
pub(super) struct Routes {
    kinds: HashMap<String, Vec<(Method, Kind)>>,
    public: HashSet<String>,
}

impl Routes {
    /// Takes note of a route.
    pub(super) fn add(&mut self, path: &str, method: Method, kind: Kind) {
        self.kinds.entry(path.to_owned()).or_default().push((method, kind));
    }

    /// Whether whoever asks for this path may do so without a token.
    pub(super) fn is_public(&self, path: &str) -> bool {
        self.public.contains(path)
    }

    /// Takes note of these, too.
    pub(super) fn join(&mut self, other: Self) {
        self.kinds.extend(other.kinds);
        self.public.extend(other.public);
    }

    /// Another way to a public path.
    pub(super) fn add_public(&mut self, path: &str) {
        self.public.insert(path.to_owned());
    }

    /// In whose places a processor's request is counted.
    pub(super) fn kind(&self, method: &Method, route: Option<&str>) -> Kind {
        // Axum answers one by the other.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let known = route.and_then(|route| self.kinds.get(route));
        let declared = known.and_then(|kinds| kinds.iter().find(|(declared, _)| declared == method));
        // There is nothing there: it is refused.
        let refused = if method == Method::GET { Kind::User } else { Kind::Offer };
        declared.map_or(refused, |(_, kind)| *kind)
    }
}
