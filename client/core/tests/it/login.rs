//! What a login takes for a token, a pool and a key.

use filemill_client::{
    Client, ClientOptions, Error, Identity, KeyPlace, SendOptions, import_identity, load_identity, login,
};
use filemill_seal::PoolRoot;

use crate::fake::TOKEN;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn no_other_files_words_go_to_a_server_as_a_token() {
    let world = World::new().await;
    for other in ["", "{\"filemill_enrolment\":1}", "fm_u_one fm_u_two", "secret"] {
        std::fs::write(world.path("token"), other).unwrap();
        let error = world.login().await.unwrap_err();
        assert!(matches!(&error, Error::NoToken { path, .. } if *path == world.path("token")), "{other}: {error:?}");
    }
    std::fs::write(world.path("token"), TOKEN).unwrap();
    world.login().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_says_that_it_replaces_the_pool() {
    let world = World::new().await;
    assert_eq!(world.login().await.unwrap().former_pool, None);
    let enrolment = world.fake.lock().root.enrolment("other").unwrap().to_json();
    std::fs::write(world.path("pool.json"), enrolment).unwrap();
    assert_eq!(world.login().await.unwrap().former_pool, Some(world.enrolment()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_for_a_pool_that_the_server_does_not_have_says_which_it_has_and_accuses_nobody() {
    let world = World::new().await;
    // Another pool's operator has another root.
    let enrolment = PoolRoot::generate().enrolment("other").unwrap().to_json();
    std::fs::write(world.path("pool.json"), enrolment).unwrap();
    let problem = world.login().await.unwrap().pool_problem.unwrap();
    let said = format!("server `http://{}` has no recipient of pool `other`, only of `main`", world.fake.address);
    assert_eq!(problem.to_string(), said);
    assert!(matches!(&problem, Error::NoPool { others, .. } if others == "`main`"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_another_root_than_the_pools_fails_and_replaces_nothing() {
    let world = World::new().await;
    let (good, wrong) = (world.enrolment(), PoolRoot::generate().enrolment("main").unwrap());
    std::fs::write(world.path("pool.json"), wrong.to_json()).unwrap();
    let error = world.login().await.unwrap_err();
    assert!(matches!(&error, Error::OtherRoot { .. }) && error.to_string().ends_with(&wrong.fingerprint()), "{error}");
    world.write("file", "content");
    world.send().await.assert_sizes(&[("file", 7)]);
    // Another root may have signed one of the same name: what the right one signed counts, though it is over.
    {
        let mut inner = world.fake.lock();
        let foreign = std::mem::take(&mut inner.pools);
        let root = std::mem::replace(&mut inner.root, PoolRoot::generate());
        inner.pools = foreign.into_iter().chain([inner.statement_between(2, 1, 2)]).collect();
        let own = inner.root.enrolment("main").unwrap().to_json();
        std::fs::write(world.path("pool.json"), own).unwrap();
        inner.root = root;
    }
    let problem = world.login().await.unwrap().pool_problem;
    assert!(matches!(problem, Some(Error::Pool(_) | Error::Clock { .. })), "{problem:?}");
    std::fs::write(world.path("pool.json"), good.to_json()).unwrap();
    assert!(world.login().await.unwrap().pool_problem.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_an_origin_or_too_many_of_them_is_not_kept() {
    let world = World::new().await;
    let kept = || std::fs::read_to_string(world.home().path().join("config.json")).unwrap();
    let before = kept();
    for other in [vec!["http://127.0.0.1:1"; 200_000], vec!["file:///etc"], vec!["http://127.0.0.1:1/\x1b[2J"]] {
        let other = other.into_iter().map(str::to_owned).collect();
        world.fake.lock().faults.storage_origins = Some(other);
        let error = world.login().await.unwrap_err();
        assert!(matches!(&error, Error::Protocol { detail, .. } if detail.len() < 200), "{error:?}");
    }
    assert_eq!(kept(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_whose_config_cannot_be_read_is_logged_in_again() {
    let world = World::new().await;
    for content in [&b"{"[..], &[0xff], &vec![b' '; 5 << 20]] {
        std::fs::write(world.home().path().join("config.json"), content).unwrap();
        let opened = Client::open(world.home(), ClientOptions::default()).await;
        assert!(matches!(opened, Err(Error::Malformed { .. })), "{:?}", opened.err());
        world.login().await.unwrap();
        world.client().await.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_says_that_a_server_speaks_no_tls() {
    let world = World::new().await;
    let server = format!("https://{}", world.fake.address);
    let (token, pool) = (world.path("token"), world.path("pool.json"));
    let error = login(&world.home(), &server, &token, &pool, KeyPlace::File, false).await.unwrap_err();
    assert!(error.to_string().ends_with("it does not speak TLS: is it `http://…`?"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_is_gone_is_a_lost_key_and_no_missing_keychain() {
    let world = World::new().await;
    std::fs::remove_file(world.home().path().join("identity.txt")).unwrap();
    assert!(matches!(load_identity(&world.home()), Err(Error::KeyLost { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_for_a_former_key_is_sent_again() {
    let world = World::new().await;
    let file = world.write("file", "content");
    world.send().await.assert_sizes(&[("file", 7)]);
    let former = load_identity(&world.home()).unwrap();
    import_identity(&world.home(), KeyPlace::File, &Identity::generate(), true).unwrap();
    let ran = world.send_with(SendOptions { paths: vec![file], ..SendOptions::default() }).await;
    ran.assert_sizes(&[("file", 7)]);
    assert_eq!(world.fake.lock().files(), 2);
    // And never again with that key.
    world.send().await.assert_sizes(&[("file", 7)]);
    assert_eq!(world.fake.lock().files(), 2);
    import_identity(&world.home(), KeyPlace::File, &former, true).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_uploads_that_the_journal_does_not_know_are_counted() {
    let world = World::new().await;
    world.write("file", "content");
    world.send().await.assert_sizes(&[("file", 7)]);
    for part in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(world.home().path().join(part));
    }
    filemill_client::begin_new_journal(&world.home()).await.unwrap();
    let client = world.client().await;
    assert_eq!(client.fetch_results().await.unwrap().unknown, 1);
    client.close().await;
}
