//! The private PostgreSQL is there, asks for its password, and is gone afterwards, whatever happens to who started it.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use xtask::{Postgres, wait};

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// A greeting of protocol 3.0 as user `postgres`.
const GREETING: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";

/// The answer: authenticate (`R`, 4 bytes of length) by SASL (10), which is how SCRAM begins.
const SASL: u32 = 10;

#[test]
fn it_lets_nobody_in_without_a_password_and_goes_when_dropped() {
    let postgres = Postgres::start().expect("it starts");
    let address = address(postgres.url());
    let mut connection = TcpStream::connect(&address).expect("it listens");
    connection.set_read_timeout(Some(LIMIT)).expect("a limit");
    connection.write_all(GREETING).expect("written");
    let mut answer = [0; 9];
    connection.read_exact(&mut answer).expect("an answer");
    assert_eq!((answer[0], &answer[5..]), (b'R', &SASL.to_be_bytes()[..]));

    drop(postgres);
    assert!(TcpStream::connect(&address).is_err(), "it still listens on {address}");
}

#[test]
fn it_goes_even_when_who_started_it_is_killed() {
    let mut starter = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "postgres::starter", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let stdout = BufReader::new(starter.stdout.take().expect("connected"));
    let mut lines = stdout.lines().map_while(Result::ok);
    let url = lines.find_map(|line| line.split_once("postgres://").map(|(_, url)| url.to_owned())).expect("it starts");
    let address = address(&format!("postgres://{url}"));
    TcpStream::connect(&address).expect("it listens");

    starter.kill().expect("killed");
    starter.wait().expect("gone");
    let gone = || Ok(TcpStream::connect(&address).is_err().then_some(()));
    wait::until("PostgreSQL to end", LIMIT, gone).expect("it ends by itself");
}

#[test]
#[ignore = "what the test above runs and kills"]
#[expect(clippy::print_stdout, reason = "that test reads it")]
fn starter() {
    let postgres = Postgres::start().expect("it starts");
    println!("\n{}", postgres.url());
    let _ = std::io::stdin().read(&mut [0; 1]); // until killed, or its own starter ended
}

/// Host and port of a database's URL.
fn address(url: &str) -> String {
    let (_, place) = url.split_once('@').expect("it has credentials");
    place.strip_suffix("/postgres").expect("it names the database").to_owned()
}
