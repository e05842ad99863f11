//! No redirect is followed, by whatever status and from whatever request.

use bytes::Bytes;
use filemill_transport::StorageError;
use reqwest::Method;

use crate::server::{Server, answer, http, s3_error};

const STATUSES: [&str; 6] = [
    "300 Multiple Choices",
    "301 Moved Permanently",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
];

async fn redirecting(status: &'static str, code: &'static str) -> (Server, Server) {
    let elsewhere = Server::start(answer("200 OK", "", b"content")).await;
    let location = format!("location: {}/bucket/key?X-Amz-Signature=secret\r\n", elsewhere.origin);
    let redirect = if code.is_empty() { answer(status, &location, b"") } else { s3_error(status, &location, code) };
    (Server::start(redirect).await, elsewhere)
}

#[tokio::test]
async fn the_servers_answer_leads_nowhere_else() {
    for status in STATUSES {
        let (server, elsewhere) = redirecting(status, "").await;
        let request = http().request(Method::POST, format!("{}/v1/leases", server.origin)).bearer_auth("token");
        let response = request.body("{}").send().await.expect("an answer");
        assert!(response.status().is_redirection(), "{status}");
        assert!(elsewhere.requests().is_empty(), "{status}: the token went elsewhere");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_object_is_neither_fetched_from_elsewhere_nor_sent_there() {
    for status in STATUSES {
        for code in ["", "TemporaryRedirect"] {
            let (server, elsewhere) = redirecting(status, code).await;
            let storage = server.storage();
            let got = storage.get(&server.get(7), 100, 0).await.expect_err(status);
            let put = storage.put(&server.put(&[]), Bytes::from_static(b"content"), None).await.expect_err(status);
            for error in [got, put] {
                // One that is storage's own is told from a portal's, which may be gone soon.
                let own = matches!(error, StorageError::Redirect(_));
                assert!(
                    own != code.is_empty() && (own || matches!(error, StorageError::Away(_))),
                    "{status}: {error:?}"
                );
                assert!(!error.to_string().contains("secret"), "{error}");
            }
            assert!(elsewhere.requests().is_empty(), "{status} {code}");
            assert_eq!(server.requests().len(), 2, "one attempt each");
        }
    }
}

#[tokio::test]
async fn a_request_that_was_built_elsewhere_is_redirected_no_more_than_others() {
    let (server, elsewhere) = redirecting("307 Temporary Redirect", "").await;
    let url = server.origin.parse().expect("a URL");
    let response = http().execute(reqwest::Request::new(Method::GET, url)).await.expect("an answer");
    assert_eq!(response.status(), 307);
    assert!(elsewhere.requests().is_empty());
}
