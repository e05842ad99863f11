//! The program of a processor that joins or has joined: what it checks first, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use filemill_processor::ProcessorFolder;

use super::fake::Fake;

const PROGRAM: &str = env!("CARGO_BIN_EXE_filemill-processor");
const CODE: &str = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";

/// More than a program needs to say that it does not start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with one code, and a place for whoever redeems it.
struct Scene {
    fake: Fake,
    dir: tempfile::TempDir,
}

/// How a program ended.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Scene {
    async fn new() -> Self {
        let fake = Fake::start().await;
        fake.world(|world| world.code = Some(CODE.into()));
        Self { fake, dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// With a processor that has joined.
    async fn joined() -> Self {
        let scene = Self::new().await;
        let joined = filemill_processor::join(filemill_processor::JoinConfig {
            server: scene.fake.server.parse().expect("a URL"),
            code: CODE.into(),
            storage_origins: vec![scene.fake.storage.parse().expect("an origin")],
            allow_plain_http: false,
            folder: ProcessorFolder::at(Some(scene.folder())).expect("a folder"),
            patience: Duration::ZERO,
        });
        joined.await.expect("joined").shown().expect("forgotten");
        // Where a person puts engines of their own.
        assert!(scene.folder().join("engines").is_dir());
        scene
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("processor")
    }

    /// What the program says of these arguments, with which it does not start.
    async fn say(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--dir").arg(self.folder());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let pid = rustix::process::Pid::from_child(&child);
        let ending = tokio::task::spawn_blocking(move || child.wait_with_output());
        let Ok(ended) = tokio::time::timeout(PATIENCE, ending).await else {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
            panic!("it started with {arguments:?}");
        };
        let ended = ended.expect("waited").expect("its output");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
    }

    async fn join(&self, server: &str, more: &[&str]) -> Said {
        let arguments = [&["join", server, "--code", CODE, "--storage-origin", &self.fake.storage], more].concat();
        self.say(&arguments).await
    }

    fn asked(&self) -> usize {
        self.fake.world(|world| world.joins.len())
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_code_is_spent_on_a_line_that_cannot_run() {
    let scene = Scene::new().await;
    let file = scene.dir.path().join("file");
    fs::write(&file, "no object").expect("written");
    let file = file.to_str().expect("UTF-8");
    for more in [
        ["--slots", "0"],
        ["--memory-budget", "1KiB"],
        ["--node", "a b"],
        ["--metrics-url", "ftp://x"],
        ["--limits", "/nonexist"],
        ["--limits", file],
        ["--engines", "/nonexist"],
        ["--cache-dir", file],
        ["--storage-origin", "http://storage.example.org"],
        ["--storage-origin", "ftp://storage.example.org"],
    ] {
        let said = scene.join(&scene.fake.server, &more).await;
        assert!(matches!(said.code, Some(1 | 2)) && said.stderr.contains("error: "), "{more:?}: {}", said.stderr);
        assert_eq!((scene.asked(), &*said.stdout), (0, ""), "{more:?}: {}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_no_servers_is_named_as_it_was_given() {
    let scene = Scene::new().await;
    let said = scene.join("ftp://x", &[]).await;
    assert!(said.stderr.contains("`ftp://x`") && said.stderr.contains("hint: "), "{}", said.stderr);
    assert!(!said.stderr.contains("--server"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_any_more_is_replaced_by_another_code() {
    let scene = Scene::joined().await;
    fs::write(scene.folder().join("token"), "fm_p_revoked\n").expect("written");
    let said = scene.say(&["run"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("refuses the token"), "{}", said.stderr);
    assert!(
        said.stderr.contains("join-code create --pool lab") && said.stderr.contains("join http://"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("token create"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_keys_of_a_processor_that_has_joined_are_restored_and_never_made_anew() {
    let scene = Scene::joined().await;
    fs::remove_dir_all(scene.folder().join("pool")).expect("lost");
    let other = "1123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
    scene.fake.world(|world| (world.code, world.redeemer) = (Some(other.into()), None));
    let again = ["join", &scene.fake.server, "--code", other, "--storage-origin", &scene.fake.storage];
    for said in [scene.say(&["run"]).await, scene.join(&scene.fake.server, &[]).await, scene.say(&again).await] {
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains("/pool`") && said.stderr.contains("restore"), "{}", said.stderr);
        assert!(!said.stderr.contains("pool init"), "{}", said.stderr);
    }
    assert_eq!(scene.asked(), 1, "the other code is still good");
    assert!(!scene.folder().join("pool").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_read_of_a_processor_that_has_joined_is_refused() {
    let scene = Scene::joined().await;
    for (path, mode, good) in [("token", 0o644, 0o600), ("joined.json", 0o640, 0o600), ("", 0o755, 0o700)] {
        let path = scene.folder().join(path);
        chmod(&path, mode);
        let said = scene.say(&["run"]).await;
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains(&format!("(mode {mode:04o})")), "{}", said.stderr);
        assert!(said.stderr.contains("hint: chmod go= "), "{}", said.stderr);
        chmod(&path, good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_stores_elsewhere_the_line_is_named_that_puts_it_right() {
    let scene = Scene::joined().await;
    scene.fake.world(|world| world.stores_on = vec!["https://s3.example.org".into()]);
    let said = scene.say(&["run"]).await;
    assert!(
        said.stderr.contains("filemill-processor join")
            && said.stderr.contains("--storage-origin https://s3.example.org"),
        "{}",
        said.stderr
    );
}
