//! What engines say of themselves: the newest word is shown, none is shut out, and nodes are asked for it.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::limits::MAX_DESCRIPTION_BYTES;
use filemill_api::{DescriptionQuery, ErrorBody, ErrorCode, LeaseRequest};
use filemill_server::Domains;
use filemill_server::catalog::NewRelease;

use super::site::{
    Kind, POOL, Site, abilities, code, eventually, lease_now, make_pool, operator, release, runs, send, wish,
};

super::on_both!(
    a_description_shuts_out_no_other,
    what_another_pool_says_is_not_shown_to_who_asks_for_one,
    a_description_is_expected_only_of_a_node_that_can_run_the_release,
    a_list_shows_what_is_known_of_each_release,
    a_node_that_waits_is_asked_to_describe_what_it_can_run,
    a_node_that_never_waits_is_asked_with_its_work,
    leasing_goes_on_while_descriptions_cannot_be_looked_at,
    what_one_pool_lacks_keeps_no_other_from_being_asked,
    old_descriptions_of_what_is_gone_are_forgotten,
);

fn digest(number: u32) -> String {
    format!("{number:064x}")
}

async fn publish(server: &Domains, number: u32, contract: u32) -> String {
    let release = NewRelease {
        engine: format!("engine-{number}"),
        version: "0.1.0".to_owned(),
        digest: digest(number),
        contract,
        minor: 0,
        needs: Vec::new(),
        length: 10,
    };
    assert!(server.catalog.add_release(&release).await.expect("added"));
    release.digest
}

/// The document of that hash, or of none, as some pool said it, or any.
async fn read(server: &Domains, digest: &str, of: Option<&str>, pool: Option<&str>) -> Result<String, ErrorBody> {
    let query = DescriptionQuery { sha256: of.map(sha256), pool: pool.map(ToOwned::to_owned) };
    server.catalog.description(&operator(), digest, &query).await
}

fn sha256(text: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

async fn a_description_shuts_out_no_other(site: Arc<Site>) {
    let server = site.server();
    let one = publish(&server, 1, 1).await;
    assert_eq!(code(read(&server, &one, None, None).await), ErrorCode::NotFound);
    let odd = " {\"version\" : \"2.0.0\",\n\"x\":\"\\u0041\\u0000é\"} ";
    for document in ["{}", odd, odd, "{ }", odd] {
        server.catalog.describe_release(POOL, &one, document).await.expect("there is one");
        assert_eq!(read(&server, &one, None, None).await.expect("it is there"), document, "the newest, byte for byte");
        assert_eq!(read(&server, &one, Some("{}"), None).await.expect("it is there"), "{}");
        assert_eq!(read(&server, &one, Some(document), Some(POOL)).await.expect("it is there"), document);
    }
    for many in 0..10 {
        server.catalog.describe_release(POOL, &one, &format!("{{\"n\":{many}}}")).await.expect("there is one");
    }
    for (n, there) in [(1, false), (2, true), (9, true)] {
        let found = read(&server, &one, Some(&format!("{{\"n\":{n}}}")), None).await;
        assert_eq!(found.is_ok(), there, "of {n}: the newest eight are kept");
    }
    for bad in ["", "[]", "1", "{", "{\"a\":\"\0\"}", &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_DESCRIPTION_BYTES))] {
        assert_eq!(code(server.catalog.describe_release(POOL, &one, bad).await), ErrorCode::BadRequest);
    }
    assert_eq!(code(server.catalog.describe_release(POOL, &digest(2), "{}").await), ErrorCode::NotFound);
    assert_eq!(code(server.catalog.describe_release(POOL, "../x", "{}").await), ErrorCode::NotFound);
}

async fn what_another_pool_says_is_not_shown_to_who_asks_for_one(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let one = publish(&server, 1, 1).await;
    make_pool(&server, "other").await;
    server.catalog.describe_release("other", &one, r#"{"summary":"theirs"}"#).await.expect("described");
    let shown = async |pool: Option<&str>| {
        let listed = server.catalog.releases(&ann, pool).await.expect("a list").releases;
        listed.into_iter().find(|release| release.digest == one).expect("it is listed")
    };
    assert_eq!(shown(None).await.summary.as_deref(), Some("theirs"));
    assert_eq!(shown(Some(POOL)).await.summary, None);
    assert_eq!(code(read(&server, &one, None, Some(POOL)).await), ErrorCode::NotFound);
    // So a node of this pool is asked, too.
    assert!(!shown(Some(POOL)).await.describing, "nobody is there who could");
    let asked = server.queue.lease(POOL, wish("n", 8, 0, 30_000)).await.expect("an answer").describe;
    assert_eq!(asked, std::slice::from_ref(&one));
    assert!(shown(Some(POOL)).await.describing && !shown(None).await.describing);
    server.catalog.describe_release(POOL, &one, r#"{"summary":"ours"}"#).await.expect("described");
    let ours = shown(Some(POOL)).await;
    assert_eq!((ours.summary.as_deref(), ours.describing), (Some("ours"), false));
    server.catalog.describe_release("other", &one, r#"{"summary":"theirs again"}"#).await.expect("described");
    assert_eq!(shown(Some(POOL)).await.summary.as_deref(), Some("ours"));
    assert_eq!(shown(None).await.summary.as_deref(), Some("theirs again"));
}

async fn a_description_is_expected_only_of_a_node_that_can_run_the_release(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    lease_now(&server, "n", 8, 0).await;
    let (able, unable) = (publish(&server, 1, 1).await, publish(&server, 2, 2).await);
    // At once, before anybody was asked.
    for pool in [Some(POOL), None] {
        let listed = server.catalog.releases(&ann, pool).await.expect("a list").releases;
        let describing = |digest: &str| listed.iter().any(|one| one.digest == digest && one.describing);
        assert!(describing(&able) && !describing(&unable) && !describing(&release()), "{listed:?}");
    }
}

async fn a_list_shows_what_is_known_of_each_release(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let (one, _two) = (publish(&server, 1, 1).await, publish(&server, 2, 1).await);
    let document = r#"{"summary":"It counts","media_types":["text/*","image/png"]}"#;
    server.catalog.describe_release(POOL, &one, document).await.expect("described");
    let listed = server.catalog.releases(&ann, None).await.expect("a list").releases;
    let said: Vec<_> =
        listed.iter().map(|r| (r.engine.as_str(), r.summary.as_deref(), r.media_types.clone())).collect();
    let types = vec!["text/*".to_owned(), "image/png".to_owned()];
    assert_eq!(
        said,
        [("engine-1", Some("It counts"), Some(types)), ("engine-2", None, None), ("size", Some(""), Some(Vec::new()))]
    );
}

async fn a_node_that_waits_is_asked_to_describe_what_it_can_run(site: Arc<Site>) {
    let server = site.server();
    let (one, _two) = (publish(&server, 1, 1).await, publish(&server, 2, 2).await);
    // At once, though it would have waited.
    let asked = server.queue.lease(POOL, wish("n", 8, 0, 30_000)).await.expect("an answer");
    assert_eq!((asked.uploads.len(), &asked.describe), (0, &vec![one.clone()]));
    // It is not asked again at once, and nobody else is meanwhile.
    for node in ["n", "m"] {
        assert!(lease_now(&server, node, 8, 0).await.describe.is_empty());
    }
    server.catalog.describe_release(POOL, &one, "{}").await.expect("described");
    let both = LeaseRequest { abilities: abilities(&[(1, 0), (2, 0)]), ..wish("k", 8, 0, 30_000) };
    assert_eq!(server.queue.lease(POOL, both).await.expect("an answer").describe, [digest(2)]);
    let ann = site.user(&server, "acme", "ann").await;
    let listed = server.catalog.releases(&ann, None).await.expect("a list").releases;
    let described_soon: Vec<_> = listed.iter().filter(|release| release.describing).map(|one| &one.digest).collect();
    assert_eq!(described_soon, [&digest(2)], "the others are described");
    // One that waits already is asked when a release comes.
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.queue.lease(POOL, wish("w", 8, 0, 30_000)).await.expect("an answer") }
    });
    let three = publish(&server, 3, 1).await;
    assert_eq!(waiting.await.expect("no panic").describe, [three]);
}

async fn a_node_that_never_waits_is_asked_with_its_work(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let one = publish(&server, 1, 1).await;
    let asked = eventually("it is asked", async || {
        send(&server, &ann, &site.bundle(2)).await;
        let leased = lease_now(&server, "n", 8, 0).await;
        assert_eq!(runs(&leased).len(), 1);
        (!leased.describe.is_empty()).then_some(leased.describe)
    });
    assert_eq!(asked.await, [one]);
}

async fn leasing_goes_on_while_descriptions_cannot_be_looked_at(site: Arc<Site>) {
    if site.kind() == Kind::Sqlite {
        // It has no lock that keeps readers out.
        return;
    }
    let server = site.server();
    let locked = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.sql("", "begin; lock table descriptions; select pg_sleep(4); commit").await }
    });
    let mut answers = 0;
    while !locked.is_finished() {
        // A look for descriptions falls into this time at least thrice.
        let asked = tokio::time::timeout(Duration::from_secs(1), lease_now(&server, "n", 8, 0)).await;
        assert!(asked.expect("at once").uploads.is_empty());
        answers += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(answers > 20, "{answers}");
    locked.await.expect("no panic");
}

async fn what_one_pool_lacks_keeps_no_other_from_being_asked(site: Arc<Site>) {
    let server = site.server();
    let old = publish(&server, 1, 1).await;
    let many = |from: &str| {
        format!(
            "insert into releases (digest, engine, version, contract, needs, length, created_at)
                 select 'd' || i, 'e' || i, '1', 1, 1, 1, 0 from {from};
             insert into descriptions (pool, digest, sha256, version, summary, media_types, said_at, document)
                 select 'other', 'd' || i, '', '', '', '[]', 1, '{{}}' from {from}"
        )
    };
    site.sql(
        &many("(with recursive c(i) as (select 1 union all select i + 1 from c where i < 600) select i from c)"),
        &many("generate_series(1, 600) as i"),
    )
    .await;
    // The site's own release is described by nobody of that pool.
    server.catalog.describe_release("other", &release(), "{}").await.expect("described");
    lease_now(&server, "n", 8, 0).await;
    let there = LeaseRequest { pool: "other".to_owned(), ..wish("m", 8, 0, 20_000) };
    assert_eq!(server.queue.lease("other", there).await.expect("an answer").describe, [old]);
}

async fn old_descriptions_of_what_is_gone_are_forgotten(site: Arc<Site>) {
    let server = site.server();
    let there = |digest: String| {
        let server = server.clone();
        async move { read(&server, &digest, None, None).await.is_ok() }
    };
    let insert = |digest: &str, said_at: &str| {
        format!(
            "insert into descriptions (pool, digest, sha256, version, summary, media_types, said_at, document)
                 values ('{POOL}', '{digest}', 'h', '', '', '[]', {said_at}, '{{}}');"
        )
    };
    // Old and gone, gone just now, and an old one of a release.
    let all = [insert(&digest(1), "1"), insert(&digest(2), "9000000000000"), insert(&digest(3), "1")].concat();
    publish(&server, 3, 1).await;
    site.sql(&all, &all).await;
    // One looks when it starts.
    let _other = site.server();
    eventually("it is forgotten", async || (!there(digest(1)).await).then_some(())).await;
    assert!(there(digest(2)).await && there(digest(3)).await);
}
