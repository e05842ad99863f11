//! Where each call lives. The major stands in the path.

use crate::DescriptionQuery;

/// `POST` [`crate::OpenRequest`] → [`crate::OpenAnswer`]; `GET` [`crate::UploadsQuery`] → [`crate::Uploads`] (scope user).
pub const UPLOADS: &str = "/v1/uploads";
/// `GET` → [`crate::JobStates`] (scope user).
pub const UPLOAD: &str = "/v1/uploads/{upload}";
/// `POST` [`crate::AdvanceRequest`] → [`crate::AdvanceAnswer`] (scope user).
pub const ADVANCE: &str = "/v1/uploads/advance";
/// `POST` [`crate::CancelRequest`] → [`crate::Cancelled`] (scope user).
pub const CANCEL: &str = "/v1/uploads/cancel";
/// `GET` [`crate::EventQuery`] → [`crate::EventPage`] (scope user).
pub const EVENTS: &str = "/v1/events";
/// `GET`, `Last-Event-ID` → server-sent events named `page`, each an [`crate::EventPage`] (scope user).
pub const EVENT_STREAM: &str = "/v1/events/stream";
/// `GET` [`crate::ReleasesQuery`] → [`crate::Releases`] (any scope).
pub const RELEASES: &str = "/v1/releases";
/// `GET` → [`crate::ComponentUrl`] (scope processor).
pub const COMPONENT: &str = "/v1/releases/{digest}/component";
/// `GET` [`crate::DescriptionQuery`] → the description document, byte for byte (any scope); `PUT` it (scope processor).
/// [`description`] makes it with its query.
pub const DESCRIPTION: &str = "/v1/releases/{digest}/description";
/// `PUT` [`crate::OfferRequest`] → [`crate::OfferAnswer`] (scope processor).
pub const ENGINES: &str = "/v1/pools/{pool}/engines";
/// `GET` → [`crate::Pools`] (scope user, processor); `POST` [`crate::PublishPool`] (scope processor).
pub const POOLS: &str = "/v1/pools";
/// `GET` → [`crate::WhoAmI`] (any scope).
pub const WHOAMI: &str = "/v1/whoami";
/// `POST` [`crate::JoinRequest`] → [`crate::JoinAnswer`], with a one-time code and no token.
pub const JOINS: &str = "/v1/joins";
/// `POST` [`crate::LeaseRequest`] → [`crate::LeaseAnswer`], long poll (scope processor).
pub const LEASES: &str = "/v1/leases";
/// `POST` [`crate::ChunksRequest`] → [`crate::ChunksAnswer`], long poll (scope processor).
pub const LEASE_CHUNKS: &str = "/v1/leases/chunks";
/// `POST` [`crate::ReportRequest`] → [`crate::ReportAnswer`] (scope processor).
pub const LEASE_REPORT: &str = "/v1/leases/report";
/// `POST` [`crate::ReturnRequest`] → [`crate::ReportAnswer`] (scope processor).
pub const LEASE_RETURN: &str = "/v1/leases/return";
/// `POST` [`crate::MissingRequest`] → [`crate::ReportAnswer`] (scope processor).
pub const LEASE_MISSING: &str = "/v1/leases/missing";
/// `POST` [`crate::CompleteRequest`] → [`crate::CompleteAnswer`] (scope processor).
pub const RESULTS: &str = "/v1/results";
/// `POST` [`crate::ResultUrlRequest`] → [`crate::ResultUrls`] (scope processor).
pub const RESULT_URLS: &str = "/v1/results/urls";
/// `POST` [`crate::FetchRequest`] → [`crate::FetchAnswer`] (scope user).
pub const FETCH: &str = "/v1/results/fetch";
/// `GET`, no token: 200 when the server can work.
pub const HEALTH: &str = "/health";
/// The same beside the other calls, for proxies that pass these alone.
pub const HEALTH_V1: &str = "/v1/health";
/// `GET`, no token: the OpenAPI document.
pub const OPENAPI: &str = "/v1/openapi.json";

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
        assert_eq!(ask(None, None), "/v1/releases/d/description");
        assert_eq!(ask(Some("ab"), None), "/v1/releases/d/description?sha256=ab");
        assert_eq!(ask(Some("ab"), Some("p")), "/v1/releases/d/description?sha256=ab&pool=p");
    }
}
