//! A processor's first start: a one-time code, and what it leaves.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use filemill_api::{ErrorCode, LoginCode};
use filemill_processor::{Join, JoinConfig, JoinError, NodeError, PoolFolder, ProcessorFolder, join};

use crate::fake::{Fake, Said, Speaks, TOKEN};

const CODE: &str = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
const LOGIN: &str = "VTSR-QPNM-KJHG-FEDC-BA98-7654-3210";

/// More than any test needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with one code, and a folder for whoever redeems it.
struct Scene {
    fake: Fake,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let fake = Fake::start().await;
        let login = LoginCode { code: LOGIN.into(), user: "ann".into(), expires_in_s: 600 };
        fake.world(|world| (world.code, world.login) = (Some(CODE.into()), Some(login)));
        Self { fake, dir: tempfile::tempdir().expect("a temporary folder") }
    }

    fn folder(&self) -> ProcessorFolder {
        ProcessorFolder::at(Some(self.dir.path().join("processor"))).expect("a folder")
    }

    fn config(&self) -> JoinConfig {
        JoinConfig {
            server: self.fake.server.parse().expect("a URL"),
            code: CODE.into(),
            storage_origins: vec![self.fake.storage.parse().expect("an origin")],
            allow_plain_http: false,
            folder: self.folder(),
            patience: PATIENCE,
        }
    }

    async fn join(&self) -> Result<Join, JoinError> {
        join(self.config()).await
    }

    /// With a person who does not wait.
    async fn join_at_once(&self) -> Result<Join, JoinError> {
        join(JoinConfig { patience: Duration::ZERO, ..self.config() }).await
    }

    /// How often the code was shown.
    fn asked(&self) -> usize {
        self.fake.world(|world| world.joins.len())
    }
}

fn login(joined: &Join) -> Option<&str> {
    joined.login.as_ref().map(|login| &*login.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_joins_has_a_token_a_pool_and_a_line_for_a_person_and_keeps_no_code() {
    let scene = Scene::new().await;
    let joined = scene.join().await.expect("joined");
    let enrolment = joined.enrolment.clone();
    assert_eq!(enrolment.pool(), "lab");
    assert_eq!(login(&joined), Some(LOGIN));
    joined.shown().expect("forgotten");
    let folder = scene.folder();
    let pool = PoolFolder::open(&folder.pool()).expect("the pool");
    assert_eq!(pool.enrolment(), &enrolment);
    assert_eq!(fs::read_to_string(folder.token()).expect("the token").trim(), TOKEN);
    assert_eq!(fs::metadata(folder.token()).expect("there").permissions().mode() & 0o777, 0o600);
    let plain = [CODE, LOGIN].map(|code| code.replace('-', ""));
    for entry in fs::read_dir(folder.dir()).expect("the folder").map(|entry| entry.expect("entry").path()) {
        let Ok(text) = fs::read_to_string(&entry) else { continue };
        let kept = [CODE, LOGIN, &plain[0], &plain[1]].into_iter().find(|code| text.contains(code));
        assert_eq!(kept, None, "`{}`", entry.display());
    }
    let said = scene.fake.world(|world| world.said.clone());
    assert!(matches!(&said[..], [Said::Published(_)]), "the pool is there before a person logs in: {said:?}");

    // The same line again: nobody is asked, and nothing changes.
    let again = scene.join().await.expect("joined before");
    assert!(again.is_repeated && again.login.is_none() && again.enrolment == enrolment);
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_by_the_same_redeemer_also_after_a_crash() {
    let scene = Scene::new().await;
    scene.fake.world(|world| world.lost_joins = 3);
    let error = scene.join_at_once().await.expect_err("no answer came");
    assert!(matches!(error, JoinError::Away { .. }), "{error}");
    assert!(error.hint().contains("again"), "{}", error.hint());
    scene.join().await.expect("the code is still this processor's").shown().expect("forgotten");
    let redeemers = scene.fake.world(|world| world.joins.iter().map(|ask| ask.redeemer.clone()).collect::<Vec<_>>());
    assert!(redeemers.len() == 4 && redeemers.iter().all(|redeemer| *redeemer == redeemers[0]), "{redeemers:?}");
    assert!(!scene.folder().dir().join("joining.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_code_gives_another_token_to_the_same_pool() {
    let scene = Scene::new().await;
    let first = scene.join().await.expect("joined");
    let first_enrolment = first.enrolment.clone();
    first.shown().expect("forgotten");
    let other = "1123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
    scene.fake.world(|world| (world.code, world.redeemer) = (Some(other.into()), None));
    let second = join(JoinConfig { code: other.into(), ..scene.config() }).await.expect("joined again");
    assert_eq!(second.enrolment, first_enrolment, "clients have pinned it");
    let asked = scene.fake.world(|world| world.joins.last().and_then(|request| request.pool.clone()));
    assert_eq!(asked.as_deref(), Some("lab"), "a code for another pool is refused while it is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_code_is_asked_of_nobody_and_a_refusal_says_what_to_do() {
    let scene = Scene::new().await;
    let with = |code: &str| JoinConfig { code: code.into(), ..scene.config() };
    for (code, is_token) in [("0123", false), ("", false), ("fm_p_0123", true)] {
        let error = join(with(code)).await.expect_err("refused");
        assert_eq!(matches!(error, JoinError::Token), is_token, "{error}");
        assert!(!error.hint().is_empty());
    }
    let plain = JoinConfig { server: "http://filemill.example.org".parse().expect("a URL"), ..scene.config() };
    let error = join(plain).await.expect_err("anybody could take the token");
    assert!(matches!(error, JoinError::Node(NodeError::PlainHttp { .. })), "{error}");
    assert_eq!(scene.asked(), 0);
    let error = join(with("9999-9999-9999-9999-9999-9999-9999")).await.expect_err("unknown");
    assert!(error.to_string().contains("there is no such one-time code"), "{error}");
    assert!(!scene.folder().pool().exists() && !scene.folder().token().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gives_what_was_not_asked_for_is_refused() {
    let scene = Scene::new().await;
    let hostile = LoginCode { code: "$(halt)".into(), user: "ann".into(), expires_in_s: 600 };
    scene.fake.world(|world| world.login = Some(hostile));
    let error = scene.join().await.expect_err("a person would paste it");
    assert!(matches!(error, JoinError::Answer { .. }), "{error}");
    scene.fake.world(|world| (world.login, world.scope) = (None, "user".into()));
    let error = scene.join().await.expect_err("not a processor's");
    assert!(matches!(error, JoinError::Answer { .. }), "{error}");
    scene.fake.world(|world| (world.pool, world.scope) = (Some("../lab".into()), "processor".into()));
    let error = scene.join().await.expect_err("no pool's name");
    assert!(matches!(error, JoinError::Folder(_)), "{error}");
    assert!(!scene.folder().token().exists());
    scene.fake.world(|world| world.pool = Some("lab".into()));
    assert!(scene.join().await.expect("joined").login.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_belongs_to_one_server_and_where_it_stores_can_be_put_right() {
    let scene = Scene::new().await;
    let mistyped = JoinConfig { storage_origins: vec![scene.fake.elsewhere.parse().expect("one")], ..scene.config() };
    join(mistyped).await.expect("joined");
    let origins = || scene.folder().joined().expect("read").expect("joined").storage_origins;
    assert_eq!(origins(), [&*scene.fake.elsewhere]);
    assert!(scene.join().await.expect("the same code").is_repeated);
    assert_eq!(origins(), [&*scene.fake.storage]);
    let other = JoinConfig { server: scene.fake.storage.parse().expect("a URL"), ..scene.config() };
    let error = join(other).await.expect_err("another server");
    assert!(matches!(error, JoinError::OtherServer { .. }) && error.hint().contains("--dir"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_the_server_does_not_take_is_said_and_the_processor_has_joined_all_the_same() {
    let scene = Scene::new().await;
    scene.fake.world(|world| world.conflicts.insert(filemill_api::paths::POOLS.to_owned()));
    let joined = scene.join().await.expect("joined");
    assert!(joined.unpublished.is_some_and(|why| why.contains("it exists and differs")));
    assert!(scene.folder().joined().expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_whose_making_was_interrupted_keep_no_processor_from_joining_and_a_lost_pool_does_before_the_code_is_spent()
 {
    let scene = Scene::new().await;
    let folder = scene.folder();
    let draft = folder.dir().join(".pool.new");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&draft).expect("made");
    fs::set_permissions(folder.dir(), fs::Permissions::from_mode(0o700)).expect("chmod");
    fs::write(draft.join("root.key"), "half a").expect("written");
    scene.join().await.expect("joined");
    assert!(!draft.exists());

    let scene = Scene::new().await;
    let folder = scene.folder();
    PoolFolder::init(&folder.pool(), "lab", 7).expect("a pool");
    fs::set_permissions(folder.dir(), fs::Permissions::from_mode(0o700)).expect("chmod");
    for file in ["pool.json", "root.key"] {
        fs::remove_file(folder.pool().join(file)).expect("lost");
        let error = scene.join().await.expect_err("there was a pool");
        assert!(error.to_string().contains("`pool.json` is missing"), "{error}");
        assert!(error.hint().contains("restore the folder"), "{}", error.hint());
    }
    assert_eq!(scene.asked(), 0);
}

/// A pool of other processors, whose root the server knows.
fn pool_of_others(scene: &Scene) -> PoolFolder {
    let others = PoolFolder::init(&scene.dir.path().join("others"), "lab", 7).expect("a pool");
    tell_server(scene, &others);
    others
}

fn tell_server(scene: &Scene, pool: &PoolFolder) {
    let signed = serde_json::to_value(pool.signed()).and_then(serde_json::from_value).expect("a statement");
    let root = data_encoding::HEXLOWER.encode(pool.enrolment().root());
    scene.fake.world(|world| (world.root, world.pools) = (Some(root), vec![signed]));
}

fn copy(from: &PoolFolder, to: &Path) {
    fs::DirBuilder::new().mode(0o700).create(to).expect("made");
    for entry in fs::read_dir(from.dir()).expect("the folder").map(|entry| entry.expect("entry")) {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_other_processors_gets_no_second_root_and_the_code_stays_good_until_its_keys_were_copied() {
    let scene = Scene::new().await;
    let mut others = pool_of_others(&scene);
    let folder = scene.folder();
    for _ in 0..2 {
        let error = scene.join().await.expect_err("the pool has a root");
        assert!(matches!(error, JoinError::OtherRoot { is_new: true, .. }), "{error}");
        assert!(error.hint().contains(&folder.pool().display().to_string()), "{}", error.hint());
        assert!(!folder.pool().exists() && !folder.token().exists());
        assert_eq!(folder.joined().expect("read"), None);
    }
    copy(&others, &folder.pool());
    // The copy is older than what the server has by now.
    others.renew(filemill_processor::Renewal::SameIdentity, None).expect("renewed");
    tell_server(&scene, &others);
    let joined = scene.join().await.expect("the same line, with the pool's keys");
    assert_eq!((&joined.enrolment, &joined.unpublished), (others.enrolment(), &None));
    assert_eq!(login(&joined), Some(LOGIN));
    let redeemers = scene.fake.world(|world| world.joins.iter().map(|ask| ask.redeemer.clone()).collect::<Vec<_>>());
    assert!(redeemers.len() == 3 && redeemers.iter().all(|redeemer| *redeemer == redeemers[0]), "{redeemers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_processor_had_already_are_never_deleted() {
    let scene = Scene::new().await;
    let folder = scene.folder();
    let own = PoolFolder::init(&folder.pool(), "lab", 7).expect("a pool");
    pool_of_others(&scene);
    let error = scene.join().await.expect_err("another pool of that name");
    assert!(matches!(error, JoinError::OtherRoot { is_new: false, .. }) && error.hint().contains("--dir"), "{error}");
    assert_eq!(PoolFolder::open(&folder.pool()).expect("still there").enrolment(), own.enrolment());
    assert!(!folder.token().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_server_may_have_taken_are_kept_until_it_says_otherwise() {
    let scene = Scene::new().await;
    let folder = scene.folder();
    let undecided = || scene.fake.world(|world| world.unavailable.insert(filemill_api::paths::POOLS.to_owned(), 1));
    undecided();
    let error = scene.join_at_once().await.expect_err("nobody knows");
    assert!(matches!(error, JoinError::Away { .. }) && error.hint().contains("same line again"), "{error}");
    let made = PoolFolder::open(&folder.pool()).expect("kept").enrolment().clone();
    undecided();
    scene.join_at_once().await.expect_err("nobody knows");
    assert_eq!(PoolFolder::open(&folder.pool()).expect("the same").enrolment(), &made);
    pool_of_others(&scene);
    let error = scene.join().await.expect_err("another was first");
    assert!(matches!(error, JoinError::OtherRoot { is_new: true, .. }), "{error}");
    assert!(!folder.pool().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_seen_is_asked_for_again() {
    let scene = Scene::new().await;
    // It is killed before it has printed anything.
    drop(scene.join().await.expect("joined"));
    let again = scene.join().await.expect("joined before");
    assert!(again.is_repeated);
    assert_eq!((login(&again), scene.asked()), (Some(LOGIN), 2));
    again.shown().expect("forgotten");
    let seen = scene.join().await.expect("joined before");
    assert_eq!((login(&seen), scene.asked()), (None, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_has_joined_runs_whatever_becomes_of_what_nobody_has_seen() {
    let scene = Scene::new().await;
    drop(scene.join().await.expect("joined"));
    let joining = scene.folder().dir().join("joining.json");
    scene.fake.world(|world| world.code = None);
    let again = scene.join().await.expect("it has joined all the same");
    assert!(again.not_again.as_ref().is_some_and(|why| why.contains("there is no such one-time code")));
    assert!(again.is_repeated && login(&again).is_none() && joining.exists());
    again.shown().expect("forgotten");
    assert!(!joining.exists(), "it will not be given");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_waited_for_and_no_refusal_of_the_code() {
    let scene = Scene::new().await;
    let busy = [ErrorCode::Unavailable, ErrorCode::OverQuota, ErrorCode::Internal];
    for code in busy {
        scene.fake.world(|world| world.join_refusals = [code].into());
        let error = scene.join_at_once().await.expect_err("not now");
        assert!(matches!(error, JoinError::Away { .. }) && error.to_string().contains("not now"), "{error}");
        assert!(error.hint().contains("same line again"), "{}", error.hint());
    }
    scene.fake.world(|world| world.join_refusals = busy.into());
    scene.fake.world(|world| world.unavailable.insert(filemill_api::paths::POOLS.to_owned(), 2));
    let joined = scene.join().await.expect("it was waited for");
    assert_eq!((login(&joined), &joined.unpublished), (Some(LOGIN), &None));
    assert_eq!(scene.asked(), 3 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_asked_once() {
    let scene = Scene::new().await;
    let busy = [ErrorCode::Unavailable, ErrorCode::OverQuota, ErrorCode::Internal];
    let final_codes: Vec<_> = ErrorCode::ALL.into_iter().filter(|code| !busy.contains(code)).collect();
    let mut asked = 0;
    for code in final_codes {
        // Of a call that takes no token this is what a server of version 1 says of a path that it does not have: it is asked in version 1, too.
        let versions = if matches!(code, ErrorCode::Unauthenticated | ErrorCode::NotFound) { 2 } else { 1 };
        scene.fake.world(|world| world.join_refusals = vec![code; versions].into());
        let error = scene.join().await.expect_err("refused");
        assert!(matches!(error, JoinError::Refused { .. }), "{error}");
        asked += versions;
        assert_eq!(scene.asked(), asked, "{}", code.code());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_version_1_is_joined_alike() {
    for speaks in [Speaks::One, Speaks::InTurn] {
        let scene = Scene::new().await;
        scene.fake.world(|world| world.speaks = speaks);
        let joined = scene.join().await.expect("joined");
        assert_eq!((login(&joined), &joined.unpublished), (Some(LOGIN), &None), "{speaks:?}");
        assert_eq!(scene.asked(), 1, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_of_this_protocol_gives_is_refused_before_anything_is_kept() {
    let scene = Scene::new().await;
    let long = "a".repeat(300_000);
    for token in ["", " ", "fm_p_x\r\nX-Evil: 1", "fm_\0\u{7}", "fm_\u{e9}", "fm_p_0 1", "fm_p_0\n", &long] {
        scene.fake.world(|world| world.token = Some(token.to_owned()));
        let error = scene.join().await.expect_err("no token");
        assert!(matches!(error, JoinError::Answer { .. }), "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }
    scene.fake.world(|world| world.token = None);
    for (user, expires_in_s) in [("ann", 601), ("ann", u32::MAX), ("x\n$(halt)", 600), ("", 600), (&*long, 600)] {
        let login = LoginCode { code: LOGIN.into(), user: user.to_owned(), expires_in_s };
        scene.fake.world(|world| world.login = Some(login));
        let error = scene.join().await.expect_err("no login");
        assert!(matches!(error, JoinError::Answer { .. }), "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }
    assert!(!scene.folder().token().exists() && !scene.folder().pool().exists());
    scene.fake.world(|world| world.login = None);
    scene.join().await.expect("the code is still this processor's");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_joins_in_one_folder_are_told_of_each_other_and_neither_waits_for_ever() {
    let scene = Scene::new().await;
    let first = scene.join().await.expect("joined");
    let error = scene.join().await.expect_err("the first has not printed yet");
    assert!(matches!(error, JoinError::UnderWay { .. }), "{error}");
    assert!(error.to_string().contains(&scene.folder().dir().display().to_string()), "{error}");
    assert!(error.hint().contains("--dir") && scene.asked() == 1, "{}", error.hint());
    first.shown().expect("forgotten");
    assert!(scene.join().await.expect("joined before").is_repeated);
}
