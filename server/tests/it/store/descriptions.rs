//! What engines say of themselves: the first word stays, and nodes are asked for it.

use std::sync::Arc;

use filemill_api::limits::MAX_DESCRIPTION_BYTES;
use filemill_api::{DescriptionQuery, ErrorCode, LeaseRequest};
use filemill_server::rules::{NewRelease, Rules};

use super::site::{POOL, Site, code, eventually, lease_now, runs, send, wish};

super::on_both!(
    the_first_description_stays_as_it_was_written,
    a_list_shows_what_is_known_of_each_release,
    a_node_that_waits_is_asked_to_describe_what_it_can_run,
    a_node_that_never_waits_is_asked_with_its_work,
);

fn digest(number: u32) -> String {
    format!("{number:064x}")
}

async fn publish(rules: &Rules, number: u32, contract: u32) -> String {
    let release = NewRelease {
        engine: format!("engine-{number}"),
        version: "0.1.0".to_owned(),
        digest: digest(number),
        contract,
        length: 10,
    };
    assert!(rules.add_release(&release).await.expect("added"));
    release.digest
}

async fn the_first_description_stays_as_it_was_written(site: Arc<Site>) {
    let rules = site.server();
    let one = publish(&rules, 1, 1).await;
    assert_eq!(code(rules.description(&one, &DescriptionQuery::default()).await), ErrorCode::NotFound);
    let text = " {\"version\" : \"2.0.0\",\n\"x\":\"\\u0041é\"} ";
    for document in [text, text, "{}"] {
        rules.describe_release(&one, document).await.expect("there is one");
        assert_eq!(
            rules.description(&one, &DescriptionQuery::default()).await.expect("it is there"),
            text,
            "byte for byte"
        );
    }
    for bad in ["", "[]", "1", "{", &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_DESCRIPTION_BYTES))] {
        assert_eq!(code(rules.describe_release(&one, bad).await), ErrorCode::BadRequest);
    }
    assert_eq!(code(rules.describe_release(&digest(2), "{}").await), ErrorCode::NotFound);
    assert_eq!(code(rules.describe_release("../x", "{}").await), ErrorCode::NotFound);
}

async fn a_list_shows_what_is_known_of_each_release(site: Arc<Site>) {
    let rules = site.server();
    let ann = site.user(&rules, "acme", "ann").await;
    let (one, _two) = (publish(&rules, 1, 1).await, publish(&rules, 2, 1).await);
    let document = r#"{"summary":"It counts","media_types":["text/*","image/png"]}"#;
    rules.describe_release(&one, document).await.expect("described");
    let listed = rules.releases(&ann, None).await.expect("a list").releases;
    let said: Vec<_> =
        listed.iter().map(|r| (r.engine.as_str(), r.summary.as_deref(), r.media_types.clone())).collect();
    let types = vec!["text/*".to_owned(), "image/png".to_owned()];
    assert_eq!(
        said,
        [("engine-1", Some("It counts"), Some(types)), ("engine-2", None, None), ("size", Some(""), Some(Vec::new()))]
    );
}

async fn a_node_that_waits_is_asked_to_describe_what_it_can_run(site: Arc<Site>) {
    let rules = site.server();
    let (one, _two) = (publish(&rules, 1, 1).await, publish(&rules, 2, 2).await);
    // At once, though it would have waited.
    let asked = rules.lease(POOL, wish("n", 8, 0, 30_000)).await.expect("an answer");
    assert_eq!((asked.uploads.len(), &asked.describe), (0, &vec![one.clone()]));
    // It is not asked again at once, and nobody else is meanwhile.
    for node in ["n", "m"] {
        assert!(lease_now(&rules, node, 8, 0).await.describe.is_empty());
    }
    rules.describe_release(&one, "{}").await.expect("described");
    let both = LeaseRequest { contracts: vec![1, 2], ..wish("k", 8, 0, 30_000) };
    assert_eq!(rules.lease(POOL, both).await.expect("an answer").describe, [digest(2)]);
    let ann = site.user(&rules, "acme", "ann").await;
    let listed = rules.releases(&ann, None).await.expect("a list").releases;
    let described_soon: Vec<_> = listed.iter().filter(|release| release.describing).map(|one| &one.digest).collect();
    assert_eq!(described_soon, [&digest(2)], "the others are described");
    // One that waits already is asked when a release comes.
    let waiting = tokio::spawn({
        let rules = rules.clone();
        async move { rules.lease(POOL, wish("w", 8, 0, 30_000)).await.expect("an answer") }
    });
    let three = publish(&rules, 3, 1).await;
    assert_eq!(waiting.await.expect("no panic").describe, [three]);
}

async fn a_node_that_never_waits_is_asked_with_its_work(site: Arc<Site>) {
    let rules = site.server();
    let ann = site.user(&rules, "acme", "ann").await;
    let one = publish(&rules, 1, 1).await;
    let asked = eventually("it is asked", async || {
        send(&rules, &ann, &site.bundle(2)).await;
        let leased = lease_now(&rules, "n", 8, 0).await;
        assert_eq!(runs(&leased).len(), 1);
        (!leased.describe.is_empty()).then_some(leased.describe)
    });
    assert_eq!(asked.await, [one]);
}
