//! Tests of what a user may not look into, and of what fails for a whole process. Whoever runs them as root may look into everything.

use std::process::Command;

/// Set in the process that a test is run again in.
const AGAIN: &str = "FILEMILL_TEST_UNPRIVILEGED";

/// Runs `body` in a process of its own, as a user whom the rights of files hold for, and who may not look into others' processes.
/// `test` is the full name of the test, which is run again there. Not at all, and says so, for root where there is no `setpriv`.
pub(crate) fn unprivileged(test: &str, body: impl FnOnce()) {
    if std::env::var_os(AGAIN).is_some() {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let mut again = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        again = Command::new("setpriv");
        again.arg("--bounding-set=-dac_override,-dac_read_search,-sys_ptrace").arg(program);
    }
    match again.args([test, "--exact", "--nocapture"]).env(AGAIN, "1").output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => filemill_text::tell!("skipped: {error}: without `setpriv` root may look into everything"),
    }
}

/// Does `act` while nothing at all can be opened, in a process of its own.
pub(crate) fn with_nothing_opened<T>(act: impl FnOnce() -> T) -> T {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    assert!(std::env::var_os(AGAIN).is_some(), "it is not the only test of this process");
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limits }).unwrap();
    let done = act();
    setrlimit(Resource::Nofile, limits).unwrap();
    done
}
