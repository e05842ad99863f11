//! Version 1 of the API, for programs of release 0.1.0: the only place that knows of it. A call that both versions have alike is the same
//! handler at another path; of the others each takes the words of version 1, becomes those of version 2, and goes the same way.

mod events;
mod leases;
mod results;
mod uploads;

use axum::http::HeaderValue;
use axum::http::header::{HeaderName, LINK};
use axum::response::Response;
use filemill_api::ErrorBody;
use filemill_api::paths::{self, is_v1};

use super::catalog::{engines, pools, releases};
use super::declared::{Declared, route};
use super::queue::uploads as uploads_v2;
use super::{accounts, openapi};

/// Since when there is version 2, as RFC 9745 writes it: 2026-12-01.
const DEPRECATION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("deprecation"), HeaderValue::from_static("@1796083200"));
/// Until when version 1 is answered at least, as RFC 8594 writes it.
const SUNSET: (HeaderName, HeaderValue) =
    (HeaderName::from_static("sunset"), HeaderValue::from_static("Fri, 01 Dec 2028 00:00:00 GMT"));
/// What to use in its place.
const SUCCESSOR: (HeaderName, HeaderValue) =
    (LINK, HeaderValue::from_static("</v2/openapi.json>; rel=\"successor-version\""));

/// Every route of version 1.
pub(super) fn declared() -> Declared {
    Declared::new(openapi::base(1))
        .with(route!(uploads::open))
        .with(route!(uploads::list))
        .with(route!(uploads::show))
        .with_in_v1(route!(uploads_v2::advance))
        .with_in_v1(route!(uploads_v2::cancel))
        .with(route!(events::page))
        .with(route!(events::stream))
        .with_in_v1(route!(releases::list))
        .with_in_v1(route!(releases::component))
        .with_in_v1(route!(releases::description))
        .with_in_v1(route!(releases::describe))
        .with_in_v1(route!(engines::offer))
        .with_in_v1(route!(pools::list))
        .with_in_v1(route!(pools::publish))
        .with_in_v1(route!(accounts::whoami))
        .with_in_v1(route!(accounts::join))
        .with(route!(leases::lease))
        .with(route!(leases::chunks))
        .with(route!(leases::report))
        .with(route!(leases::give_back))
        .with(route!(leases::missing))
        .with(route!(results::complete))
        .with(route!(results::urls))
        .with(route!(results::fetch))
        .with_in_v1(route!(openapi::serve))
}

/// Says of an answer that its version is on its way out, and names the document of this version where a hint is to read it.
pub(super) fn mark(path: &str, response: &mut Response) {
    if !is_v1(path) || path == paths::HEALTH_BESIDE[1] {
        return;
    }
    response.headers_mut().extend([DEPRECATION, SUNSET, SUCCESSOR]);
    let error = response.extensions_mut().get_mut::<ErrorBody>();
    if let Some(hint) = error.and_then(|error| error.hint.as_mut()) {
        *hint = hint.replace(paths::OPENAPI, paths::v1::OPENAPI);
    }
}
