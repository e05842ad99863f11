//! Engines that nodes bring themselves.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{DescriptionQuery, ErrorBody, ErrorCode, Offer, OfferRequest, OpenUpload, UploadState, WaitReason};
use filemill_server::accounts::Caller;
use filemill_server::catalog::{CatalogConfig, NewRelease, Offered};
use filemill_server::maintenance::MaintenanceConfig;
use filemill_server::{Domains, DomainsConfig};

use super::site::{
    POOL, Site, advance, chunk, code, complete, complete_all, eventually, lease, lease_now, make_pool, only, open_one,
    operator, release, report, send, task,
};

super::on_both!(
    an_engine_is_seen_by_its_pool_once_its_component_is_stored,
    the_newest_of_a_name_is_used_and_its_end_brings_the_other_back,
    what_is_not_listed_any_more_is_gone_and_what_is_in_flight_goes_on,
    engines_of_a_node_that_is_not_seen_are_gone,
    one_bad_offer_fails_alone_and_no_published_engine_is_overridden,
    a_component_that_nobody_offers_is_deleted_unless_it_is_needed,
    what_is_known_of_a_stored_component_does_not_change,
    a_component_is_its_pools_own,
    a_description_counts_once_its_component_is_stored,
    a_component_that_storage_has_lost_is_asked_for_again,
    a_pool_keeps_so_many_components,
    a_list_of_a_pools_engines_ends_where_it_is_long,
    a_node_that_only_reports_keeps_its_offers,
    offers_of_nodes_that_are_gone_take_no_room,
    a_node_that_stops_is_gone_at_once_and_what_it_runs_goes_on,
);

fn digest(number: u32) -> String {
    format!("{number:064x}")
}

fn object(number: u32) -> String {
    format!("components/{}.{POOL}", digest(number))
}

fn offer(name: &str, number: u32, stored: bool) -> Offer {
    Offer {
        name: name.to_owned(),
        digest: digest(number),
        length: 100,
        contract: 1,
        minor: 0,
        description: format!(r#"{{"version":"{number}.0.0","summary":"number {number}","media_types":["text/*"]}}"#),
        stored,
    }
}

async fn list(server: &Domains, node: &str, engines: &[Offer]) -> Vec<Result<Offered, ErrorBody>> {
    let request = OfferRequest { node: node.to_owned(), engines: engines.to_vec(), stopping: false };
    server.catalog.offer_engines(POOL, POOL, &request).await.expect("an answer")
}

/// Lists engines as stored.
async fn bring(server: &Domains, node: &str, engines: &[(&str, u32)]) {
    let engines: Vec<_> = engines.iter().map(|(name, number)| offer(name, *number, true)).collect();
    for offered in list(server, node, &engines).await {
        assert_eq!(offered, Ok(Offered { visible: true, put: None }));
    }
}

/// Name and version of the pool's own engines.
async fn seen(server: &Domains, caller: &Caller) -> Vec<(String, String)> {
    let listed = server.catalog.releases(caller, Some(POOL)).await.expect("a list").releases;
    listed
        .into_iter()
        .filter(|release| release.engine.starts_with("local/"))
        .inspect(|release| assert!(release.current))
        .map(|release| (release.engine, release.version))
        .collect()
}

fn named(name: &str, number: u32) -> (String, String) {
    (format!("local/{name}"), format!("{number}.0.0"))
}

fn upload(site: &Site, number: u32) -> OpenUpload {
    OpenUpload { tasks: vec![task(&[&digest(number)])], ..site.bundle(1) }
}

async fn an_engine_is_seen_by_its_pool_once_its_component_is_stored(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let told = list(&server, "n", &[offer("a.b", 1, false)]).await.remove(0).expect("it is good");
    let put = told.put.expect("a place");
    assert_eq!((put.key.to_string(), put.length, put.sha256), (object(1), 100, digest(1)));
    assert!(!told.visible && seen(&server, &ann).await.is_empty());
    assert_eq!(code(open_one(&server, &ann, &upload(&site, 1)).await), ErrorCode::NotFound);
    assert_eq!(code(server.catalog.component(POOL, &digest(1)).await), ErrorCode::NotFound);

    bring(&server, "n", &[("a.b", 1)]).await;
    let listed = server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases;
    let engine = listed.iter().find(|release| release.engine == "local/a.b").expect("it is seen");
    assert_eq!((engine.version.as_str(), engine.length, engine.contract), ("1.0.0", 100, 1));
    assert_eq!(engine.summary.as_deref(), Some("number 1"));
    assert_eq!(engine.media_types, Some(vec!["text/*".to_owned()]));
    assert_eq!(server.catalog.component(POOL, &digest(1)).await.expect("a component").length, 100);
    assert_eq!(
        server.catalog.description(&operator(), &digest(1), &DescriptionQuery::default()).await.expect("a description"),
        offer("a.b", 1, true).description
    );

    // Nobody else sees it, and it runs for nobody else.
    make_pool(&server, "other").await;
    for pool in [None, Some("other"), Some("nonsense")] {
        let listed = server.catalog.releases(&ann, pool).await.expect("a list").releases;
        assert_eq!(listed.len(), 1, "the published one only");
    }
    let elsewhere = OpenUpload { pool: "other".to_owned(), ..upload(&site, 1) };
    assert_eq!(code(open_one(&server, &ann, &elsewhere).await), ErrorCode::NotFound);
    send(&server, &ann, &upload(&site, 1)).await;
    let leased = lease(&server, "n", 1).await;
    assert_eq!(leased.uploads[0].spans[0].release, digest(1));
}

async fn the_newest_of_a_name_is_used_and_its_end_brings_the_other_back(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    bring(&server, "one", &[("a", 1), ("b", 2)]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    bring(&server, "two", &[("a", 3)]).await;
    assert_eq!(seen(&server, &ann).await, [named("a", 3), named("b", 2)]);
    // Listed again, not anew.
    bring(&server, "one", &[("a", 1), ("b", 2)]).await;
    assert_eq!(seen(&server, &ann).await, [named("a", 3), named("b", 2)]);
    for number in [1, 2, 3] {
        assert!(open_one(&server, &ann, &upload(&site, number)).await.is_ok(), "any that a node offers");
    }
    list(&server, "two", &[]).await;
    assert_eq!(seen(&server, &ann).await, [named("a", 1), named("b", 2)]);
    // Replaced in place.
    bring(&server, "one", &[("a", 4), ("b", 2), ("c", 4)]).await;
    assert_eq!(seen(&server, &ann).await, [named("a", 4), named("b", 2), named("c", 4)]);
}

async fn what_is_not_listed_any_more_is_gone_and_what_is_in_flight_goes_on(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    bring(&server, "n", &[("a", 1)]).await;
    let begun = upload(&site, 1);
    open_one(&server, &ann, &begun).await.expect("opened");
    bring(&server, "n", &[("a", 2)]).await;
    assert_eq!(code(open_one(&server, &ann, &upload(&site, 1)).await), ErrorCode::NotFound);
    // A client that comes back goes on with what it has begun.
    open_one(&server, &ann, &begun).await.expect("opened before");
    let state = advance(&server, &ann, &begun.id, true, vec![chunk(0)]).await.expect("advanced");
    assert_eq!(state, UploadState::Stored);
    list(&server, "n", &[]).await;
    assert!(seen(&server, &ann).await.is_empty());
    let leased = lease(&server, "other-node", 1).await;
    assert_eq!(leased.uploads[0].spans[0].release, digest(1));
    assert_eq!(server.catalog.component(POOL, &digest(1)).await.expect("it is there still").sha256, digest(1));
    complete_all(&server, &leased).await;
}

async fn engines_of_a_node_that_is_not_seen_are_gone(site: Arc<Site>) {
    let present = Duration::from_millis(1500);
    let server = site.server_with(DomainsConfig {
        catalog: CatalogConfig { node_present: present, ..CatalogConfig::default() },
        ..DomainsConfig::default()
    });
    let ann = site.user(&server, "acme", "ann").await;
    bring(&server, "n", &[("a", 1)]).await;
    assert_eq!(seen(&server, &ann).await, [named("a", 1)]);
    eventually("it is gone", async || seen(&server, &ann).await.is_empty().then_some(())).await;
    assert_eq!(code(open_one(&server, &ann, &upload(&site, 1)).await), ErrorCode::NotFound);
    // It asks for work: it is there again, with what it listed.
    assert!(lease_now(&server, "n", 1, 0).await.uploads.is_empty());
    assert_eq!(seen(&server, &ann).await, [named("a", 1)]);
}

async fn one_bad_offer_fails_alone_and_no_published_engine_is_overridden(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let good = offer("size", 1, true);
    let bad = [
        Offer { name: "../size".to_owned(), ..good.clone() },
        Offer { name: String::new(), ..good.clone() },
        Offer { name: "x".repeat(65), ..good.clone() },
        Offer { digest: "A".repeat(64), ..good.clone() },
        Offer { length: 0, ..good.clone() },
        Offer { length: (32 << 20) + 1, ..good.clone() },
        Offer { contract: 0, minor: 0, ..good.clone() },
        Offer { contract: 31, ..good.clone() },
        Offer { description: "[]".to_owned(), ..good.clone() },
    ];
    let engines: Vec<_> = bad.iter().cloned().chain([good.clone(), good.clone()]).collect();
    let mut answers = list(&server, "n", &engines).await;
    assert_eq!(code(answers.pop().expect("an answer")), ErrorCode::BadRequest, "a name comes once");
    assert!(answers.pop().expect("an answer").is_ok());
    assert!(answers.into_iter().all(|answer| code(answer) == ErrorCode::BadRequest));
    let listed = server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases;
    let engines: Vec<_> = listed.iter().map(|release| (release.engine.as_str(), release.digest.as_str())).collect();
    assert_eq!(engines, [("local/size", digest(1).as_str()), ("size", release().as_str())]);
    let named_local = NewRelease {
        engine: "local/size".to_owned(),
        version: "1.0.0".to_owned(),
        digest: digest(9),
        contract: 1,
        minor: 0,
        needs: Vec::new(),
        length: 1,
    };
    assert_eq!(code(server.catalog.add_release(&named_local).await), ErrorCode::BadRequest);

    let many = OfferRequest { node: "n".to_owned(), engines: vec![good; 65], stopping: false };
    assert_eq!(code(server.catalog.offer_engines(POOL, POOL, &many).await), ErrorCode::BadRequest);
    let nobody = OfferRequest { node: "a b".to_owned(), engines: Vec::new(), stopping: false };
    assert_eq!(code(server.catalog.offer_engines(POOL, POOL, &nobody).await), ErrorCode::BadRequest);
    let nowhere = OfferRequest { node: "n".to_owned(), engines: Vec::new(), stopping: false };
    assert_eq!(code(server.catalog.offer_engines("nowhere", "nowhere", &nowhere).await), ErrorCode::NotFound);
}

async fn a_component_that_nobody_offers_is_deleted_unless_it_is_needed(site: Arc<Site>) {
    let server = site.server_with(DomainsConfig {
        maintenance: MaintenanceConfig { abandoned_after: Duration::from_secs(2), ..MaintenanceConfig::default() },
        ..DomainsConfig::default()
    });
    let ann = site.user(&server, "acme", "ann").await;
    let doomed = async || {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        (doomed.keys.iter().map(ToString::to_string).collect::<Vec<_>>(), doomed)
    };
    // 1 goes, 2 is used by an upload, 3 is offered, and 4 is a release, too.
    bring(&server, "n", &[("a", 1), ("b", 2), ("c", 3), ("d", 4)]).await;
    let release = NewRelease {
        engine: "d".into(),
        version: "1".into(),
        digest: digest(4),
        contract: 1,
        minor: 0,
        needs: Vec::new(),
        length: 100,
    };
    server.catalog.add_release(&release).await.expect("added");
    send(&server, &ann, &upload(&site, 2)).await;
    bring(&server, "n", &[("c", 3)]).await;
    assert!(doomed().await.1.is_empty(), "somebody may put it back");
    let marked = eventually("the first is doomed", async || {
        let (keys, marked) = doomed().await;
        (!keys.is_empty()).then_some((keys, marked))
    });
    let (keys, marked) = marked.await;
    assert_eq!(keys.iter().filter(|key| **key != object(4)).collect::<Vec<_>>(), [&object(1)]);
    // Until it is deleted nobody is told to store it, or sees it.
    assert_eq!(list(&server, "n", &[offer("a", 1, true)]).await, [Ok(Offered { visible: false, put: None })]);
    server.maintenance.forget(marked).await.expect("forgotten");
    let told = list(&server, "n", &[offer("a", 1, false)]).await.remove(0).expect("it is good");
    assert!(told.put.is_some() && !told.visible);
    assert_eq!(server.catalog.component(POOL, &digest(4)).await.expect("the release").length, 100);
    let leased = lease(&server, "m", 1).await;
    assert_eq!(only(&leased).jobs, [0]);
    complete_all(&server, &leased).await;
    eventually("the upload's objects, then its component", async || {
        let (keys, marked) = doomed().await;
        server.maintenance.forget(marked).await.expect("forgotten");
        keys.contains(&object(2)).then_some(())
    })
    .await;
}

async fn what_is_known_of_a_stored_component_does_not_change(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    // Nobody knows better yet.
    list(&server, "n", &[Offer { length: 7, contract: 2, minor: 0, ..offer("a", 1, false) }])
        .await
        .remove(0)
        .expect("it is good");
    bring(&server, "n", &[("a", 1)]).await;
    for other in [Offer { length: 7, ..offer("a", 1, true) }, Offer { contract: 2, minor: 0, ..offer("a", 1, true) }] {
        let refused = list(&server, "m", &[other, offer("b", 2, true)]).await;
        let error = refused[0].clone().expect_err("a refusal");
        assert_eq!(error.code, ErrorCode::Conflict);
        assert!(error.message.contains("contract 1 and 100 bytes") && error.hint.is_some(), "{error}");
        assert!(refused[1].is_ok(), "the others count");
    }
    let listed = server.catalog.releases(&ann, Some(POOL)).await.expect("a list").releases;
    let engine = listed.iter().find(|release| release.engine == "local/a").expect("it is seen");
    assert_eq!((engine.length, engine.contract), (100, 1));
    // Within one request, and of what was published.
    let mut refused = list(&server, "m", &[offer("c", 3, false), Offer { length: 7, ..offer("d", 3, false) }]).await;
    assert_eq!(code(refused.remove(1)), ErrorCode::Conflict);
    let release = NewRelease {
        engine: "e".into(),
        version: "1".into(),
        digest: digest(5),
        contract: 1,
        minor: 0,
        needs: Vec::new(),
        length: 100,
    };
    server.catalog.add_release(&release).await.expect("added");
    let refused = list(&server, "m", &[Offer { length: 7, ..offer("e", 5, true) }]).await.remove(0);
    assert_eq!(code(refused), ErrorCode::Conflict);
    let told = list(&server, "m", &[offer("e", 5, false)]).await;
    assert_eq!(told, [Ok(Offered { visible: true, put: None })], "its bytes are there");
    assert_eq!(
        server.catalog.component(POOL, &digest(5)).await.expect("it").key.to_string(),
        format!("releases/{}", digest(5))
    );
}

async fn a_component_is_its_pools_own(site: Arc<Site>) {
    let server = site.server();
    bring(&server, "n", &[("a", 1)]).await;
    assert_eq!(server.catalog.component(POOL, &digest(1)).await.expect("it").key.to_string(), object(1));
    assert_eq!(code(server.catalog.component("other", &digest(1)).await), ErrorCode::NotFound);
    make_pool(&server, "other").await;
    // To name a digest is not to have it; nor does another's word on it count here.
    let request = OfferRequest {
        node: "n".into(),
        engines: vec![Offer { contract: 2, minor: 0, ..offer("a", 1, false) }],
        stopping: false,
    };
    let told = server
        .catalog
        .offer_engines("other", "other", &request)
        .await
        .expect("an answer")
        .remove(0)
        .expect("it is good");
    assert_eq!(told.put.expect("a place").key.to_string(), format!("components/{}.other", digest(1)));
    let claimed = OfferRequest { engines: vec![offer("a", 1, true)], ..request };
    let look = server.catalog.claimed_as_stored("other", &claimed).await.expect("an answer");
    assert_eq!(
        look.iter().map(|one| one.key.to_string()).collect::<Vec<_>>(),
        [format!("components/{}.other", digest(1))]
    );
    assert!(server.catalog.claimed_as_stored(POOL, &claimed).await.expect("an answer").is_empty(), "that is known");
}

async fn a_description_counts_once_its_component_is_stored(site: Arc<Site>) {
    let server = site.server();
    list(&server, "n", &[offer("a", 1, false)]).await.remove(0).expect("it is good");
    let read = async || server.catalog.description(&operator(), &digest(1), &DescriptionQuery::default()).await;
    assert_eq!(code(read().await), ErrorCode::NotFound);
    assert_eq!(code(server.catalog.describe_release(POOL, &digest(1), "{}").await), ErrorCode::NotFound);
    bring(&server, "n", &[("a", 1)]).await;
    assert_eq!(read().await.expect("it is there"), offer("a", 1, true).description);
    server.catalog.describe_release(POOL, &digest(1), "{}").await.expect("it is there");
    assert_eq!(code(server.catalog.describe_release("other", &digest(1), "{}").await), ErrorCode::NotFound);
}

async fn a_component_that_storage_has_lost_is_asked_for_again(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    bring(&server, "n", &[("a", 1), ("b", 2)]).await;
    assert!(
        server.maintenance.components_to_look_at(Duration::from_secs(60)).await.expect("an answer").is_empty(),
        "just seen"
    );
    tokio::time::sleep(Duration::from_millis(5)).await;
    let look = server.maintenance.components_to_look_at(Duration::ZERO).await.expect("an answer");
    assert_eq!(look.len(), 2);
    let looked = look.into_iter().map(|one| (one.object.sha256 == digest(2), one)).map(|(there, one)| (one, there));
    server.maintenance.looked_at(looked.collect()).await.expect("taken down");
    assert_eq!(seen(&server, &ann).await, [named("b", 2)]);
    assert_eq!(code(server.catalog.component(POOL, &digest(1)).await), ErrorCode::NotFound);
    let told = list(&server, "n", &[offer("a", 1, false)]).await.remove(0).expect("it is good");
    assert!(told.put.is_some());
}

async fn a_pool_keeps_so_many_components(site: Arc<Site>) {
    let server = site.server();
    bring(&server, "n", &[("a", 1)]).await;
    let most = filemill_api::limits::MAX_POOL_COMPONENTS - 1;
    let fill = format!(
        "insert into components (pool, digest, contract, needs, length, used_at) select '{POOL}', 'd' || i, 1, 1, 1, 0 from"
    );
    site.sql(
        &format!(
            "{fill} (with recursive c(i) as (select 1 union all select i + 1 from c where i < {most}) select i from c)"
        ),
        &format!("{fill} generate_series(1, {most}) as i"),
    )
    .await;
    let mut told = list(&server, "n", &[offer("a", 1, true), offer("b", 2, true)]).await;
    assert_eq!(code(told.remove(1)), ErrorCode::OverQuota);
    assert!(told.remove(0).expect("it is there").visible);
}

async fn a_list_of_a_pools_engines_ends_where_it_is_long(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let media_types = vec![format!("x/{}", "y".repeat(125)); 64];
    let description = serde_json::json!({"version": "1", "summary": "s", "media_types": media_types}).to_string();
    // One component, under as many names as a node may give.
    for node in 0..4 {
        let offers: Vec<_> = (0..64)
            .map(|engine| Offer { description: description.clone(), ..offer(&format!("e{node}{engine:02}"), 1, true) })
            .collect();
        assert!(list(&server, &format!("n{node}"), &offers).await.iter().all(Result::is_ok));
    }
    let listed = server.catalog.releases(&ann, Some(POOL)).await.expect("a list");
    let bytes = serde_json::to_vec(&listed).expect("JSON").len();
    assert!((900 << 10..1100 << 10).contains(&bytes), "{bytes} bytes");
    let names: Vec<_> = listed.releases.iter().filter_map(|one| one.engine.strip_prefix("local/")).collect();
    assert_eq!((names[0], names[64]), ("e000", "e100"), "by name");
    assert!(listed.releases.iter().any(|one| one.engine == "size"), "what is published is told in any case");
}

async fn a_node_that_only_reports_keeps_its_offers(site: Arc<Site>) {
    let present = Duration::from_millis(1500);
    let config = DomainsConfig {
        catalog: CatalogConfig { node_present: present, ..CatalogConfig::default() },
        ..DomainsConfig::default()
    };
    let server = site.server_with(config.clone());
    let ann = site.user(&server, "acme", "ann").await;
    bring(&server, "node", &[("a", 1)]).await;
    send(&server, &ann, &site.bundle(3)).await;
    let run = only(&lease(&server, "node", 3).await);
    let gone = async || eventually("it is gone", async || seen(&server, &ann).await.is_empty().then_some(())).await;
    gone().await;
    // A server that has not heard of it lately.
    let back = async || eventually("it is back", async || (!seen(&server, &ann).await.is_empty()).then_some(())).await;
    report(&site.server_with(config.clone()), &run, &[0]).await;
    back().await;
    gone().await;
    complete(&site.server_with(config), &run, &[0]).await.expect("completed");
    back().await;
    assert_eq!(seen(&server, &ann).await, [named("a", 1)]);
}

async fn offers_of_nodes_that_are_gone_take_no_room(site: Arc<Site>) {
    let server = site.server();
    let most = filemill_api::limits::MAX_POOL_OFFERS;
    let fill = |now: &str, from: &str| {
        format!(
            "insert into nodes (pool, id, runs, seen_at) values ('{POOL}', 'other', 2, {now} - 3600000);
             insert into offers (pool, node, name, digest, since) select '{POOL}', 'other', 'e' || i, 'd', 0 from {from}"
        )
    };
    let counted =
        format!("(with recursive c(i) as (select 1 union all select i + 1 from c where i < {most}) select i from c)");
    site.sql(
        &fill("unixepoch() * 1000", &counted),
        &fill("cast(extract(epoch from now()) as bigint) * 1000", &format!("generate_series(1, {most}) as i")),
    )
    .await;
    bring(&server, "n", &[("a", 1)]).await;
    assert!(lease_now(&server, "other", 1, 0).await.uploads.is_empty());
    let request = OfferRequest { node: "n".to_owned(), engines: vec![offer("a", 1, true)], stopping: false };
    assert_eq!(code(server.catalog.offer_engines(POOL, POOL, &request).await), ErrorCode::OverQuota, "it is back");
}

async fn a_node_that_stops_is_gone_at_once_and_what_it_runs_goes_on(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    bring(&server, "n", &[("mine", 1)]).await;
    let running = send(&server, &ann, &site.bundle(1)).await;
    let run = only(&lease(&server, "n", 1).await);
    report(&server, &run, &[0]).await;
    let waits = send(&server, &ann, &site.bundle(1)).await;
    let nobody = || WaitReason::NoProcessor { lacks: Vec::new() };
    let reason = async |id: &str| server.queue.jobs(&ann, id).await.expect("jobs").waiting[0].reason.clone();
    assert_eq!(reason(&waits).await, WaitReason::Turn);
    let last = OfferRequest { node: "n".to_owned(), engines: Vec::new(), stopping: true };
    assert_eq!(server.catalog.offer_engines(POOL, POOL, &last).await.expect("heard"), []);
    assert_eq!(reason(&waits).await, nobody(), "nobody is there to take it");
    assert!(seen(&server, &ann).await.is_empty());
    // A job that ends within the node's grace is one that counts, and its reports bring the node not back.
    report(&server, &run, &[0]).await;
    complete(&server, &run, &[0]).await.expect("taken");
    assert!(server.queue.jobs(&ann, &running).await.expect("jobs").waiting.is_empty());
    assert_eq!(reason(&waits).await, nobody());
}
