//! Whose word counts for a pool: what its root signed, and nothing of whoever has the pool's token.

use std::sync::Arc;

use filemill_api::{ErrorCode, OfferRequest, SignedStatement};
use filemill_seal::{Identity, PoolRoot as Key, Statement};
use filemill_server::catalog::{CatalogConfig, NewPools, PoolRoot};
use filemill_server::{Domains, DomainsConfig};

use super::site::{Kind, Site, code, eventually, operator};

super::on_both!(
    whoever_has_a_pools_token_cannot_push_its_statement_out,
    a_pool_that_was_there_goes_on_until_its_root_is_named,
    the_pools_own_statement_is_found_again_when_its_root_is_named,
    a_statement_that_is_replaced_is_not_said_to_be_kept,
    a_statement_from_the_future_pushes_none_out_and_is_replaced,
    without_a_root_a_new_pool_says_nothing,
    the_first_root_counts_where_that_is_allowed_and_no_second,
    a_root_is_replaced_on_purpose_only,
    a_pool_of_which_nothing_is_left_is_not_there,
    naming_a_root_and_publishing_never_wait_for_each_other,
    serials_are_those_of_the_protocol,
);

const POOL: &str = "mine";
const DAY: u64 = 24 * 3600;

/// A pool's root.
struct Root(Key);

impl Root {
    fn new() -> Self {
        Self(Key::generate())
    }

    fn enrolment(&self) -> PoolRoot {
        PoolRoot::from_enrolment(&self.0.enrolment(POOL).expect("a name").to_json()).expect("an enrolment")
    }

    fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(self.0.enrolment(POOL).expect("a name").root())
    }

    fn say(&self, serial: u64) -> SignedStatement {
        self.say_from(serial, now())
    }

    /// A statement that holds from some time on.
    fn say_from(&self, serial: u64, not_before: u64) -> SignedStatement {
        let recipient = Identity::generate().recipient();
        let statement = Statement { pool: POOL.into(), recipient, not_before, not_after: not_before + 7 * DAY, serial };
        let signed = serde_json::to_value(self.0.sign(&statement).expect("a statement")).expect("JSON");
        serde_json::from_value(signed).expect("the same JSON")
    }
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs()
}

/// What whoever has the token can make.
fn forged(serial: u64) -> SignedStatement {
    let statement = format!(
        r#"{{"filemill_pool":1,"pool":"{POOL}","recipient":"age1x","not_before":{0},"not_after":{1},"serial":{serial}}}"#,
        now(),
        now() + DAY
    );
    SignedStatement { statement, signature: "ab".repeat(64) }
}

async fn publish(server: &Domains, signed: &SignedStatement) -> Result<(), ErrorCode> {
    server.catalog.publish_pool(POOL, signed).await.map_err(|refused| refused.code)
}

/// What clients are told of the pool.
async fn told(server: &Domains) -> Vec<SignedStatement> {
    let pools = server.catalog.pools(&operator()).await.expect("a list").pools;
    pools.into_iter().filter(|pool| pool.statement.contains(&format!("\"{POOL}\""))).collect()
}

async fn whoever_has_a_pools_token_cannot_push_its_statement_out(site: Arc<Site>) {
    let (server, root) = (site.server(), Root::new());
    server.catalog.name_root(&root.enrolment(), false).await.expect("named");
    let own = root.say(7);
    publish(&server, &own).await.expect("published");
    let other_root = Root::new();
    for serial in 8..20 {
        assert_eq!(publish(&server, &forged(serial)).await, Err(ErrorCode::Conflict));
        let claimed = server.catalog.publish_pool_by(POOL, &other_root.say(serial), Some(&other_root.hex())).await;
        assert_eq!(code(claimed), ErrorCode::Conflict);
    }
    // An older word of the pool's own, and another's signature under its name.
    let mixed = SignedStatement { signature: own.signature.clone(), ..root.say(9) };
    assert_eq!(publish(&server, &mixed).await, Err(ErrorCode::Conflict));
    assert_eq!(told(&server).await, [own]);
}

/// As a server of a version without roots left it.
async fn leave(site: &Site, signed: &SignedStatement, serial: u64) {
    let row = format!(
        "insert into pools (name, serial, statement, signature, created_at, standing)
         values ('{POOL}', {serial}, '{}', '{}', 0, true)",
        signed.statement, signed.signature
    );
    site.sql(&row, &row).await;
}

async fn a_pool_that_was_there_goes_on_until_its_root_is_named(site: Arc<Site>) {
    let root = Root::new();
    let (former, next) = (root.say(3), root.say(4));
    leave(&site, &former, 3).await;
    for (new_pools, serial) in [(NewPools::Named, 10), (NewPools::First, 50)] {
        let server = site.server_with(DomainsConfig {
            catalog: CatalogConfig { new_pools, ..CatalogConfig::default() },
            ..DomainsConfig::default()
        });
        assert!(told(&server).await.contains(&former));
        // A node of an older version, which says no root.
        publish(&server, &root.say(serial)).await.expect("as before");
        for forged_serial in serial + 1..serial + 20 {
            publish(&server, &forged(forged_serial)).await.expect("as before");
        }
        assert!(told(&server).await.contains(&former), "it is not pushed out");
    }
    let server = site.server();
    server.catalog.name_root(&root.enrolment(), false).await.expect("named");
    publish(&server, &next).await.expect("its own counts again");
    assert_eq!(told(&server).await, [next, former]);
    assert_eq!(publish(&server, &forged(40)).await, Err(ErrorCode::Conflict));
}

async fn the_pools_own_statement_is_found_again_when_its_root_is_named(site: Arc<Site>) {
    let root = Root::new();
    let own = root.say(3);
    leave(&site, &own, 3).await;
    for serial in [2, (1 << 53) - 1] {
        leave(&site, &forged(serial), serial).await;
    }
    let server = site.server();
    assert_eq!(told(&server).await.len(), 3);
    // A node of the pool's tells its root; that there are others' words shows that it need not be the pool's.
    server.catalog.publish_pool_by(POOL, &own, Some(&root.hex())).await.expect("it is there");
    assert!(!server.catalog.has_root(POOL).await.expect("an answer"));
    assert!(server.catalog.name_root(&root.enrolment(), false).await.expect("named"));
    assert_eq!(told(&server).await, std::slice::from_ref(&own), "what nobody signed is removed");
    assert!(!server.catalog.name_root(&root.enrolment(), false).await.expect("it has that"));
    publish(&server, &root.say(4)).await.expect("it goes on");
    assert_eq!(told(&server).await.len(), 2);
}

async fn a_statement_that_is_replaced_is_not_said_to_be_kept(site: Arc<Site>) {
    let (server, root) = (site.server(), Root::new());
    server.catalog.name_root(&root.enrolment(), false).await.expect("named");
    let said: Vec<_> = (1..=6).map(|serial| root.say(serial)).collect();
    for statement in &said {
        publish(&server, statement).await.expect("published");
        assert!(told(&server).await.contains(statement), "what is answered with success is there");
    }
    assert_eq!(publish(&server, &said[0]).await, Err(ErrorCode::Conflict));
    publish(&server, &said[4]).await.expect("it is there");
    let newest_first: Vec<_> = said[2..].iter().rev().cloned().collect();
    assert_eq!(told(&server).await, newest_first);
}

async fn a_statement_from_the_future_pushes_none_out_and_is_replaced(site: Arc<Site>) {
    let (server, root) = (site.server(), Root::new());
    server.catalog.name_root(&root.enrolment(), false).await.expect("named");
    let current = root.say(5);
    publish(&server, &current).await.expect("published");
    let year = now() + 365 * DAY;
    let early: Vec<_> = (6..16).map(|serial| root.say_from(serial, year)).collect();
    for statement in &early {
        publish(&server, statement).await.expect("it may hold one day");
    }
    publish(&server, &root.say_from((1 << 53) - 2, year)).await.expect("the root signed it");
    assert!(told(&server).await.contains(&current), "clients need the one that holds now");
    assert!(told(&server).await.len() <= 6);
    let corrected = root.say((1 << 53) - 1);
    publish(&server, &corrected).await.expect("published");
    assert_eq!(told(&server).await, [corrected, current]);
    assert_eq!(publish(&server, &early[9]).await, Err(ErrorCode::Conflict), "it was replaced");
}

async fn without_a_root_a_new_pool_says_nothing(site: Arc<Site>) {
    let server = site.server_with(DomainsConfig {
        catalog: CatalogConfig { new_pools: NewPools::Named, ..CatalogConfig::default() },
        ..DomainsConfig::default()
    });
    let root = Root::new();
    for claimed in [None, Some(root.hex())] {
        let refused =
            server.catalog.publish_pool_by(POOL, &root.say(1), claimed.as_deref()).await.expect_err("a refusal");
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert!(refused.hint.is_some_and(|hint| hint.contains("pool root")));
    }
    assert!(told(&server).await.is_empty());
    server.catalog.name_root(&root.enrolment(), false).await.expect("named");
    publish(&server, &root.say(1)).await.expect("published");
    assert_eq!(told(&server).await.len(), 1);
}

async fn the_first_root_counts_where_that_is_allowed_and_no_second(site: Arc<Site>) {
    let server = site.server_with(DomainsConfig {
        catalog: CatalogConfig { new_pools: NewPools::First, ..CatalogConfig::default() },
        ..DomainsConfig::default()
    });
    let (first, second) = (Root::new(), Root::new());
    let bad = server.catalog.publish_pool_by(POOL, &forged(1), Some(&first.hex())).await;
    assert_eq!(code(bad), ErrorCode::Conflict, "a root that did not sign is not taken");
    assert!(!server.catalog.has_root(POOL).await.expect("an answer"));
    server.catalog.publish_pool_by(POOL, &first.say(1), Some(&first.hex())).await.expect("published");
    let refused = server.catalog.publish_pool_by(POOL, &second.say(2), Some(&second.hex())).await;
    assert_eq!(code(refused), ErrorCode::Conflict);
    assert_eq!(publish(&server, &forged(3)).await, Err(ErrorCode::Conflict));
    server.catalog.publish_pool(POOL, &first.say(2)).await.expect("a node of an older version, of the same root");
    let summary = server.catalog.pool_summaries().await.expect("a list").into_iter().find(|pool| pool.pool == POOL);
    let summary = summary.expect("the pool");
    assert_eq!((summary.root, summary.serial), (Some(first.enrolment()), Some(2)));
}

async fn a_root_is_replaced_on_purpose_only(site: Arc<Site>) {
    let (server, first, second) = (site.server(), Root::new(), Root::new());
    server.catalog.name_root(&first.enrolment(), false).await.expect("named");
    publish(&server, &first.say(1)).await.expect("published");
    let refused = server.catalog.name_root(&second.enrolment(), false).await.expect_err("a refusal");
    assert!(refused.message.contains(&first.enrolment().fingerprint()), "{refused}");
    assert_eq!(told(&server).await.len(), 1);
    assert!(server.catalog.name_root(&second.enrolment(), true).await.expect("named"));
    assert!(told(&server).await.is_empty());
    publish(&server, &second.say(1)).await.expect("published");
}

async fn a_pool_of_which_nothing_is_left_is_not_there(site: Arc<Site>) {
    let (server, first, second) = (site.server(), Root::new(), Root::new());
    server.catalog.name_root(&first.enrolment(), false).await.expect("named");
    publish(&server, &first.say(1)).await.expect("published");
    let nothing = OfferRequest { node: "n".to_owned(), engines: Vec::new(), stopping: false };
    let offer = async || server.catalog.offer_engines(POOL, POOL, &nothing).await.map(drop);
    offer().await.expect("the pool is there");
    // By the operator's command, which is another process than the server.
    let operator = site.other_server(DomainsConfig::default()).await;
    assert!(operator.catalog.name_root(&second.enrolment(), true).await.expect("named"));
    eventually("the pool is gone", || async {
        offer().await.is_err_and(|refused| refused.code == ErrorCode::NotFound).then_some(())
    })
    .await;
    publish(&server, &second.say(1)).await.expect("published");
    offer().await.expect("the pool is there again");
}

async fn naming_a_root_and_publishing_never_wait_for_each_other(site: Arc<Site>) {
    let (server, root) = (site.server(), Root::new());
    server.catalog.name_root(&root.enrolment(), false).await.expect("named");
    let said = root.say(1);
    publish(&server, &said).await.expect("published");
    let enrolment = root.enrolment();
    for _ in 0..100 {
        let (named, published) =
            tokio::join!(server.catalog.name_root(&enrolment, false), server.catalog.publish_pool(POOL, &said));
        assert!(!named.expect("named"));
        published.expect("it is there");
    }
    if site.kind() == Kind::Postgres {
        let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
        assert_eq!(site.number(deadlocks).await, 0);
    }
}

async fn serials_are_those_of_the_protocol(site: Arc<Site>) {
    let server = site.server();
    for serial in [1 << 53, i64::MAX as u64, u64::MAX] {
        assert_eq!(publish(&server, &forged(serial)).await, Err(ErrorCode::BadRequest), "{serial}");
    }
    publish(&server, &forged((1 << 53) - 1)).await.expect("the highest");
}
