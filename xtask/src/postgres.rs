//! A private PostgreSQL on loopback, for tests and benchmarks: its own folder, port and password, gone afterwards.

mod database;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::random;
use crate::stack::{Process, Program, free_port};
use crate::wait;
use crate::{apt, program};

pub use database::Database;

/// How long it may take to accept connections. It takes about a second.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The user that PostgreSQL runs as when this program is root, which it refuses to be.
const USER: &str = "postgres";

/// A running PostgreSQL. It ends, and its folder is removed, when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    url: String,
    // Dropped, and with it removed, after the process.
    _dir: TempDir,
}

impl Postgres {
    /// Starts one, and waits until it accepts connections. Installs it through apt first when it is missing and this is root.
    ///
    /// # Errors
    ///
    /// When it is missing and cannot be installed, or does not start.
    pub fn start() -> Result<Self> {
        let programs = match find_programs() {
            Some(programs) => programs,
            None => install()?,
        };
        let dir = tempfile::Builder::new()
            .prefix("filemill-postgres-")
            .tempdir()
            .context("cannot make a temporary folder for PostgreSQL")?;
        let user = if program::is_root() { Some(user_id()?) } else { None };
        if let Some((user, group)) = user {
            chown(dir.path(), Some(user), Some(group)).context("cannot give PostgreSQL its folder")?;
        }
        let password = HEXLOWER.encode(&random::bytes::<16>()?);
        let data = dir.path().join("data");
        initialise(&programs, &data, &password, user)?;

        let port = free_port()?;
        let setting = |name: &str, value: &str| ["-c".into(), format!("{name}={value}").into()];
        let mut args = vec!["-D".into(), data.clone().into_os_string()];
        args.extend(setting("port", &port.to_string()));
        args.extend(setting("listen_addresses", "127.0.0.1"));
        args.extend(setting("unix_socket_directories", ""));
        args.extend(setting("max_connections", "400"));
        let mut process = Process::spawn(Program {
            name: "postgres".into(),
            file: programs.join("postgres"),
            args,
            env: vec![("LC_ALL".into(), "C".into())],
            logs: dir.path().join("logs"),
            user,
            stop: Signal::INT, // the "fast" end: clients are cut off, data is kept
            survives: false,
        })?;
        wait::until("PostgreSQL to accept connections", READY_LIMIT, || {
            process.expect_running()?;
            Ok(is_ready(&data).then_some(()))
        })?;
        let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres");
        Ok(Self { process, url, _dir: dir })
    }

    /// Where it is, as its administrator: `postgres://postgres:PASSWORD@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = self.process.stop() {
            filemill_text::tell_lines(format_args!("{error:#}"));
        }
    }
}

/// Makes a database cluster in `data`, whose one user needs `password`: other users of this machine reach loopback too.
fn initialise(programs: &Path, data: &Path, password: &str, user: Option<(u32, u32)>) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new().context("cannot write a password file")?;
    writeln!(file, "{password}").context("cannot write a password file")?;
    if let Some((user, group)) = user {
        chown(file.path(), Some(user), Some(group)).context("cannot give PostgreSQL its password file")?;
    }
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .arg("--pgdata")
        .arg(data)
        .args(["--username", USER, "--encoding", "UTF8", "--locale", "C"])
        .args(["--auth", "scram-sha-256", "--no-instructions", "--pwfile"])
        .arg(file.path())
        .current_dir("/"); // which its user may read
    if let Some((user, group)) = user {
        use std::os::unix::process::CommandExt as _;
        initdb.uid(user).gid(group);
    }
    program::output(&mut initdb)?;
    Ok(())
}

/// Whether the server whose data is in `data` accepts connections: it writes so as the last line of its lock file.
fn is_ready(data: &Path) -> bool {
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    file.lines().nth(7).is_some_and(|state| state.trim() == "ready")
}

/// The folder with `initdb` and `postgres`: on the path, or where Debian puts them, the newest version.
fn find_programs() -> Option<PathBuf> {
    let complete = |dir: &Path| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    let on_path = program::find("initdb").and_then(|file| fs::canonicalize(file).ok());
    if let Some(dir) = on_path.as_deref().and_then(Path::parent).filter(|dir| complete(dir)) {
        return Some(dir.to_owned());
    }
    let version = |dir: &PathBuf| {
        let name = dir.parent()?.file_name()?.to_str()?;
        name.parse::<u32>().ok()
    };
    fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|dir| complete(dir))
        .max_by_key(version)
}

fn install() -> Result<PathBuf> {
    apt::install("PostgreSQL", &["postgresql"])?;
    find_programs().context("apt installed PostgreSQL, but there is no `initdb` under `/usr/lib/postgresql`")
}

/// User and group of [`USER`].
fn user_id() -> Result<(u32, u32)> {
    let id = |flag: &str| -> Result<u32> {
        let text = program::output(Command::new("id").args([flag, USER])).with_context(|| {
            format!(
                "PostgreSQL refuses to run as root, and there is no user `{USER}`\nhint: its package makes that user"
            )
        })?;
        text.trim().parse().with_context(|| format!("`id {flag} {USER}` says `{}`", text.trim()))
    };
    Ok((id("-u")?, id("-g")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_only_once_its_lock_file_says_so() {
        let dir = tempfile::tempdir().expect("temporary folder");
        assert!(!is_ready(dir.path()));
        for (state, ready) in [("starting", false), ("ready", true)] {
            let lock = format!("1\n/data\n1\n5432\n\n127.0.0.1\n  1 2\n{state}   \n");
            fs::write(dir.path().join("postmaster.pid"), lock).expect("written");
            assert_eq!(is_ready(dir.path()), ready);
        }
    }
}
