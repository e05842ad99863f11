//! What a processor's token is good for: its own pool, and nothing else.

use std::sync::Arc;

use filemill_api::limits::{MAX_POOL_NODES, MAX_POOL_OFFERS};
use filemill_api::{
    ChunksRequest, Complete, CompleteRequest, ErrorCode, LeaseReport, LeaseRequest, LeaseReturn, MissingRequest, Offer,
    OfferRequest, ReportRequest, ResultUrlRequest, ReturnReason, ReturnRequest, SignedStatement, WantResult,
};
use filemill_server::Domains;
use filemill_server::accounts::Scope;

use super::site::{
    POOL, Site, abilities, chunk, code, complete, completion, eventually, key, lease, lease_now, make_pool, only, send,
    wish,
};

super::on_both!(
    a_token_for_a_processor_names_its_pool_and_no_other_does,
    a_processor_speaks_for_no_other_pool,
    a_lease_is_nothing_to_another_pool,
    nodes_of_two_pools_may_have_one_name,
    a_pool_has_so_many_nodes_at_work_and_forgets_those_that_are_gone,
    the_nodes_of_a_pool_offer_so_much,
);

const OTHER: &str = "other";

async fn publish(server: &Domains, pool: &str) {
    make_pool(server, pool).await;
}

fn offer(number: u32) -> Offer {
    Offer {
        name: "mine".to_owned(),
        digest: format!("{number:064x}"),
        length: 100,
        contract: 1,
        minor: 0,
        description: "{}".to_owned(),
        stored: true,
    }
}

async fn a_token_for_a_processor_names_its_pool_and_no_other_does(site: Arc<Site>) {
    let server = site.server();
    let pool = Some(POOL);
    let made = server.accounts.create_token("acme", "node", Scope::Processor, pool).await.expect("a token");
    let caller = server.accounts.authenticate(&made.text).await.expect("a caller");
    assert_eq!(caller.processor_pool(), Ok(POOL));
    assert_eq!(server.accounts.tokens().await.expect("a list")[0].pool.as_deref(), pool);
    let user = site.user(&server, "acme", "ann").await;
    assert_eq!(code(user.processor_pool()), ErrorCode::Forbidden);
    for (scope, pool) in
        [(Scope::Processor, None), (Scope::Processor, Some("a b")), (Scope::User, pool), (Scope::Operator, pool)]
    {
        let refused = server.accounts.create_token("acme", "x", scope, pool).await;
        assert_eq!(code(refused), ErrorCode::BadRequest, "{scope} {pool:?}");
    }
}

async fn a_processor_speaks_for_no_other_pool(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    publish(&server, OTHER).await;
    send(&server, &ann, &site.bundle(1)).await;
    let refused = server.queue.lease(OTHER, wish("n", 1, 0, 0)).await.expect_err("a refusal");
    assert_eq!(refused.code, ErrorCode::Forbidden);
    assert!(refused.message.contains("`other`") && refused.message.contains("`pool`"), "{refused}");
    assert!(refused.hint.is_some_and(|hint| hint.contains("--pool")));
    let engines = OfferRequest { node: "n".to_owned(), engines: vec![offer(1)], stopping: false };
    assert_eq!(code(server.catalog.offer_engines(OTHER, POOL, &engines).await), ErrorCode::Forbidden);
    let statement = format!(r#"{{"filemill_pool":1,"pool":"{POOL}","serial":9}}"#);
    let signed = SignedStatement { statement, signature: "ab".repeat(64) };
    assert_eq!(code(server.catalog.publish_pool(OTHER, &signed).await), ErrorCode::Forbidden);
    assert_eq!(
        server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases.len(),
        1,
        "nothing was offered"
    );
    assert_eq!(only(&lease_now(&server, "n", 1, 0).await).attempt, 1, "nothing was leased");
}

async fn a_lease_is_nothing_to_another_pool(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    publish(&server, OTHER).await;
    send(&server, &ann, &site.bundle(2)).await;
    let run = only(&lease(&server, "n", 2).await);
    let lease = key(&run);

    let report =
        ReportRequest { node: "n".to_owned(), leases: vec![LeaseReport { lease, started: vec![0], per_mille: 500 }] };
    // In one batch with who does hold it, too.
    let (theirs, ours) = tokio::join!(server.queue.report(OTHER, report.clone()), server.queue.report(POOL, report));
    assert_eq!(theirs.expect("an answer").lost, [lease]);
    assert!(ours.expect("an answer").lost.is_empty());
    let chunks = ChunksRequest { lease, from: 0, count: 1, wait_ms: 0 };
    assert_eq!(code(server.queue.lease_chunks(OTHER, chunks).await), ErrorCode::Fenced);
    let back = LeaseReturn { lease, reason: ReturnReason::NodeFault };
    let back = ReturnRequest { node: "n".to_owned(), leases: vec![back] };
    assert_eq!(server.queue.give_back(OTHER, back).await.expect("an answer").lost, [lease]);
    let missing = MissingRequest { node: "n".to_owned(), lease, chunks: vec![(0, chunk(0).sha256)], header: true };
    assert_eq!(server.queue.missing(OTHER, missing).await.expect("an answer").lost, [lease]);
    let want = WantResult { lease, job: 0, length: 10, sha256: "a".repeat(64) };
    let urls =
        server.queue.result_urls(OTHER, ResultUrlRequest { results: vec![want] }).await.expect("an answer").remove(0);
    assert_eq!(code(urls), ErrorCode::Fenced);
    let done = |indexes: &[u32]| {
        let results = indexes.iter().map(|&index| completion(index)).collect();
        CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease, results }] }
    };
    let foreign = async |indexes: &[u32]| {
        let answer = server.queue.complete(OTHER, done(indexes)).await.expect("an answer").leases.remove(0);
        assert_eq!(code(answer.into_result()), ErrorCode::Fenced);
    };
    foreign(&[0]).await;
    foreign(&[]).await;
    assert!(!complete(&server, &run, &[0]).await.expect("still held").ended);
    foreign(&[0]).await;
    assert!(complete(&server, &run, &[1]).await.expect("still held").ended);
}

async fn nodes_of_two_pools_may_have_one_name(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    publish(&server, OTHER).await;
    let offers = OfferRequest { node: "n".to_owned(), engines: vec![offer(1)], stopping: false };
    server.catalog.offer_engines(POOL, POOL, &offers).await.expect("offered");
    // The other pool's node of that id comes, and goes on asking.
    server.catalog.offer_engines(OTHER, OTHER, &OfferRequest { engines: Vec::new(), ..offers }).await.expect("offered");
    let there = LeaseRequest { pool: OTHER.to_owned(), abilities: abilities(&[(2, 0)]), ..wish("n", 1, 0, 0) };
    server.queue.lease(OTHER, there).await.expect("an answer");
    let listed = server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases;
    assert!(listed.iter().any(|release| release.engine == "local/mine"), "{listed:?}");
}

async fn a_pool_has_so_many_nodes_at_work_and_forgets_those_that_are_gone(site: Arc<Site>) {
    let server = site.server();
    let fill =
        |seen: &str| format!("insert into nodes (pool, id, runs, seen_at) select '{POOL}', 'n' || i, 0, {seen} from");
    let (sqlite, postgres) = (
        format!(
            "(with recursive c(i) as (select 1 union all select i + 1 from c where i < {MAX_POOL_NODES}) select i from c)"
        ),
        format!("generate_series(1, {MAX_POOL_NODES}) as i"),
    );
    let now = "9000000000000";
    site.sql(&format!("{} {sqlite}", fill(now)), &format!("{} {postgres}", fill(now))).await;
    assert_eq!(code(server.queue.lease(POOL, wish("new", 1, 0, 0)).await), ErrorCode::OverQuota);
    let offers = OfferRequest { node: "new".to_owned(), engines: vec![offer(1)], stopping: false };
    assert_eq!(code(server.catalog.offer_engines(POOL, POOL, &offers).await), ErrorCode::OverQuota);
    server.queue.lease(POOL, wish("n7", 1, 0, 0)).await.expect("one that is known");
    server
        .queue
        .lease(OTHER, LeaseRequest { pool: OTHER.to_owned(), ..wish("new", 1, 0, 0) })
        .await
        .expect("another pool's");
    let gone = "update nodes set seen_at = 0 where id = 'n8'";
    site.sql(gone, gone).await;
    // That there was none is remembered for a moment.
    eventually("there is room again", || async { server.queue.lease(POOL, wish("new", 1, 0, 0)).await.ok() }).await;
    assert_eq!(code(server.queue.lease(POOL, wish("newer", 1, 0, 0)).await), ErrorCode::OverQuota);
}

async fn the_nodes_of_a_pool_offer_so_much(site: Arc<Site>) {
    let server = site.server();
    let fill =
        format!("insert into offers (pool, node, name, digest, since) select '{POOL}', 'm', 'e' || i, 'd', 0 from");
    let most = MAX_POOL_OFFERS - 1;
    // Offers of a node that nobody knows are forgotten.
    let node = format!("insert into nodes (pool, id, runs, seen_at) values ('{POOL}', 'm', 0, 9000000000000)");
    site.sql(&node, &node).await;
    site.sql(
        &format!(
            "{fill} (with recursive c(i) as (select 1 union all select i + 1 from c where i < {most}) select i from c)"
        ),
        &format!("{fill} generate_series(1, {most}) as i"),
    )
    .await;
    let one = OfferRequest { node: "n".to_owned(), engines: vec![offer(1)], stopping: false };
    server.catalog.offer_engines(POOL, POOL, &one).await.expect("there is room for one");
    server.catalog.offer_engines(POOL, POOL, &one).await.expect("it is there");
    let two = OfferRequest { engines: vec![offer(1), Offer { name: "more".to_owned(), ..offer(2) }], ..one };
    let refused = server.catalog.offer_engines(POOL, POOL, &two).await.expect_err("a refusal");
    assert_eq!(refused.code, ErrorCode::OverQuota);
    assert!(refused.hint.is_some());
}
