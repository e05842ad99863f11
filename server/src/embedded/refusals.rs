//! What embedded storage answers to those whom it refuses: little, and to few at once.
//!
//! S3's errors quote what was sent, escaped: a head of 55 kB came back as 385 kB. Nobody's token counts such answers, so a caller
//! who reads none of them could fill the memory with them.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, StatusCode, Version};
use s3s::{Body, HttpResponse};

use crate::callers::{Callers, Kind};
use crate::listen::Exchange;

/// Longest head of a request: a presigned URL and its headers take some 1 KiB.
const HEAD_BYTES: usize = 16 << 10;
/// Longest document that is passed on as it is.
const DOCUMENT_BYTES: u64 = 512;
/// How the type of a form begins.
const FORM: &[u8] = b"multipart/";

/// Why a request is not even looked at, if it is not one that Filemill sends.
pub(super) fn at_sight<B>(request: &Request<B>) -> Option<HttpResponse> {
    // A form's fields are gathered before anything of it is checked.
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM)) {
        return Some(bare(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let head = request.headers().iter().fold(uri, |bytes, (name, value)| bytes + name.as_str().len() + value.len());
    if head <= HEAD_BYTES {
        return None;
    }
    let mut refused = bare(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    if request.version() < Version::HTTP_2 {
        // What such a head took for reading is held as long as its connection.
        refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Some(refused)
}

/// The same answer if it is no refusal; otherwise one that is short, in a place that its address has for such answers until it has left.
/// Where there is none, the request is to be sent again.
pub(super) fn bounded(response: HttpResponse, callers: &Callers, exchange: Option<&Arc<Exchange>>) -> HttpResponse {
    let status = response.status();
    let bytes = response.body().size_hint().exact().unwrap_or(u64::MAX);
    if !(status.is_client_error() || status.is_server_error()) || bytes == 0 {
        return response;
    }
    if let Some(exchange) = exchange {
        match callers.of_address(exchange.line().peer()).place(Kind::Open) {
            Some(place) => exchange.keep(place),
            None => return bare(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    if bytes <= DOCUMENT_BYTES { response } else { response.map(|body| short(&body)) }
}

/// The document without what it says beyond its code.
fn short(body: &Body) -> Body {
    let document = body.bytes().unwrap_or_default();
    let code = std::str::from_utf8(&document).ok().and_then(|text| {
        let (_, rest) = text.split_once("<Code>")?;
        Some(rest.split_once("</Code>")?.0).filter(|code| code.len() <= 64)
    });
    let code = code.unwrap_or("InvalidRequest");
    Body::from(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>what is wrong with the request is too long to be repeated</Message></Error>"#
    ))
}

fn bare(status: StatusCode) -> HttpResponse {
    let mut refused = HttpResponse::default();
    *refused.status_mut() = status;
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(message: &str) -> String {
        format!("<?xml version=\"1.0\"?><Error><Code>InvalidArgument</Code><Message>{message}</Message></Error>")
    }

    fn answer(status: StatusCode, body: String) -> HttpResponse {
        let mut answer = HttpResponse::new(Body::from(body));
        *answer.status_mut() = status;
        answer
    }

    fn text(answer: &HttpResponse) -> String {
        String::from_utf8(answer.body().bytes().expect("it is there").to_vec()).expect("text")
    }

    #[test]
    fn a_refusal_keeps_its_code_and_repeats_little_of_what_was_sent() {
        let callers = Callers::new(&crate::bounds::Bounds::default());
        let said = document("Request has expired");
        let short = bounded(answer(StatusCode::FORBIDDEN, said.clone()), &callers, None);
        assert_eq!((short.status(), text(&short)), (StatusCode::FORBIDDEN, said));
        let long = bounded(answer(StatusCode::BAD_REQUEST, document(&"&quot;".repeat(55_000))), &callers, None);
        assert_eq!(long.status(), StatusCode::BAD_REQUEST);
        assert!(text(&long).contains("<Code>InvalidArgument</Code>") && text(&long).len() < 512, "{}", text(&long));
        let object = "x".repeat(100_000);
        assert_eq!(text(&bounded(answer(StatusCode::OK, object.clone()), &callers, None)), object);
    }
}
