//! Where each call lives. The major stands in the path.

use crate::DescriptionQuery;

/// Makes the paths of version 2, and in a module of their own those of version 1.
macro_rules! paths {
    ($($(#[$doc:meta])+ pub const $name:ident = $path:literal;)+) => {
        $($(#[$doc])+ pub const $name: &str = concat!("/v2", $path);)+

        /// The same in version 1, with the types of [`crate::v1`] where it has others.
        pub mod v1 {
            $($(#[$doc])+ pub const $name: &str = concat!("/v1", $path);)+
        }
    };
}

paths! {
    /// `POST` [`crate::OpenRequest`] → [`crate::OpenAnswer`]; `GET` [`crate::UploadsQuery`] → [`crate::Uploads`] (scope user).
    pub const UPLOADS = "/uploads";
    /// `GET` → [`crate::JobStates`] (scope user).
    pub const UPLOAD = "/uploads/{upload}";
    /// `POST` [`crate::AdvanceRequest`] → [`crate::AdvanceAnswer`] (scope user).
    pub const ADVANCE = "/uploads/advance";
    /// `POST` [`crate::CancelRequest`] → [`crate::Cancelled`] (scope user).
    pub const CANCEL = "/uploads/cancel";
    /// `GET` [`crate::EventQuery`] → [`crate::EventPage`] (scope user).
    pub const EVENTS = "/events";
    /// `GET`, `Last-Event-ID` → server-sent events named `page`, each an [`crate::EventPage`] (scope user).
    pub const EVENT_STREAM = "/events/stream";
    /// `GET` [`crate::ReleasesQuery`] → [`crate::Releases`] (any scope).
    pub const RELEASES = "/releases";
    /// `GET` → [`crate::ComponentUrl`] (scope processor).
    pub const COMPONENT = "/releases/{digest}/component";
    /// `GET` [`crate::DescriptionQuery`] → the description document, byte for byte (any scope); `PUT` it (scope processor).
    /// [`description`] makes it with its query.
    pub const DESCRIPTION = "/releases/{digest}/description";
    /// `PUT` [`crate::OfferRequest`] → [`crate::OfferAnswer`] (scope processor).
    pub const ENGINES = "/pools/{pool}/engines";
    /// `GET` → [`crate::Pools`] (scope user, processor); `POST` [`crate::PublishPool`] (scope processor).
    pub const POOLS = "/pools";
    /// `GET` → [`crate::WhoAmI`] (any scope).
    pub const WHOAMI = "/whoami";
    /// `POST` [`crate::JoinRequest`] → [`crate::JoinAnswer`], with a one-time code and no token.
    pub const JOINS = "/joins";
    /// `POST` [`crate::LeaseRequest`] → [`crate::LeaseAnswer`], long poll (scope processor).
    pub const LEASES = "/leases";
    /// `POST` [`crate::ChunksRequest`] → [`crate::ChunksAnswer`], long poll (scope processor).
    pub const LEASE_CHUNKS = "/leases/chunks";
    /// `POST` [`crate::ReportRequest`] → [`crate::ReportAnswer`] (scope processor).
    pub const LEASE_REPORT = "/leases/report";
    /// `POST` [`crate::ReturnRequest`] → [`crate::ReportAnswer`] (scope processor).
    pub const LEASE_RETURN = "/leases/return";
    /// `POST` [`crate::MissingRequest`] → [`crate::ReportAnswer`] (scope processor).
    pub const LEASE_MISSING = "/leases/missing";
    /// `POST` [`crate::CompleteRequest`] → [`crate::CompleteAnswer`] (scope processor).
    pub const RESULTS = "/results";
    /// `POST` [`crate::ResultUrlRequest`] → [`crate::ResultUrls`] (scope processor).
    pub const RESULT_URLS = "/results/urls";
    /// `POST` [`crate::FetchRequest`] → [`crate::FetchAnswer`] (scope user).
    pub const FETCH = "/results/fetch";
    /// `GET`, no token: the OpenAPI document.
    pub const OPENAPI = "/openapi.json";
}

/// `GET` → counters, as OpenMetrics text (scope operator).
pub const METRICS: &str = "/metrics";
/// `GET`, no token: 200 when the server can work.
pub const HEALTH: &str = "/health";
/// The same beside the other calls, for proxies that pass these alone.
pub const HEALTH_BESIDE: [&str; 2] = ["/v2/health", "/v1/health"];

/// Whether a path is one of version 1.
#[must_use]
pub fn is_v1(path: &str) -> bool {
    path.starts_with("/v1/")
}

/// The same call in version 1.
#[must_use]
pub fn in_v1(path: &str) -> String {
    path.strip_prefix("/v2/").map_or_else(|| path.to_owned(), |call| format!("/v1/{call}"))
}

/// [`DESCRIPTION`] of this release, with the query. Digests and names of pools hold nothing to escape.
#[must_use]
pub fn description(digest: &str, query: &DescriptionQuery) -> String {
    let DescriptionQuery { sha256, pool } = query;
    let parts: Vec<_> = [("sha256", sha256), ("pool", pool)]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")))
        .collect();
    let path = DESCRIPTION.replace("{digest}", digest);
    if parts.is_empty() { path } else { format!("{path}?{}", parts.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_asked_for_by_what_is_known_of_it() {
        let ask = |sha256: Option<&str>, pool: Option<&str>| {
            description("d", &DescriptionQuery { sha256: sha256.map(Into::into), pool: pool.map(Into::into) })
        };
        assert_eq!(ask(None, None), "/v2/releases/d/description");
        assert_eq!(ask(Some("ab"), None), "/v2/releases/d/description?sha256=ab");
        assert_eq!(ask(Some("ab"), Some("p")), "/v2/releases/d/description?sha256=ab&pool=p");
    }
}
