//! What an answer of storage means, or one in its place. S3's codes: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::error::StorageError;

/// The most characters of a code and of a message that are passed on.
const CODE_MAX: usize = 80;
const MESSAGE_MAX: usize = 400;

/// What an answer means that is not a success. What has no code in S3's form comes from something on the way, such as a captive
/// portal or a proxy, and says nothing of the object or its URL.
pub(super) fn meaning(status: StatusCode, document: &str) -> StorageError {
    let code = element(document, "Code").unwrap_or_default();
    let message = element(document, "Message").unwrap_or_default();
    let detail = match (code, message) {
        ("", _) => status.to_string(),
        // What is wrong with storage itself, such as a full disk, only its own words say.
        (code, message) if status.is_server_error() && !message.is_empty() => {
            format!("{}: {} ({status})", cut(code, CODE_MAX), cut(message, MESSAGE_MAX))
        }
        (code, _) => format!("{} ({status})", cut(code, CODE_MAX)),
    };
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
        return StorageError::Away(detail);
    }
    let elsewhere = || format!("it points elsewhere ({status}), which is never followed");
    match code {
        "" if status.is_redirection() => StorageError::Away(elsewhere()),
        "" => StorageError::Away(in_its_place(&status.to_string())),
        "RequestTimeout" | "SlowDown" | "IncompleteBody" => StorageError::Away(detail),
        _ if status.is_redirection() => StorageError::Redirect(elsewhere()),
        // The URL's time, or that of the credentials that it was signed with.
        _ if code == "ExpiredToken" || (status == StatusCode::FORBIDDEN && names_expiry(message)) => {
            StorageError::Refused { detail, expired: true }
        }
        _ if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) => StorageError::NotFound(detail),
        _ => StorageError::Refused { detail, expired: false },
    }
}

/// What is said of an answer that is not storage's own.
pub(super) fn in_its_place(answer: &str) -> String {
    format!("something answers in its place, with {answer}")
}

/// Whether the answer is a page for people, which no object is.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
}

fn names_expiry(message: &str) -> bool {
    message.to_ascii_lowercase().contains("expired")
}

/// The text of the first such element of S3's flat error document.
fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn cut(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn of(status: u16, code: &str, message: &str) -> StorageError {
        let document = format!("<?xml?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        meaning(StatusCode::from_u16(status).expect("a status"), &document)
    }

    fn without_code(status: u16, document: &str) -> StorageError {
        meaning(StatusCode::from_u16(status).expect("a status"), document)
    }

    #[test]
    fn what_has_no_code_says_nothing_of_the_object() {
        for status in [100, 204, 301, 302, 307, 400, 401, 403, 404, 410, 418, 429, 500, 503] {
            for document in
                ["", "log in", "<html><Code>", "<Code></Code><Message>it expired</Message>", "</Code><Code>"]
            {
                assert!(matches!(without_code(status, document), StorageError::Away(_)), "{status} {document}");
            }
        }
    }

    #[test]
    fn storage_that_is_out_of_order_or_busy_is_asked_again() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (400, "RequestTimeout"),
            (400, "IncompleteBody"),
            (429, "TooManyRequests"),
            (408, "Any"),
        ] {
            assert!(matches!(of(status, code, ""), StorageError::Away(_)), "{status} {code}");
        }
        let full = of(507, "StorageFull", "no room left");
        assert_eq!(full, StorageError::Away("StorageFull: no room left (507 Insufficient Storage)".to_owned()));
    }

    #[test]
    fn a_url_whose_time_is_over_is_told_from_one_that_never_held() {
        let expired = |status, code, message| match of(status, code, message) {
            StorageError::Refused { expired, .. } => expired,
            other => panic!("{other:?}"),
        };
        assert!(expired(403, "AccessDenied", "Request has expired"));
        assert!(expired(400, "ExpiredToken", "The provided token has expired."));
        assert!(!expired(403, "AccessDenied", "Access Denied"));
        assert!(!expired(403, "SignatureDoesNotMatch", ""));
        assert!(!expired(400, "BadDigest", "it expired"));
    }

    #[test]
    fn an_object_that_is_gone_is_told_from_a_refusal() {
        assert_eq!(of(404, "NoSuchKey", "x"), StorageError::NotFound("NoSuchKey (404 Not Found)".to_owned()));
        assert!(matches!(of(410, "Gone", ""), StorageError::NotFound(_)));
        assert!(matches!(of(403, "NoSuchKey", ""), StorageError::Refused { .. }));
    }

    #[test]
    fn storage_that_redirects_is_told_from_a_portal_that_does() {
        assert!(matches!(of(301, "PermanentRedirect", "use elsewhere"), StorageError::Redirect(_)));
        assert!(matches!(of(307, "TemporaryRedirect", ""), StorageError::Redirect(_)));
        assert!(matches!(without_code(307, ""), StorageError::Away(_)));
    }

    #[test]
    fn a_long_document_is_passed_on_in_part() {
        let long = "ä".repeat(5_000);
        for error in [of(403, &long, &long), of(500, &long, &long), of(404, &long, &long)] {
            assert!(error.to_string().chars().count() < 700, "{}", error.to_string().chars().count());
        }
    }

    #[test]
    fn pages_for_people_are_told_from_objects() {
        let is = |kind: &'static str| is_page(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]));
        assert!(is("text/html") && is("Text/HTML; charset=utf-8") && is(" text/html"));
        assert!(!is("application/octet-stream") && !is("binary/octet-stream") && !is_page(&HeaderMap::new()));
    }
}
