//! Logging in with a one-time code, in a line that is pasted.

use std::time::{Duration, Instant};

use filemill_client::{
    Credential, Error, Event, Home, KeyPlace, Login, LoginOptions, Pin, Recovery, Trouble, login_with,
};
use tokio_util::sync::CancellationToken;

use crate::fake::TOKEN;
use crate::world::World;

const CODE: &str = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";

/// The pool's root, as a processor prints it.
fn root(world: &World) -> String {
    format!("main:{}", world.enrolment().root().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Logs in to a home of its own, as the pasted line does.
async fn paste(world: &World, code: &str, root: &str) -> Result<Login, Error> {
    paste_to(world, &other_home(world), code, root).await
}

async fn paste_to(world: &World, home: &Home, code: &str, root: &str) -> Result<Login, Error> {
    paste_and_hear(world, home, code, root, |_| {}).await
}

async fn paste_and_hear(
    world: &World,
    home: &Home,
    code: &str,
    root: &str,
    tell: impl FnMut(&Event),
) -> Result<Login, Error> {
    let server = format!("http://{}", world.fake.address);
    let (credential, pin, place) = (Credential::Code(code), Pin::Root(root), KeyPlace::File);
    login_with(home, &LoginOptions { server: &server, credential, pin, place, allow_plain_http: false }, tell).await
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
        assert!(!text.contains("0123"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_pasted_twice_logs_in_twice() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    paste(&world, CODE, &root(&world)).await.unwrap();
    // A code that is not good, in between, is no login.
    let other = CODE.replace("0123", "3210");
    assert!(matches!(paste(&world, &other, &root(&world)).await, Err(Error::Refused { .. })));
    paste(&world, CODE, &root(&world)).await.unwrap();
    let asked = world.fake.lock().joins.asked.clone();
    assert_eq!(asked[0].redeemer, asked.last().unwrap().redeemer);
    // Each server and each code is shown other bytes: with them, a server could redeem at another.
    assert_ne!(asked[0].redeemer, asked[1].redeemer);
    let second = World::new().await;
    paste_to(&second, &other_home(&world), CODE, &root(&world)).await.unwrap_err();
    assert_ne!(second.fake.lock().joins.asked[0].redeemer, asked[0].redeemer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_another_root_replaces_nothing_and_costs_no_code() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    let wrong = format!("main:{}", "ab".repeat(32));
    for home in [other_home(&world), world.home()] {
        world.fake.lock().joins.redeemer = None;
        let error = paste_to(&world, &home, CODE, &wrong).await.unwrap_err();
        assert!(matches!(&error, Error::OtherRoot { pool, .. } if pool == "main"), "{error:?}");
        // What worked before still does.
        assert_eq!(home.path().join("config.json").exists(), home.path() == world.home().path());
        let done = paste_to(&world, &home, CODE, &root(&world)).await.unwrap();
        assert!(done.pool_problem.is_none() && done.former_pool.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_by_which_a_redeemer_is_known_go_when_another_login_takes_its_place() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    paste_to(&world, &world.home(), CODE, &root(&world)).await.unwrap();
    world.login().await.unwrap();
    assert!(!world.home().path().join("joining.json").exists());
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
    let error = paste_to(&world, &world.home(), CODE, &root(&world)).await.unwrap_err();
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_not_kept() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    let long = format!("fm_u_{}", "a".repeat(300_000));
    for other in ["", "secret", "fm_u_x\r\nX-Evil: 1", "fm_\0\x07", "fm_é", &long] {
        world.fake.lock().joins.no_token = Some(other.into());
        let error = paste_to(&world, &world.home(), CODE, &root(&world)).await.unwrap_err();
        assert!(matches!(&error, Error::Protocol { detail, .. } if detail.len() < 200), "{error:?}");
    }
    assert_eq!(std::fs::read_to_string(world.home().path().join("token")).unwrap(), TOKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logins_at_once_come_one_after_the_other() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    let (root, other) = (root(&world), CODE.replace("0123", "3210"));
    for _ in 0..10 {
        let home = other_home(&world);
        let (first, same, another) = tokio::join!(
            paste_to(&world, &home, CODE, &root),
            paste_to(&world, &home, CODE, &root),
            paste_to(&world, &home, &other, &root),
        );
        first.and(same).unwrap();
        assert!(matches!(&another, Err(Error::Refused { .. })), "{another:?}");
        std::fs::remove_dir_all(home.path()).unwrap();
        world.fake.lock().joins.redeemer = None;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_waits_for_another_and_says_so_before_it_asks_anybody() {
    let world = World::new().await;
    world.fake.lock().joins.code = Some(CODE.into());
    let lock = std::fs::File::create(other_home(&world).path().join("login.lock")).unwrap();
    lock.lock().unwrap();
    let (said, saying) = tokio::sync::oneshot::channel();
    let said = std::sync::Mutex::new(Some(said));
    let home = other_home(&world).waiting(CancellationToken::new(), move |_| {
        if let Some(said) = said.lock().unwrap().take() {
            said.send(()).unwrap();
        }
    });
    let root = root(&world);
    let go_on = async {
        saying.await.unwrap();
        assert_eq!(world.fake.lock().joins.asked.len(), 0);
        drop(lock);
    };
    let (done, ()) = tokio::join!(paste_to(&world, &home, CODE, &root), go_on);
    done.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_says_that_a_server_lets_it_wait_and_does_not_wait_for_long() {
    let world = World::new().await;
    {
        let mut inner = world.fake.lock();
        inner.joins.code = Some(CODE.into());
        (inner.faults.busy_calls, inner.faults.retry_after) = (1, Some("86400"));
    }
    let begun = Instant::now();
    let mut events = Vec::new();
    let hear = |event: &Event| events.push((world.fake.lock().joins.asked.len(), event.clone()));
    paste_and_hear(&world, &other_home(&world), CODE, &root(&world), hear).await.unwrap();
    // Other callers would wait for a minute.
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    let [(asked, Event::Trouble(Trouble::Unreachable { error })), (_, Event::Recovered(recovery))] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(*asked, 0, "it is said when it is over");
    assert!(error.to_string().contains("starting (503"), "{error}");
    assert!(matches!(recovery, Recovery::Server { .. }), "{recovery:?}");
}
