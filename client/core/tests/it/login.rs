//! What a login takes for a token, a pool and a key.

use filemill_client::{
    Credential, Error, Home, Identity, KeyPlace, Login, Pin, SendOptions, import_identity, load_identity, login,
    login_with,
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
    assert_eq!(world.login().await.unwrap().former_pool.as_deref(), Some("main"));
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

const CODE: &str = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";

/// The pool's root, as a processor prints it.
fn root(world: &World) -> String {
    let enrolment = world.fake.lock().root.enrolment("main").unwrap();
    format!("main:{}", enrolment.root().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Logs in to a home of its own, as the pasted line does.
async fn paste(world: &World, code: &str, root: &str) -> Result<Login, Error> {
    let server = format!("http://{}", world.fake.address);
    login_with(&other_home(world), &server, Credential::Code(code), Pin::Root(root), KeyPlace::File, false).await
}

fn other_home(world: &World) -> Home {
    Home::at(world.path("other")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_line_logs_in_and_pins_the_root_that_it_names() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    let done = paste(&world, CODE, &root(&world)).await.unwrap();
    assert!(done.pool_problem.is_none());
    assert_eq!((done.config.user.as_str(), done.config.enrolment.pool()), ("ada", "main"));
    let asked = world.fake.lock().joins.asked.clone();
    assert_eq!((asked.len(), asked[0].scope.as_str(), &asked[0].pool), (1, "user", &None));
    for entry in std::fs::read_dir(other_home(&world).path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        assert!(!text.contains("0123") && !text.contains(&asked[0].redeemer), "{text}");
    }
    // Whatever the server says, what another root signed is not sealed for.
    let line = format!("main:{}", "ab".repeat(32));
    world.fake.lock().joins.redeemer = None;
    let done = paste(&world, CODE, &line).await.unwrap();
    assert!(matches!(done.pool_problem, Some(Error::Pool(_))), "{:?}", done.pool_problem);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_answer_was_lost_is_pasted_again() {
    let world = World::new().await;
    {
        let mut inner = world.fake.lock();
        // More than one login waits for.
        (inner.joins.code, inner.joins.lost) = (Some(CODE.into()), 4);
    }
    assert!(matches!(paste(&world, CODE, &root(&world)).await, Err(Error::Unreachable { .. })));
    paste(&world, CODE, &root(&world)).await.unwrap();
    let asked = world.fake.lock().joins.asked.clone();
    assert!(asked.len() > 4 && asked.iter().all(|request| request.redeemer == asked[0].redeemer));
    let error = login_with(
        &world.home(),
        &format!("http://{}", world.fake.address),
        Credential::Code(CODE),
        Pin::Root(&root(&world)),
        KeyPlace::File,
        false,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().ends_with("the one-time code has been used"), "{error}");
    assert_eq!(world.login().await.unwrap().former_pool, None, "the former login is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_pasted_in_part_costs_no_code() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    let root = root(&world);
    assert!(matches!(paste(&world, CODE, &root[..root.len() - 1]).await, Err(Error::NoRoot { .. })));
    assert!(matches!(paste(&world, &CODE[1..], &root).await, Err(Error::NoCode { is_token: false })));
    assert!(matches!(paste(&world, TOKEN, &root).await, Err(Error::NoCode { is_token: true })));
    assert_eq!(world.fake.lock().joins.asked.len(), 0);
}
