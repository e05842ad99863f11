//! What a release's publisher says of it, beside what nodes say; and parameters that only some nodes take.

use std::sync::Arc;

use filemill_api::abilities::LONG_PARAMETERS;
use filemill_api::limits::MAX_PARAMETERS_BYTES;
use filemill_api::{DescriptionQuery, ErrorCode, LeaseRequest, Release};
use filemill_server::Domains;
use filemill_server::accounts::Caller;
use filemill_server::catalog::NewRelease;

use super::site::{POOL, Site, abilities, code, lease_now, make_pool, operator, release, runs, send, wish};

super::on_both!(
    a_release_is_described_by_its_publisher_until_the_pools_nodes_do,
    what_a_publisher_says_again_takes_the_place_of_what_was_said,
    a_bad_description_publishes_nothing,
    extensions_are_listed_and_forgotten_with_their_description,
    long_parameters_are_leased_to_nodes_that_take_them_and_to_no_others,
    a_list_says_whether_a_node_of_the_pool_takes_long_parameters,
);

fn new_release(number: u32) -> NewRelease {
    NewRelease {
        engine: format!("engine-{number}"),
        version: "0.1.0".to_owned(),
        digest: format!("{number:064x}"),
        contract: 1,
        minor: 0,
        needs: Vec::new(),
        length: 10,
    }
}

async fn listed(server: &Domains, caller: &Caller, pool: Option<&str>, digest: &str) -> Release {
    let list = server.catalog.releases(caller, pool).await.expect("a list").releases;
    list.into_iter().find(|release| release.digest == digest).expect("it is listed")
}

async fn document(server: &Domains, digest: &str, pool: Option<&str>) -> String {
    let query = DescriptionQuery { sha256: None, pool: pool.map(ToOwned::to_owned) };
    server.catalog.description(&operator(), digest, &query).await.expect("a description")
}

async fn a_release_is_described_by_its_publisher_until_the_pools_nodes_do(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    make_pool(&server, "other").await;
    let one = new_release(1);
    let said = r#"{"summary":"published","media_types":["text/csv"],"extensions":["CSV"]}"#;
    assert!(server.catalog.publish_release(&one, Some(said)).await.expect("published"));
    for pool in [None, Some(POOL), Some("other")] {
        let seen = listed(&server, &ann, pool, &one.digest).await;
        assert_eq!(seen.summary.as_deref(), Some("published"), "{pool:?}");
        assert_eq!(seen.media_types.as_deref(), Some(&["text/csv".to_owned()][..]));
        assert_eq!(seen.extensions, ["csv"]);
        assert!(!seen.describing && !seen.undescribable);
        assert_eq!(document(&server, &one.digest, pool).await, said, "byte for byte");
    }
    let theirs = r#"{"summary":"theirs","media_types":[]}"#;
    server.catalog.describe_release("other", &one.digest, theirs).await.expect("described");
    assert_eq!(listed(&server, &ann, Some(POOL), &one.digest).await.summary.as_deref(), Some("published"));
    assert_eq!(document(&server, &one.digest, Some(POOL)).await, said);
    let seen = listed(&server, &ann, Some("other"), &one.digest).await;
    assert_eq!((seen.summary.as_deref(), seen.extensions.len()), (Some("theirs"), 0));
    assert_eq!(document(&server, &one.digest, Some("other")).await, theirs);
    // The publisher's word hides none of theirs, nor the other way round.
    for (text, there) in [(said, true), (theirs, true), ("{}", false)] {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let sha256 = Some(data_encoding::HEXLOWER.encode(hash.as_ref()));
        let found =
            server.catalog.description(&operator(), &one.digest, &DescriptionQuery { sha256, pool: None }).await;
        assert_eq!(found.is_ok(), there, "{text}");
    }
}

async fn what_a_publisher_says_again_takes_the_place_of_what_was_said(site: Arc<Site>) {
    let server = site.server();
    let one = new_release(1);
    assert!(server.catalog.publish_release(&one, None).await.expect("published"));
    for said in [r#"{"summary":"a"}"#, r#"{"summary":"b"}"#] {
        assert!(!server.catalog.publish_release(&one, Some(said)).await.expect("published before"));
        assert_eq!(document(&server, &one.digest, None).await, said);
    }
    // Without a word, what was said stays.
    assert!(!server.catalog.add_release(&one).await.expect("added before"));
    assert_eq!(document(&server, &one.digest, None).await, r#"{"summary":"b"}"#);
    // Under another name it is another's.
    let other = NewRelease { engine: "other".to_owned(), ..one.clone() };
    assert_eq!(code(server.catalog.publish_release(&other, Some("{}")).await), ErrorCode::Conflict);
    assert_eq!(document(&server, &one.digest, None).await, r#"{"summary":"b"}"#);
}

async fn a_bad_description_publishes_nothing(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    for bad in ["", "[]", "{", &format!("{{\"a\":\"{}\"}}", "x".repeat(256 << 10))] {
        assert_eq!(code(server.catalog.publish_release(&new_release(1), Some(bad)).await), ErrorCode::BadRequest);
    }
    let list = server.catalog.releases(&ann, None).await.expect("a list").releases;
    assert!(list.iter().all(|one| one.digest == release()), "{list:?}");
}

async fn extensions_are_listed_and_forgotten_with_their_description(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let one = new_release(1);
    server.catalog.add_release(&one).await.expect("added");
    let by_schema = r#"{"summary":"s","report_schema":{"x-extensions":["tgz","docx"]}}"#;
    server.catalog.describe_release(POOL, &one.digest, by_schema).await.expect("described");
    for pool in [None, Some(POOL)] {
        assert_eq!(listed(&server, &ann, pool, &one.digest).await.extensions, ["tgz", "docx"]);
    }
    // Newer ones drive it out; then it comes again.
    for number in 0..9 {
        server.catalog.describe_release(POOL, &one.digest, &format!("{{\"n\":{number}}}")).await.expect("described");
    }
    assert!(listed(&server, &ann, Some(POOL), &one.digest).await.extensions.is_empty());
    server.catalog.describe_release(POOL, &one.digest, by_schema).await.expect("described");
    assert_eq!(listed(&server, &ann, Some(POOL), &one.digest).await.extensions, ["tgz", "docx"]);
}

async fn long_parameters_are_leased_to_nodes_that_take_them_and_to_no_others(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let mut long = site.bundle(1);
    long.tasks[0].needs.push(LONG_PARAMETERS.to_owned());
    send(&server, &ann, &long).await;
    assert!(server.queue.lease(POOL, wish("old", 8, 8, 0)).await.expect("an answer").uploads.is_empty());
    let takes_long = abilities(&[(1, 0)]).into_iter().chain([LONG_PARAMETERS.to_owned()]).collect::<Vec<_>>();
    let new = || LeaseRequest { abilities: takes_long.clone(), ..wish("new", 8, 8, 20_000) };
    assert_eq!(runs(&server.queue.lease(POOL, new()).await.expect("an answer")).len(), 1);
    // What is short goes to either.
    send(&server, &ann, &site.bundle(1)).await;
    assert_eq!(runs(&lease_now(&server, "old", 8, 0).await).len(), 1);
    send(&server, &ann, &site.bundle(1)).await;
    assert_eq!(runs(&server.queue.lease(POOL, new()).await.expect("an answer")).len(), 1);
}

async fn a_list_says_whether_a_node_of_the_pool_takes_long_parameters(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let known = async |pool: Option<&str>| server.catalog.releases(&ann, pool).await.expect("a list").parameters_bytes;
    assert_eq!(known(Some(POOL)).await, None);
    lease_now(&server, "old", 8, 0).await;
    assert_eq!(known(Some(POOL)).await, None);
    let takes_long = abilities(&[(1, 0)]).into_iter().chain([LONG_PARAMETERS.to_owned()]).collect();
    let new = LeaseRequest { abilities: takes_long, ..wish("new", 8, 8, 0) };
    server.queue.lease(POOL, new).await.expect("an answer");
    assert_eq!(known(Some(POOL)).await, Some(MAX_PARAMETERS_BYTES));
    assert_eq!((known(Some("other")).await, known(None).await), (None, None));
}
