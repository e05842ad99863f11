//! Commands without a server.

use insta::assert_snapshot;

use crate::command::Place;

const ENROLMENT: &str = r#"{"filemill_enrolment":1,"pool":"main","root":"68255babd4234c6c931b566f8139d522b886aabb3db8ee188d91efc30bbe42ac"}"#;

#[test]
fn the_help_names_every_command() {
    assert_snapshot!(Place::new().run(&["--help"]));
}

#[test]
fn the_help_of_send_names_every_option() {
    assert_snapshot!(Place::new().run(&["send", "--help"]));
}

#[test]
fn a_usage_error_exits_with_2() {
    let place = Place::new();
    assert!(place.run(&["send"]).starts_with("exit: 2\n"));
    let cancel = place.run(&["cancel"]);
    assert!(cancel.starts_with("exit: 2\n") && cancel.contains("filemill cancel --all"), "{cancel}");
    assert!(place.run(&["nonsense"]).starts_with("exit: 2\n"));
}

#[test]
fn a_usage_error_asks_for_nothing_that_is_not_needed() {
    let place = Place::new();
    // The home is set in the environment.
    let said = place.run(&["send"]);
    assert!(said.contains("Usage: filemill send <PATH>...") && !said.contains("--home"), "{said}");
    let said = place.run(&["watch", "--settle", "-1", "."]);
    assert!(said.contains("not between 0 and 3600 seconds") && !said.contains("tip:"), "{said}");
}

#[test]
fn without_a_login_each_command_says_how_to_log_in() {
    let place = Place::new();
    let said = place.run(&["send", "file"]);
    assert_snapshot!(said, @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `[PLACE]/home` is not logged in to a server
    hint: paste the line that `filemill-processor join` printed, or run `filemill login --server URL --token-file FILE --pool ENROLMENT`
    ");
    for command in
        [&["results"][..], &["status"], &["resume"], &["watch", "."], &["cancel", "--all"], &["open", "x.age"]]
    {
        assert_eq!(place.run(command), said, "{command:?}");
    }
}

#[test]
fn a_login_that_cannot_be_read_is_made_again() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("home")).unwrap();
    place.write("home/config.json", &" ".repeat(2 << 20));
    assert_snapshot!(place.run(&["status"]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `[PLACE]/home/config.json` is malformed: it is longer than 1048576 bytes
    hint: restore it from a backup, or log in again
    ");
}

#[test]
fn a_home_of_a_later_version_is_refused_with_what_to_do() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("home")).unwrap();
    place.write("home/config.json", r#"{"version":2,"whatever":"it holds"}"#);
    let said = place.run(&["status"]);
    assert_snapshot!(said, @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `[PLACE]/home/config.json` is of a later version of this program: it has version 2, this program reads up to version 1
    hint: update this program, or use another FILEMILL_HOME
    ");
    for command in [&["results"][..], &["resume"], &["send", "file"], &["open", "x.age"]] {
        assert_eq!(place.run(command), said, "{command:?}");
    }
}

#[test]
fn a_login_names_the_file_that_is_missing_or_wrong() {
    let place = Place::new();
    place.write("token", "fm_u_t");
    place.write("pool.json", ENROLMENT);
    place.write("broken.json", "{}");
    let login = |token: &str, pool: &str, server: &str| {
        place.run(&["login", "--server", server, "--token-file", token, "--pool", pool])
    };
    assert_snapshot!(login("missing", "pool.json", "http://127.0.0.1:1"), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: cannot read `missing`: it does not exist
    ");
    assert_snapshot!(login("token", "broken.json", "http://127.0.0.1:1"), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `broken.json` is no enrolment: statement or enrolment is malformed: the version is missing
    hint: the pool's operator has it: `enrolment.json`, in the folder of the pool
    ");
    place.write("later.json", &ENROLMENT.replace(":1,", ":3,"));
    assert_snapshot!(login("token", "later.json", "http://127.0.0.1:1"), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `later.json` is no enrolment: enrolment has version 3, this program reads versions 1 and 2
    hint: update this program, or ask the pool's operator for an enrolment of version 1 or 2
    ");
    assert_snapshot!(login("token", "pool.json", "127.0.0.1"), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `127.0.0.1` is not the address of a server: it is neither http nor https
    hint: write it as https://host or https://host:port
    ");
    assert_snapshot!(login("token", "pool.json", "http://filemill.example"), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `http://filemill.example` is asked over plain http
    hint: use https, or say --allow-plain-http on a network that you trust
    ");
    assert_snapshot!(login("token", "pool.json", "http://127.0.0.1:1"), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: server `http://127.0.0.1:1` cannot be reached: connection refused
    hint: check the address and the network; nothing is lost, run the command again
    ");
}

#[test]
fn a_key_can_be_imported_shown_and_exported_and_is_not_overwritten() {
    let place = Place::new();
    assert!(place.run(&["key", "show"]).contains("has no secret key yet"), "a key came from nowhere");
    let first = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG";
    place.write("not-a-key", "AGE-SECRET-KEY-1NONSENSE");
    assert_snapshot!(place.run(&["key", "import", "not-a-key"]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: `not-a-key` holds no key: this text is not an age X25519 identity
    hint: an identity is one line that starts with AGE-SECRET-KEY-1
    ");
    place.write("key", &format!("# created by hand\n{first}\n"));
    let imported = place.run(&["key", "import", "key"]);
    assert!(imported.starts_with("exit: 0\n"), "{imported}");
    assert_eq!(place.run(&["key", "export"]), format!("exit: 0\n----- stdout\n{first}\n----- stderr\n"));
    assert!(place.run(&["key", "show"]).contains("\nage1"));
    let second = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    place.write("key", second);
    let refused = place.run(&["key", "import", "key"]);
    assert!(refused.starts_with("exit: 1\n") && refused.contains("has a secret key already"), "{refused}");
    assert!(place.run(&["key", "import", "--replace", "key"]).starts_with("exit: 0\n"));
    assert!(place.run(&["key", "export"]).contains(second));
}

#[test]
fn what_is_wrong_with_an_argument_is_shown_and_not_obeyed() {
    let said = Place::new().run(&["send", "--\u{202e}gnp.exe\u{9b}31m\rerror"]);
    assert!(said.starts_with("exit: 2\n") && said.contains("--\\u{202e}gnp.exe\\u{9b}31m\\rerror"), "{said}");
    assert!(!said.contains(['\u{202e}', '\u{9b}', '\r']), "{said:?}");
}

#[test]
fn parameters_that_cannot_be_read_are_an_error_with_their_file() {
    let place = Place::new();
    place.write("own.yar", "rule a { condition: true }");
    assert_snapshot!(place.run(&["send", "file", "--parameters", "own.yar"]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: cannot take parameters from `own.yar`: it is not JSON (line 1)
    ");
    assert_snapshot!(place.run(&["send", "file", "--param-file", "rules=nofile"]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: cannot read `nofile`: it does not exist
    ");
    // As a common editor of Windows writes it: what is said next is about something else.
    place.write("marked.json", "\u{feff}{}");
    assert!(place.run(&["send", "file", "--parameters", "marked.json"]).contains("is not logged in"));
}

// The flag with which a pipe is looked at has another number elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_that_nobody_writes_to_does_not_keep_a_signal_from_ending_the_program() {
    let place = Place::new();
    let said = place.interrupt(&["send", "file", "--param-file", "rules=pipe"], "pipe");
    assert_snapshot!(said, @r"
    exit: 130
    ----- stdout
    ----- stderr
    stopped
    ");
}

#[cfg(unix)]
#[test]
fn a_program_that_hangs_in_its_start_keeps_no_other_of_its_home_from_being_interrupted() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("home")).unwrap();
    let lock = std::fs::File::create(place.path().join("home/config.lock")).unwrap();
    lock.lock().unwrap();
    let said = place.interrupt_when_it_speaks(&["status"]);
    assert_snapshot!(said, @r"
    exit: 130
    ----- stdout
    ----- stderr
    waiting for another program that uses `[PLACE]/home`
    stopped
    ");
    for command in [&["send", "file"][..], &["resume"], &["show", "file"]] {
        assert_eq!(place.interrupt_when_it_speaks(command), said, "{command:?}");
    }
    let watched = place.interrupt_when_it_speaks(&["watch", "."]);
    assert_eq!(watched, said.replace("exit: 130", "exit: 0").replace("stopped\n", ""));
}

#[test]
fn a_login_takes_one_way_in_and_one_pool() {
    let place = Place::new();
    let login = |more: &[&str]| place.run(&[&["login", "--server", "http://127.0.0.1:1"][..], more].concat());
    let root = format!("main:{}", "ab".repeat(32));
    for wrong in [
        &["--root", &root][..],
        &["--code", "0123"],
        &["--code", "0123", "--token-file", "token", "--root", &root],
        &["--code", "0123", "--root", &root, "--pool", "pool.json"],
    ] {
        assert!(login(wrong).starts_with("exit: 2\n"), "{wrong:?}");
    }
    assert_snapshot!(login(&["--code", "0123", "--root", &root]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: that is not a one-time code
    hint: it has 28 letters and digits, in groups of four with hyphens between them
    ");
    assert_snapshot!(login(&["--code", "fm_u_secret", "--root", &root]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: that is a token, and a one-time code is wanted
    hint: others on this machine can read a command line: have it revoked (`filemill-server token revoke`), and give another with --token-file
    ");
    assert_snapshot!(login(&["--code", "0123", "--root", "main"]), @r"
    exit: 1
    ----- stdout
    ----- stderr
    error: that is not a pool's root: it is not NAME:KEY
    hint: paste all of the line that `filemill-processor join` printed: NAME:KEY, with 64 hex characters
    ");
}
