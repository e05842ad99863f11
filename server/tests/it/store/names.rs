//! Tokens, releases, pools, and the database itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill_api::{ErrorCode, SignedStatement};
use filemill_server::accounts::{Caller, Scope};
use filemill_server::catalog::NewRelease;
use filemill_server::{Domains, DomainsConfig};

use super::site::{Kind, POOL, Site, code, complete_all, events, lease, operator, release, send};

super::on_both!(
    a_token_works_until_it_is_revoked,
    whose_a_token_was_is_known_for_longer_than_it_counts,
    a_release_is_immutable_and_the_newest_is_used_unless_another_was_adopted,
    a_lower_version_is_not_used_by_itself_and_an_operator_chooses_any,
    a_pool_says_one_thing_with_each_serial,
    servers_that_start_at_once_migrate_once,
    a_database_that_was_not_closed_takes_no_cursor_twice,
    a_database_of_another_version_says_what_to_do,
    a_server_of_the_release_before_comes_back_beside_this_one,
);

async fn a_token_works_until_it_is_revoked(site: Arc<Site>) {
    let server = site.server();
    let token = server.accounts.create_token("acme", "ann", Scope::User, None).await.expect("a token");
    assert!(token.text.starts_with("fm_u_") && token.text.len() == 69, "{} characters", token.text.len());
    assert!(!format!("{token:?}").contains(&token.text), "a secret is not for logs");
    let other = server.accounts.create_token("acme", "node-1", Scope::Processor, Some(POOL)).await.expect("a token");
    let caller = server.accounts.authenticate(&token.text).await.expect("a caller");
    assert_eq!((caller.organisation_name.as_str(), caller.member_name.as_str()), ("acme", "ann"));
    assert!(caller.require(&[Scope::User, Scope::Operator]).is_ok());
    assert_eq!(code(caller.require(&[Scope::Processor])), ErrorCode::Forbidden);
    let elsewhere = site.server();
    assert!(server.accounts.revoke_token(token.id).await.expect("revoked").is_some());
    assert!(server.accounts.revoke_token(token.id).await.expect("revoked before").is_none());
    for server in [&server, &elsewhere] {
        assert_eq!(code(server.accounts.authenticate(&token.text).await), ErrorCode::Unauthenticated);
    }
    assert_eq!(server.accounts.authenticate(&other.text).await.expect("a caller").organisation, caller.organisation);
    assert_eq!(code(server.accounts.authenticate("fm_u_").await), ErrorCode::Unauthenticated);
    let listed = server.accounts.tokens().await.expect("a list");
    assert_eq!(listed.len(), 2);
    assert!(listed[0].revoked_at_ms >= Some(listed[0].created_at_ms) && listed[1].revoked_at_ms.is_none());
    assert_eq!(code(server.accounts.create_token("a/b", "ann", Scope::User, None).await), ErrorCode::BadRequest);
}

async fn whose_a_token_was_is_known_for_longer_than_it_counts(site: Arc<Site>) {
    let (server, elsewhere) = (site.server(), site.server());
    let token = server.accounts.create_token("acme", "ann", Scope::User, None).await.expect("a token");
    assert_eq!(server.accounts.remembered(&token.text), None);
    let caller = server.accounts.authenticate(&token.text).await.expect("a caller");
    assert_eq!(server.accounts.remembered(&token.text), Some((caller.clone(), true)));
    let begin = Instant::now();
    while server.accounts.remembered(&token.text) == Some((caller.clone(), true)) {
        assert!(begin.elapsed() < Duration::from_secs(10), "a revoked token would work for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.accounts.remembered(&token.text), Some((caller, false)));
    assert!(elsewhere.accounts.revoke_token(token.id).await.expect("revoked").is_some());
    assert_eq!(code(server.accounts.authenticate(&token.text).await), ErrorCode::Unauthenticated);
    assert_eq!(server.accounts.remembered(&token.text), None, "whoever has it is a stranger now");
}

async fn a_release_is_immutable_and_the_newest_is_used_unless_another_was_adopted(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "other", "bob").await);
    let newer = NewRelease {
        engine: "size".to_owned(),
        version: "1.1.0".to_owned(),
        digest: "2".repeat(64),
        contract: 1,
        minor: 0,
        needs: Vec::new(),
        length: 5,
    };
    assert!(server.catalog.add_release(&newer).await.expect("added"));
    assert!(!server.catalog.add_release(&newer).await.expect("added before"));
    let changed = NewRelease { version: "1.2.0".to_owned(), ..newer.clone() };
    assert_eq!(code(server.catalog.add_release(&changed).await), ErrorCode::Conflict);
    assert_eq!(
        code(server.catalog.add_release(&NewRelease { contract: 40, ..newer.clone() }).await),
        ErrorCode::BadRequest
    );
    server.catalog.adopt("acme", &release()).await.expect("adopted");
    assert_eq!(code(server.catalog.adopt("acme", &"3".repeat(64)).await), ErrorCode::NotFound);
    for (caller, current) in [(&ann, "1.0.0"), (&bob, "1.1.0")] {
        let releases = server.catalog.releases(caller, None).await.expect("a list").releases;
        assert_eq!(releases.iter().map(|one| one.version.as_str()).collect::<Vec<_>>(), ["1.1.0", "1.0.0"]);
        let used: Vec<_> = releases.iter().filter(|one| one.current).map(|one| one.version.as_str()).collect();
        assert_eq!(used, [current]);
    }
    let component = server.catalog.component(POOL, &newer.digest).await.expect("a component");
    assert_eq!((component.key.to_string(), component.length), (format!("releases/{}", newer.digest), 5));
    assert_eq!(code(server.catalog.component(POOL, "../x").await), ErrorCode::NotFound);
}

async fn a_lower_version_is_not_used_by_itself_and_an_operator_chooses_any(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "other", "bob").await);
    let publish = async |version: &str, number: u32| {
        let digest = format!("{number:064x}");
        let release = NewRelease {
            engine: "size".to_owned(),
            version: version.to_owned(),
            digest,
            contract: 1,
            minor: 0,
            needs: Vec::new(),
            length: 5,
        };
        assert!(server.catalog.add_release(&release).await.expect("added"));
    };
    let used = async |caller: &Caller| {
        let releases = server.catalog.releases(caller, None).await.expect("a list").releases;
        let used: Vec<_> = releases.into_iter().filter(|one| one.current).map(|one| one.version).collect();
        assert_eq!(used.len(), 1, "{used:?}");
        used[0].clone()
    };
    publish("0.9.0", 1).await;
    publish("0.10.0", 2).await;
    assert_eq!(used(&ann).await, "1.0.0", "neither was meant to take its place");
    server.catalog.use_release("size", "0.9.0", Some("acme")).await.expect("used");
    assert_eq!((used(&ann).await.as_str(), used(&bob).await.as_str()), ("0.9.0", "1.0.0"));
    server.catalog.use_release("size", "0.10.0", None).await.expect("used");
    let eve = site.user(&server, "new", "eve").await;
    assert_eq!((used(&bob).await.as_str(), used(&eve).await.as_str()), ("0.10.0", "0.10.0"));
    publish("0.9.9", 3).await;
    assert_eq!(used(&bob).await, "0.10.0");
    publish("0.10.1", 4).await;
    assert_eq!((used(&ann).await.as_str(), used(&bob).await.as_str()), ("0.9.0", "0.10.1"));
    for (engine, version, organisation) in
        [("size", "3.0.0", None), ("siz", "0.9.0", None), ("size", "0.9.0", Some("typo"))]
    {
        let refused = server.catalog.use_release(engine, version, organisation).await;
        assert_eq!(code(refused), ErrorCode::NotFound, "{engine} {version} {organisation:?}");
    }
}

async fn a_pool_says_one_thing_with_each_serial(site: Arc<Site>) {
    let server = site.server();
    let say = |serial: u64, what: &str| SignedStatement {
        statement: format!(r#"{{"filemill_pool":1,"pool":"{POOL}","serial":{serial},"recipient":"{what}"}}"#),
        signature: "cd".repeat(64),
    };
    for serial in [2, 4, 3, 5, 5] {
        server.catalog.publish_pool(POOL, &say(serial, "age1x")).await.expect("published");
    }
    assert_eq!(code(server.catalog.publish_pool(POOL, &say(5, "age1y")).await), ErrorCode::Conflict);
    let serials: Vec<_> =
        server.catalog.pools(&operator()).await.expect("a list").pools.into_iter().map(|pool| pool.statement).collect();
    assert_eq!(serials, [5, 4, 3, 2].map(|serial| say(serial, "age1x").statement), "the highest four");
    let unsigned = SignedStatement { signature: String::new(), ..say(9, "age1x") };
    assert_eq!(code(server.catalog.publish_pool(POOL, &unsigned).await), ErrorCode::BadRequest);
    let nameless = SignedStatement { statement: "{}".to_owned(), ..say(9, "age1x") };
    assert_eq!(code(server.catalog.publish_pool(POOL, &nameless).await), ErrorCode::BadRequest);
}

async fn servers_that_start_at_once_migrate_once(site: Arc<Site>) {
    let (one, two, three) = tokio::join!(
        site.other_server(Default::default()),
        site.other_server(Default::default()),
        site.other_server(Default::default())
    );
    for server in [one, two, three] {
        server.maintenance.health().await.expect("it works");
    }
}

/// With SQLite a power cut may take back events that somebody has read.
async fn a_database_that_was_not_closed_takes_no_cursor_twice(site: Arc<Site>) {
    let before = site.server();
    let ann = site.user(&before, "acme", "ann").await;
    let result = async |server: &Domains| {
        send(server, &ann, &site.bundle(1)).await;
        complete_all(server, &lease(server, "n", 1).await).await;
        events(server, &ann).await.last().expect("an event").cursor
    };
    let first = result(&before).await;
    let after = site.other_server(DomainsConfig::default()).await;
    let second = result(&after).await;
    match site.kind() {
        Kind::Sqlite => assert!(second > first + 100_000, "{first}, then {second}"),
        Kind::Postgres => assert_eq!(second, first + 1),
    }
}

async fn a_database_of_another_version_says_what_to_do(site: Arc<Site>) {
    for (sqlite, postgres, remedy) in [
        ("version = 99", "version = 99", "a later release"),
        ("version = 1, checksum = x'00'", r"version = 1, checksum = '\x00'", "make a new one"),
    ] {
        let change = |set: &str| format!("update _sqlx_migrations set {set} where version in (1, 99)");
        site.sql(&change(sqlite), &change(postgres)).await;
        let error = site.open_again().await.expect_err("another version's");
        let hint = filemill_server::StartError::from(error).hint().expect("what to do");
        assert!(hint.contains(remedy), "{hint}");
    }
}

/// Release 0.1.0 does not start where sqlx has noted a migration that it does not know.
async fn a_server_of_the_release_before_comes_back_beside_this_one(site: Arc<Site>) {
    assert_eq!(site.number("select max(version) from _sqlx_migrations").await, 10);
    // And this one where a later release has added to the tables, until that takes something away.
    let later = "insert into _filemill_migrations (version, description, success, checksum, execution_time) \
                 select 99, 'later', success, checksum, 0 from _filemill_migrations where version = 11";
    site.sql(later, later).await;
    site.open_again().await.expect("what was added is in nobody's way").close().await;
    let needed = "update schema_needs set migration = 99";
    site.sql(needed, needed).await;
    let error = site.open_again().await.expect_err("something was taken away");
    assert!(error.to_string().contains("needs a newer server"), "{error}");
    let hint = filemill_server::StartError::from(error).hint().expect("what to do");
    assert!(hint.contains("a later release"), "{hint}");
}
