//! Every refusal has the one shape, and says what to do.

use filemill_api::{CancelRequest, Cancelled, ErrorCode, OpenAnswer, OpenRequest, limits, paths};
use filemill_server::Plan;
use filemill_server::accounts::Scope;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Mill, one, problem, until};

#[tokio::test]
async fn a_missing_wrong_or_revoked_token_opens_nothing() {
    let mill = Mill::start().await;
    let without = mill.http.get(mill.url(paths::WHOAMI)).send().await.unwrap();
    assert_eq!(without.headers()["www-authenticate"], "Bearer");
    let without = problem(without, StatusCode::UNAUTHORIZED).await;
    assert_eq!(without.error.code, ErrorCode::Unauthenticated);
    assert!(without.error.hint.is_some());

    let basic = mill.http.get(mill.url(paths::WHOAMI)).basic_auth("alice", Some("x")).send().await.unwrap();
    problem(basic, StatusCode::UNAUTHORIZED).await;
    for wrong in ["", "x", "fm_u_00", &mill.user[..mill.user.len() - 1]] {
        let answer = problem(mill.get(wrong, paths::WHOAMI).await, StatusCode::UNAUTHORIZED).await;
        assert_eq!(answer.error.code, ErrorCode::Unauthenticated);
    }

    let doomed = mill.admin.create_token("acme", "bob", Scope::User, None).await.unwrap();
    assert_eq!(mill.get(&doomed.text, paths::WHOAMI).await.status(), StatusCode::OK);
    assert!(mill.admin.revoke_token(doomed.id).await.unwrap().is_some());
    assert!(mill.admin.revoke_token(doomed.id).await.unwrap().is_none());
    until("the revoked token is refused", async || {
        mill.get(&doomed.text, paths::WHOAMI).await.status() == StatusCode::UNAUTHORIZED
    })
    .await;
    mill.stop().await;
}

#[tokio::test]
async fn a_token_does_only_what_its_scope_covers() {
    let mill = Mill::start().await;
    for (token, path) in
        [(&mill.processor, paths::UPLOADS), (&mill.processor, paths::EVENTS), (&mill.processor, paths::EVENT_STREAM)]
    {
        let answer = problem(mill.get(token, path).await, StatusCode::FORBIDDEN).await;
        assert_eq!(answer.error.code, ErrorCode::Forbidden, "{path}");
    }
    for path in [
        paths::LEASES,
        paths::LEASE_CHUNKS,
        paths::LEASE_REPORT,
        paths::LEASE_RETURN,
        paths::LEASE_MISSING,
        paths::RESULTS,
        paths::RESULT_URLS,
        paths::POOLS,
    ] {
        let answer = mill.post(&mill.user, path, &serde_json::json!({})).await;
        problem(answer, StatusCode::FORBIDDEN).await;
    }
    let component = paths::COMPONENT.replace("{digest}", &mill.release);
    problem(mill.get(&mill.user, &component).await, StatusCode::FORBIDDEN).await;
    mill.stop().await;
}

#[tokio::test]
async fn a_processor_of_another_pool_is_told_so() {
    let mill = Mill::start().await;
    let other = mill.admin.create_token("mill", "stray", Scope::Processor, Some("other")).await.unwrap().text;
    let refused = mill.post(&other, paths::LEASES, &super::lease_request(0)).await;
    let refused = problem(refused, StatusCode::FORBIDDEN).await.error;
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert_eq!(refused.message, "the token is for pool `other`, not for `main`");
    assert!(refused.hint.is_some());
    let engines = paths::ENGINES.replace("{pool}", super::POOL);
    let refused = mill.put_json(&other, &engines, r#"{"node":"n","engines":[]}"#).await;
    problem(refused, StatusCode::FORBIDDEN).await;
    // A release is everybody's.
    let component = paths::COMPONENT.replace("{digest}", &mill.release);
    assert_eq!(mill.get(&other, &component).await.status(), StatusCode::OK);
    mill.stop().await;
}

#[tokio::test]
async fn another_organisation_sees_nothing_of_an_upload() {
    let mill = Mill::start().await;
    let sample = mill.upload(1);
    mill.open(&sample.open).await;
    let stranger = mill.admin.create_token("other", "mallory", Scope::User, None).await.unwrap().text;
    let path = paths::UPLOAD.replace("{upload}", &sample.open.id);
    assert_eq!(mill.get(&mill.user, &path).await.status(), StatusCode::OK);
    problem(mill.get(&stranger, &path).await, StatusCode::NOT_FOUND).await;
    let cancel = CancelRequest { uploads: vec![sample.open.id.clone()] };
    let cancelled: Cancelled = mill.ask(&stranger, paths::CANCEL, &cancel).await;
    assert_eq!(one(cancelled.uploads).into_result().unwrap_err().code, ErrorCode::NotFound);
    // Nor can it take the id over.
    let answer: OpenAnswer = mill.ask(&stranger, paths::UPLOADS, &OpenRequest { uploads: vec![sample.open] }).await;
    assert_eq!(one(answer.uploads).into_result().unwrap_err().code, ErrorCode::Conflict);
    mill.stop().await;
}

#[tokio::test]
async fn every_status_has_the_one_shape() {
    let mill = Mill::start().await;
    let nothing = mill.get(&mill.user, "/v2/nothing").await;
    assert_eq!(problem(nothing, StatusCode::NOT_FOUND).await.error.code, ErrorCode::NotFound);
    let old = mill.get(&mill.user, "/v0/uploads").await;
    problem(old, StatusCode::NOT_FOUND).await;
    let method = mill.http.delete(mill.url(paths::UPLOADS)).send().await.unwrap();
    assert!(method.headers().contains_key("allow"));
    problem(method, StatusCode::METHOD_NOT_ALLOWED).await;

    let post = |body: &'static str, kind: &'static str| {
        mill.http.post(mill.url(paths::UPLOADS)).bearer_auth(&mill.user).header("content-type", kind).body(body).send()
    };
    for other in ["text/plain", "application/json; charset=utf-16", "application/json;q=1; Charset=\"latin1\""] {
        problem(post("{}", other).await.unwrap(), StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    }
    for utf8 in ["application/json; charset=UTF-8", "application/json ;charset=\"utf-8\"", "Application/JSON;"] {
        problem(post("{", utf8).await.unwrap(), StatusCode::BAD_REQUEST).await;
    }
    problem(post("{", "application/json").await.unwrap(), StatusCode::BAD_REQUEST).await;
    let missing = problem(post("{}", "application/json").await.unwrap(), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(missing.error.message.contains("uploads"), "{}", missing.error.message);
    let query = problem(mill.get(&mill.user, "/v2/events?after=x").await, StatusCode::BAD_REQUEST).await;
    assert!(query.error.hint.is_some_and(|hint| hint.contains("/v2/openapi.json")));
    let path = paths::UPLOAD.replace("{upload}", "%ff");
    problem(mill.get(&mill.user, &path).await, StatusCode::BAD_REQUEST).await;

    let too_many = OpenRequest { uploads: vec![mill.upload(1).open; limits::MAX_UPLOADS_PER_REQUEST + 1] };
    problem(mill.post(&mill.user, paths::UPLOADS, &too_many).await, StatusCode::BAD_REQUEST).await;
    mill.stop().await;
}

#[tokio::test]
async fn a_body_over_its_bound_is_refused_before_it_is_sent() {
    let mill = Mill::start().await;
    // Only the head is sent: an answer means that the body was not waited for.
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        paths::UPLOADS,
        mill.user,
        limits::MAX_BODY_BYTES + 1
    );
    let mut stream = tokio::net::TcpStream::connect(mill.server.listening()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");

    // And without a token nobody's body is read at all.
    let body = vec![b' '; 1 << 20];
    let answer =
        mill.http.post(mill.url(paths::UPLOADS)).header("content-type", "application/json").body(body).send().await;
    problem(answer.unwrap(), StatusCode::UNAUTHORIZED).await;

    // Without a length it is counted as it comes.
    let pieces =
        futures::stream::iter((0..=limits::MAX_BODY_BYTES >> 20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    let endless = mill
        .http
        .post(mill.url(paths::UPLOADS))
        .bearer_auth(&mill.user)
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(pieces))
        .send()
        .await;
    problem(endless.unwrap(), StatusCode::PAYLOAD_TOO_LARGE).await;
    mill.stop().await;
}

#[tokio::test]
async fn a_callers_request_id_is_kept_if_it_is_harmless() {
    let mill = Mill::start().await;
    let with = async |id: &'static str| {
        let answer = mill.http.get(mill.url(paths::HEALTH)).header("x-request-id", id).send().await.unwrap();
        answer.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(with("client-7.a_b").await, "client-7.a_b");
    let replaced = with("a b\"c").await;
    assert_eq!(replaced.len(), 16);
    mill.stop().await;
}

#[tokio::test]
async fn one_bad_item_does_not_spoil_its_batch() {
    let mill = Mill::start().await;
    let good = mill.upload(1).open;
    let mut unknown_release = mill.upload(2).open;
    unknown_release.tasks[0].releases[0] = "00".repeat(32);
    let mut bad_id = mill.upload(3).open;
    bad_id.id = "../../secret".to_owned();
    let request = OpenRequest { uploads: vec![unknown_release, good, bad_id] };
    let answer: OpenAnswer = mill.ask(&mill.user, paths::UPLOADS, &request).await;
    let codes: Vec<_> =
        answer.uploads.into_iter().map(|item| item.into_result().err().map(|error| error.code)).collect();
    assert_eq!(codes, [Some(ErrorCode::NotFound), None, Some(ErrorCode::BadRequest)]);
    mill.stop().await;
}

#[tokio::test]
async fn an_upload_over_the_plan_is_refused_alone() {
    let mill = Mill::start_with(|config| config.plan = Plan { max_files: 2, max_chunks: 1 }).await;
    let files = |id, count| {
        let mut upload = mill.upload(id).open;
        upload.files[0].count = count;
        upload
    };
    let request = OpenRequest { uploads: vec![files(1, 3), files(2, 2), files(3, u32::MAX)] };
    let answer: OpenAnswer = mill.ask(&mill.user, paths::UPLOADS, &request).await;
    let codes: Vec<_> =
        answer.uploads.into_iter().map(|item| item.into_result().err().map(|error| error.code)).collect();
    assert_eq!(codes, [Some(ErrorCode::OverQuota), None, Some(ErrorCode::OverQuota)]);
    mill.stop().await;
}
