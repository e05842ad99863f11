//! The program itself: its commands, its sockets, its log and its end.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use filemill_api::LoginCode;

use super::fake::{Fake, Said, TOKEN};
use super::mill::{Mill, noise};

const PROGRAM: &str = env!("CARGO_BIN_EXE_filemill-processor");

fn processor(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("it starts")
}

#[test]
fn pool_init_prints_the_enrolment_file_and_overwrites_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let pool = dir.path().join("pool");
    let pool = pool.to_str().expect("UTF-8");
    let made = processor(&["pool", "init", "--dir", pool, "--name", "lab"]);
    assert!(made.status.success(), "{made:?}");
    let printed = String::from_utf8(made.stdout).expect("UTF-8");
    filemill_seal::Enrolment::from_json(printed.trim_end()).expect("an enrolment");
    assert_eq!(fs::read_to_string(format!("{pool}/enrolment.json")).expect("the file"), printed);

    let again = processor(&["pool", "init", "--dir", pool, "--name", "lab"]);
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stderr).expect("UTF-8");
    assert!(said.starts_with("error: `") && said.contains("already holds a pool") && said.contains("hint: "), "{said}");

    let renewed = processor(&["pool", "renew", "--dir", pool, "--rotate"]);
    assert!(renewed.status.success(), "{renewed:?}");
    let shown = String::from_utf8(processor(&["pool", "show", "--dir", pool]).stdout).expect("UTF-8");
    assert!(shown.contains("serial       2") && shown.contains("identities   2"), "{shown}");
    assert!(!shown.contains("SECRET"), "{shown}");
}

/// Inodes of the sockets that a process has open and that listen.
fn listening(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("its files");
    let own: Vec<String> = fds
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    assert!(!own.is_empty(), "it has connections");
    ["tcp", "tcp6"]
        .into_iter()
        .flat_map(|table| {
            fs::read_to_string(format!("/proc/{pid}/net/{table}"))
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(3) == Some(&"0A")).then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
        })
        .filter(|inode| own.contains(inode))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_listens_on_nothing_logs_no_name_and_ends_well_on_a_signal() {
    let mill = Mill::stopped(super::counts()).await;
    let token = mill.dir().join("token");
    fs::write(&token, format!("{TOKEN}\n")).expect("written");
    let mut child = Command::new(PROGRAM)
        .args(["run", "--log-json", "--slots", "1", "--memory-budget", "8MiB", "--node", "lab-1", "--ability", "gpu"])
        .args(["--server", &mill.fake.server, "--storage-origin", &mill.fake.storage])
        .args([Path::new("--token-file"), &token, Path::new("--pool"), &mill.pool_dir()])
        .args([Path::new("--cache-dir"), &mill.dir().join("cache")])
        .env("RUST_LOG", "trace,cranelift_codegen=off,regalloc2=off,wasmtime=off,wasmtime_internal_cranelift=off")
        .stderr(Stdio::from(fs::File::create(mill.dir().join("log")).expect("a log")))
        .spawn()
        .expect("it starts");
    let sent = mill.upload(&[noise(10, 1), noise(300_000, 2)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    for index in 0..2 {
        mill.result(&sent, index).await;
    }
    let asked = mill.fake.world(|world| {
        world.said.iter().find_map(|said| match said {
            Said::Leased(request) => Some(request.clone()),
            _ => None,
        })
    });
    let asked = asked.expect("a lease");
    assert!(asked.node.starts_with("lab-1-") && asked.abilities.iter().any(|name| name == "gpu"), "{asked:?}");
    assert_eq!(listening(child.id()), Vec::<String>::new());

    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.expect("waited").expect("ended");
    assert!(ended.success(), "{ended}");

    let log = fs::read_to_string(mill.dir().join("log")).expect("the log");
    assert!(log.contains("\"message\":\"job first byte\""), "events are there");
    for secret in ["marker-name", "counting", TOKEN, "X-Amz-Signature"] {
        assert!(!log.contains(secret), "the log holds `{secret}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_cannot_print_says_so_and_the_same_line_prints_what_it_should_have() {
    const CODE: &str = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
    let fake = Fake::start().await;
    let login = LoginCode { code: CODE.into(), user: "ann".into(), expires_in_s: 600 };
    fake.world(|world| (world.code, world.login) = (Some(CODE.into()), Some(login)));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, out) = (dir.path().join("processor"), dir.path().join("out"));
    let err = dir.path().join("err");
    let start = |out: fs::File| {
        Command::new(PROGRAM)
            .args(["join", &fake.server, "--code", CODE, "--storage-origin", &fake.storage, "--dir"])
            .arg(&folder)
            .stdout(out)
            .stderr(fs::File::create(&err).expect("a file"))
            .spawn()
            .expect("it starts")
    };
    let wait = |mut child: std::process::Child| async {
        tokio::task::spawn_blocking(move || child.wait()).await.expect("waited").expect("ended")
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    assert_eq!(wait(start(full)).await.code(), Some(1));
    let said = fs::read_to_string(&err).expect("what it said");
    assert!(said.contains("`ann` logs in cannot be printed") && said.contains("hint: "), "{said}");
    let child = start(fs::File::create(&out).expect("a file"));
    // It runs once it has printed.
    fake.until("a lease", |world| world.said.iter().any(|said| matches!(said, Said::Leased(_))).then_some(())).await;
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("signalled");
    assert!(wait(child).await.success());
    let printed = fs::read_to_string(out).expect("the line");
    assert!(printed.starts_with("filemill login ") && printed.contains(CODE), "{printed}");
}
