//! The program itself: what it prints, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use filemill_api::{JoinAnswer, JoinRequest, paths};
use filemill_server::Addresses;
use reqwest::StatusCode;

use super::{LIMIT, engine, ok};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filemill-server"));
    command.env_remove("FILEMILL_DATABASE_URL").env("FILEMILL_LOG", "trace");
    // Or a checkout's would be published.
    command.env("FILEMILL_SERVER_ENGINES", "");
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    program().args(arguments).arg("--embedded").arg(dir).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// A server of its own process; killed if the test forgets it.
struct Served {
    child: Child,
    addresses: Addresses,
    /// Reads the log as it comes: a pipe that is full would stop the server.
    log: Option<JoinHandle<String>>,
}

impl Served {
    fn start(dir: &Path) -> Self {
        Self::start_as(program(), dir)
    }

    fn start_as(mut command: Command, dir: &Path) -> Self {
        command.args(["serve", "--embedded"]).arg(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            BufReader::new(stderr).read_to_string(&mut text).unwrap();
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).unwrap();
        Self { child, addresses, log: Some(log) }
    }

    /// Sends a signal and returns what the server logged.
    fn end(mut self, signal: rustix::process::Signal) -> String {
        let begin = Instant::now();
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert!(begin.elapsed() < Duration::from_secs(10));
        self.log.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn silent_connections_do_not_use_up_few_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_filemill-server")]);
    few.env_remove("FILEMILL_DATABASE_URL").env("FILEMILL_LOG", "info").env("FILEMILL_SERVER_ENGINES", "");
    let served = Served::start_as(few, &dir.path().join("mill"));
    let address = |origin: &str| origin.strip_prefix("http://").unwrap().to_owned();
    let mut silent = Vec::new();
    for origin in [&served.addresses.listening, &served.addresses.storage] {
        for _ in 0..150 {
            silent.push(tokio::net::TcpStream::connect(address(origin)).await.unwrap());
        }
    }
    let health = reqwest::get(format!("{}{}", served.addresses.listening, paths::HEALTH));
    assert_eq!(tokio::time::timeout(LIMIT, health).await.expect("nobody answers").unwrap().status(), StatusCode::OK);
    let log = served.end(rustix::process::Signal::TERM);
    assert!(!log.contains("was not accepted"), "{log}");
}

#[tokio::test]
async fn tokens_and_releases_are_made_beside_a_running_server_and_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("mill");
    let file = dir.path().join("engine.wasm");
    std::fs::write(&file, engine()).unwrap();
    let publish = |version: &str| {
        let file = file.to_str().unwrap();
        run(&home, &["release", "publish", file, "--engine", "size", "--version", version])
    };
    // Without a server, on a folder that one was started on.
    Served::start(&home).end(rustix::process::Signal::TERM);
    let published: serde_json::Value = serde_json::from_str(&printed(&publish("0.1.0"))).unwrap();
    assert_eq!(published["engine"], "size");
    assert_eq!(published["contract"], 1);
    assert_eq!(published["digest"], super::sha256(&engine()));
    let token =
        printed(&run(&home, &["token", "create", "--organisation", "acme", "--user", "alice", "--scope", "user"]));
    assert!(token.starts_with("fm_u_") && !token.contains(char::is_whitespace));

    let create = |more: &[&str]| {
        let arguments = ["token", "create", "--organisation", "acme", "--user", "node"];
        run(&home, &[&arguments[..], more].concat())
    };
    let refused = create(&["--scope", "processor"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("one pool") && said.contains("hint:") && said.contains("--pool"), "{said}");
    assert!(!create(&["--scope", "user", "--pool", "main"]).status.success());
    let node = printed(&create(&["--scope", "processor", "--pool", "main"]));
    assert!(node.starts_with("fm_p_"));

    // Beside one.
    let served = Served::start(&home);
    let again: serde_json::Value = serde_json::from_str(&printed(&publish("0.1.0"))).unwrap();
    assert_eq!(again, published);
    let conflict = publish("0.2.0");
    assert!(!conflict.status.success());
    assert!(String::from_utf8_lossy(&conflict.stderr).contains("hint:"), "a release is immutable");
    let http = reqwest::Client::new();
    let url = format!("{}{}", served.addresses.listening, paths::RELEASES);
    let answer = http.get(&url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.text().await.unwrap().contains("0.1.0"));
    assert!(printed(&run(&home, &["release", "list"])).contains("\"size\""));

    let listed = printed(&run(&home, &["token", "list"]));
    let (users, nodes) = listed.split_once('\n').unwrap();
    assert_eq!(users.split('\t').skip(1).collect::<Vec<_>>(), ["acme", "alice", "user", "-", "valid"]);
    assert_eq!(nodes.split('\t').skip(1).collect::<Vec<_>>(), ["acme", "node", "processor", "main", "valid"]);
    let id = listed.split('\t').next().unwrap();
    assert!(run(&home, &["token", "revoke", id]).status.success());
    assert!(!run(&home, &["token", "revoke", id]).status.success());
    let begin = Instant::now();
    while http.get(&url).bearer_auth(&token).send().await.unwrap().status() != StatusCode::UNAUTHORIZED {
        assert!(begin.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let second = run(&home, &["serve"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("in use by another filemill-server") && said.contains("hint:"), "{said}");

    let log = served.end(rustix::process::Signal::TERM);
    assert!(log.contains("stopped"));
    for secret in [token.as_str(), "X-Amz-Signature", "Bearer "] {
        assert!(!log.contains(secret), "the log holds `{secret}`");
    }
    let secrets = std::fs::read_to_string(home.join("secrets.json")).unwrap();
    let secrets: serde_json::Value = serde_json::from_str(&secrets).unwrap();
    assert!(!log.contains(secrets["secret_access_key"].as_str().unwrap()));
    assert!(!home.join("server.json").exists());
}

#[test]
fn a_file_that_is_no_engine_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("module.wasm");
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    let arguments = ["release", "publish", file.to_str().unwrap(), "--engine", "size", "--version", "1.0.0"];
    let refused = run(&dir.path().join("mill"), &arguments);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("module.wasm") && said.contains("core WebAssembly module"), "{said}");
}

#[test]
fn a_slip_in_publishing_changes_nobodys_engine_and_an_older_release_can_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("mill");
    Served::start(&home).end(rustix::process::Signal::TERM);
    // Another build for each version of the contract's export.
    let publish = |build: u8, calls_itself: &str, more: &[&str]| {
        let mut component = engine();
        let place = component.windows(5).position(|window| window == b"1.0.0").unwrap();
        component[place + 4] = b'0' + build;
        let (file, description) = (dir.path().join("engine.wasm"), dir.path().join("description.json"));
        std::fs::write(&file, component).unwrap();
        let (name, version) = calls_itself.split_once(' ').unwrap();
        std::fs::write(&description, format!(r#"{{"name":"{name}","version":"{version}"}}"#)).unwrap();
        let (file, description) = (file.to_str().unwrap(), description.to_str().unwrap());
        run(&home, &[&["release", "publish", file, "--description", description][..], more].concat())
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let current = || {
        let listed = printed(&run(&home, &["release", "list"]));
        let releases = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of = |release: &serde_json::Value| format!("{} {}", release["engine"], release["version"]).replace('"', "");
        releases.filter(|release| release["current"] == true).map(|release| of(&release)).collect::<Vec<_>>()
    };
    let first = publish(1, "size 0.2.0", &[]);
    assert!(first.status.success() && !said(&first).contains("notice"), "{}", said(&first));
    let slip = publish(2, "digest 0.1.0", &["--engine", "size"]);
    assert!(!slip.status.success() && said(&slip).contains("calls itself `digest`, not `size`"), "{}", said(&slip));
    assert!(said(&slip).contains("hint: ") && said(&slip).contains("--rename"), "{}", said(&slip));
    let lower = publish(2, "digest 0.1.0", &["--engine", "size", "--rename"]);
    assert!(lower.status.success(), "{}", said(&lower));
    assert!(said(&lower).contains("notice: size 0.2.0 stays current"), "{}", said(&lower));
    assert!(said(&lower).contains("hint: `filemill-server release use size 0.1.0` makes"), "{}", said(&lower));
    assert_eq!(current(), ["size 0.2.0"]);
    assert!(run(&home, &["release", "use", "size", "0.1.0"]).status.success());
    assert_eq!(current(), ["size 0.1.0"]);
    let again = publish(1, "size 0.2.0", &[]);
    assert!(said(&again).contains("notice: already published; current is size 0.1.0"), "{}", said(&again));
    assert_eq!(current(), ["size 0.1.0"]);
    let typo = run(&home, &["release", "use", "size", "0.3.0"]);
    assert!(!typo.status.success() && said(&typo).contains("there is no release `size` `0.3.0`"), "{}", said(&typo));
}

#[test]
fn only_serve_makes_a_folder_and_a_mistyped_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let typo = dir.path().join("typo");
    let file = dir.path().join("engine.wasm");
    std::fs::write(&file, engine()).unwrap();
    let commands: [&[&str]; 4] = [
        &["token", "list"],
        &["token", "create", "--organisation", "acme", "--user", "alice", "--scope", "user"],
        &["pool", "list", "--database-url", "sqlite:/dev/null"],
        &["release", "publish", file.to_str().unwrap(), "--engine", "size", "--version", "1.0.0"],
    ];
    // One that is there is no better than one that is not.
    for make in [false, true] {
        if make {
            std::fs::create_dir(&typo).unwrap();
        }
        for command in commands {
            let refused = run(&typo, command);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && refused.stdout.is_empty(), "{command:?}");
            assert!(said.contains("typo` is not the folder of a filemill server"), "{said}");
            assert!(said.contains("hint: `filemill-server serve --embedded DIR` makes one"), "{said}");
        }
    }
    assert_eq!(std::fs::read_dir(&typo).unwrap().count(), 0);
}

#[test]
fn a_server_whose_objects_are_gone_refuses_to_start_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    Served::start(dir.path()).end(rustix::process::Signal::TERM);
    std::fs::rename(dir.path().join("objects"), dir.path().join("away")).unwrap();
    let refused = run(dir.path(), &["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("objects/filemill` are gone"), "{said}");
    assert!(said.contains("hint: restore them from a backup"), "{said}");
    assert!(!dir.path().join("objects").exists(), "nothing takes their place unasked");
    std::fs::create_dir_all(dir.path().join("objects/filemill")).unwrap();
    Served::start(dir.path()).end(rustix::process::Signal::TERM);
}

#[test]
fn the_openapi_document_is_printed() {
    let output = program().arg("openapi").output().unwrap();
    assert_eq!(printed(&output), filemill_server::openapi_document().trim());
}

#[test]
fn what_a_person_mistypes_is_told_in_plain_words_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let refused = run(dir.path(), arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        String::from_utf8(refused.stderr).unwrap()
    };
    let (rules, none) = (dir.path().join("own.yar"), dir.path().join("none"));
    std::fs::write(&rules, "rule own {}").unwrap();
    let text = said(&["release", "publish", rules.to_str().unwrap()]);
    assert!(text.contains("own.yar`: the file is not an engine: it is not WebAssembly"), "{text}");
    assert_eq!(text.matches("not WebAssembly").count(), 1, "{text}");
    let text = said(&["release", "publish", none.to_str().unwrap()]);
    assert!(text.ends_with("none`: it does not exist\n"), "{text}");
    let text = said(&["token", "revoke", "abc"]);
    assert!(text.contains("it is a number from `filemill-server token list`"), "{text}");
    std::fs::write(dir.path().join("secrets.json"), "{}").unwrap();
    std::fs::write(dir.path().join("filemill.sqlite"), [7; 8192]).unwrap();
    let text = said(&["token", "list"]);
    assert_eq!(text.matches("file is not a database").count(), 1, "{text}");
    assert!(text.contains("hint: it is no SQLite database"), "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = program().arg("openapi").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Before it writes, or while it does: more than a pipe holds.
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && !String::from_utf8_lossy(&ended.stderr).contains("error"), "{ended:?}");
}

#[test]
fn a_server_ends_on_sigint_too() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.end(rustix::process::Signal::INT).contains("stopped"));
}

#[tokio::test]
async fn an_operator_names_a_pools_root_with_its_first_token_and_sees_its_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("mill");
    let enrol = |name: &str| {
        let enrolment = filemill_seal::PoolRoot::generate().enrolment(name).unwrap();
        let file = dir.path().join(enrolment.fingerprint());
        std::fs::write(&file, format!("{}\n", enrolment.to_json())).unwrap();
        (file.to_str().unwrap().to_owned(), enrolment.fingerprint())
    };
    Served::start(&home).end(rustix::process::Signal::TERM);
    let (first, fingerprint) = enrol("main");
    let create = |file: &str| {
        let arguments = ["token", "create", "--organisation", "mill", "--user", "node", "--scope", "processor"];
        run(&home, &[&arguments[..], &["--pool", "main", "--enrolment", file]].concat())
    };
    let list = || printed(&run(&home, &["pool", "list"]));
    for mistyped in [["the mill", "node", "processor"], ["mill", "no de", "processor"], ["mill", "node", "user"]] {
        let [organisation, user, scope] = mistyped;
        let arguments = ["token", "create", "--organisation", organisation, "--user", user, "--scope", scope];
        let refused = run(&home, &[&arguments[..], &["--pool", "main", "--enrolment", &first]].concat());
        assert!(!refused.status.success());
        assert_eq!(list(), "", "nothing is left of it");
    }
    assert!(printed(&create(&first)).starts_with("fm_p_"));
    assert!(printed(&create(&first)).starts_with("fm_p_"), "another node's");
    assert_eq!(list(), format!("main\t{fingerprint}\t-\t*"), "everything is on one machine");
    let (second, other) = enrol("main");
    let refused = create(&second);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(&fingerprint) && said.contains("--replace"), "{said}");
    assert_eq!(said.matches("hint:").count(), 1, "{said}");
    assert!(!run(&home, &["pool", "root", "main", &second]).status.success());
    assert_eq!(printed(&run(&home, &["pool", "root", "main", &second, "--replace"])), format!("main\t{other}"));
    assert!(run(&home, &["pool", "serve", "main", "--organisation", "mill"]).status.success());
    assert_eq!(list(), format!("main\t{other}\t-\tmill"));
    assert!(!run(&home, &["pool", "serve", "main"]).status.success(), "whom?");
    assert!(run(&home, &["pool", "serve", "main", "--all"]).status.success());
    assert_eq!(list(), format!("main\t{other}\t-\t*"));
    let another = run(&home, &["pool", "root", "main", &enrol("other").0]);
    assert!(String::from_utf8_lossy(&another.stderr).contains("pool `other`"), "{another:?}");
}

/// The line for a first processor in what a server said.
fn join_line(log: &str) -> Option<&str> {
    log.lines().find(|line| line.starts_with("filemill-processor join "))
}

fn join_request(code: &str, scope: &str) -> JoinRequest {
    JoinRequest { code: code.into(), redeemer: "5e".repeat(32), scope: scope.into(), pool: None }
}

#[tokio::test]
async fn a_new_server_says_how_a_processor_joins_and_one_that_has_a_processor_gives_nobody_a_code() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("mill");
    let said = dir.path().join("said");
    let mut serve = program();
    serve.args(["serve", "--embedded"]).arg(&home).stdout(Stdio::piped());
    let mut child = serve.stderr(Stdio::from(std::fs::File::create(&said).unwrap())).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: Addresses = serde_json::from_str(&line).unwrap();
    let begin = Instant::now();
    let line = loop {
        let log = std::fs::read_to_string(&said).unwrap();
        if let Some(line) = join_line(&log).filter(|_| log.ends_with('\n')) {
            break line.to_owned();
        }
        assert!(begin.elapsed() < LIMIT, "{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let words: Vec<_> = line.split(' ').collect();
    let [_, _, server, "--code", code, "--storage-origin", storage] = words[..] else { panic!("{line}") };
    assert_eq!((server, storage), (addresses.listening.as_str(), addresses.storage.as_str()));
    let redeem = reqwest::Client::new().post(format!("{server}{}", paths::JOINS));
    let answer: JoinAnswer = ok(redeem.json(&join_request(code, "processor")).send().await.unwrap()).await;
    assert_eq!((answer.pool.as_deref(), answer.organisation.as_str()), (Some("main"), "main"));
    assert_eq!(answer.login.map(|login| login.user).as_deref(), Some("user"));
    assert!(printed(&run(&home, &["pool", "list"])).ends_with("\t*"), "everything is on one machine");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let log = std::fs::read_to_string(&said).unwrap();
    assert_eq!(log.matches(code).count(), 1, "beside the line itself: {log}");
    assert!(!log.contains(&answer.token), "{log}");

    let served = Served::start(&home);
    let log = served.end(rustix::process::Signal::TERM);
    assert_eq!(join_line(&log), None, "{log}");
}

#[tokio::test]
async fn an_operator_makes_lists_and_takes_back_codes_and_none_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("mill");
    let served = Served::start(&home);
    let create = |more: &[&str]| printed(&run(&home, &[&["join-code", "create"][..], more].concat()));
    let person = create(&["--scope", "user", "--organisation", "acme", "--user", "ann"]);
    let node = create(&["--pool", "lab", "--with-login", "bob"]);
    let listed = || {
        let listed = printed(&run(&home, &["join-code", "list"]));
        listed.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let of = |user: &str| listed().into_iter().find(|line| line[2] == user).unwrap();
    assert_eq!(of("ann")[1..5], ["acme", "ann", "user", "-"]);
    assert!(of("ann")[5].ends_with(" s"));
    let url = format!("{}{}", served.addresses.listening, paths::JOINS);
    let http = reqwest::Client::new();
    let redeem = async |code: &str, scope: &str| http.post(&url).json(&join_request(code, scope)).send().await.unwrap();
    let joined: JoinAnswer = ok(redeem(&node, "processor").await).await;
    assert_eq!((joined.pool.as_deref(), joined.user.as_str()), (Some("lab"), "processor"));
    assert_eq!(of("bob")[1..5], ["main", "bob", "user", "-"]);
    assert!(run(&home, &["join-code", "revoke", &of("ann")[0]]).status.success());
    let again = run(&home, &["join-code", "revoke", "1000"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("hint: `filemill-server join-code list`"), "{said}");
    assert_eq!(redeem(&person, "user").await.status(), StatusCode::NOT_FOUND);
    for wrong in [&["--scope", "operator"][..], &["--scope", "user", "--with-login", "bob"], &["--pool", "a b"]] {
        assert!(!run(&home, &[&["join-code", "create"][..], wrong].concat()).status.success(), "{wrong:?}");
    }
    let log = served.end(rustix::process::Signal::TERM);
    assert!(log.contains("a one-time code was redeemed"), "{log}");
    for secret in [&person, &node, &joined.token, &joined.login.unwrap().code] {
        assert!(!log.contains(&**secret), "the log holds `{secret}`");
    }
}

#[test]
fn a_server_publishes_the_engines_that_it_is_given_once_and_says_what_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (home, engines) = (dir.path().join("mill"), dir.path().join("engines"));
    std::fs::create_dir(&engines).unwrap();
    // A program in the place of the processor's, which is asked what an engine says of itself.
    let programs = dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let processor = programs.join("filemill-processor");
    let count = dir.path().join("count");
    let script = format!(
        "#!/bin/sh\ncat > /dev/null; echo x >> {}; echo '{{\"name\":\"size\",\"version\":\"1.2.3\"}}'\n",
        count.display()
    );
    std::fs::write(&processor, script).unwrap();
    std::fs::set_permissions(&processor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(engines.join("size.wasm"), engine()).unwrap();
    std::fs::write(engines.join("none.wasm"), "none").unwrap();
    let serve = || {
        let mut serve = Command::new(hard_link(&programs));
        serve.env_remove("FILEMILL_DATABASE_URL").env("FILEMILL_LOG", "info").env("FILEMILL_SERVER_ENGINES", &engines);
        serve
    };
    let served = Served::start_as(serve(), &home);
    let begin = Instant::now();
    while !printed(&run(&home, &["release", "list"])).contains("1.2.3") {
        assert!(begin.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = served.end(rustix::process::Signal::TERM);
    assert!(log.contains("none.wasm` is not published"), "{log}");
    let asked = || std::fs::read_to_string(&count).unwrap().lines().count();
    let before = asked();
    Served::start_as(serve(), &home).end(rustix::process::Signal::TERM);
    assert!(asked() <= before + 1, "what is published is asked nothing again");
}

/// The server's program in another folder.
fn hard_link(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("filemill-server");
    if !program.exists() && std::fs::hard_link(env!("CARGO_BIN_EXE_filemill-server"), &program).is_err() {
        std::fs::copy(env!("CARGO_BIN_EXE_filemill-server"), &program).unwrap();
    }
    program
}
