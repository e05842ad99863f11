//! A user at the command line.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use filemill_seal::Identity;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use xtask::{Client, wait};

use super::{Asker, LIMIT};

/// A user with a client that is logged in.
pub(crate) struct Person {
    client: Client,
    asker: Asker,
    /// Calls so far: their outputs are numbered.
    calls: Cell<u32>,
}

/// A call that runs. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

/// What a call that has ended said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    /// Standard error.
    pub(crate) log: String,
}

/// One file in a report as JSON.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) path: String,
    /// The exact bytes, where they are no UTF-8.
    #[serde(default)]
    path_hex: Option<String>,
    pub(crate) size: u64,
    pub(crate) engine: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) report: Option<Value>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// Whether it is the result of the same content, sent before.
    #[serde(default)]
    pub(crate) reused: bool,
}

impl Person {
    pub(crate) fn new(client: Client, asker: Asker) -> Result<Self> {
        Ok(Self { client, asker, calls: Cell::new(0) })
    }

    /// What the server says to this user.
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// The client's home.
    pub(crate) fn home(&self) -> &Path {
        self.client.home()
    }

    /// Sends `paths` and waits for the results.
    pub(crate) fn send<P: AsRef<OsStr>>(&self, paths: impl IntoIterator<Item = P>) -> Result<Said> {
        self.start_sending(paths)?.end(LIMIT)
    }

    /// Starts to send `paths`.
    pub(crate) fn start_sending<P: AsRef<OsStr>>(&self, paths: impl IntoIterator<Item = P>) -> Result<Running> {
        let mut send = self.command();
        send.args(["send", "--json", "--"]).args(paths);
        self.start(send)
    }

    /// A call with `args`, to its end.
    pub(crate) fn say<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<Said> {
        let mut command = self.command();
        command.args(args);
        self.start(command)?.end(LIMIT)
    }

    /// The user's secret key, as `key export` prints it.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let exported = self.say(["key", "export"])?.well()?.out;
        let secret = exported.lines().find(|line| line.starts_with("AGE-SECRET-KEY-"));
        Ok(secret.context("`key export` prints no secret key")?.parse()?)
    }

    /// A call without arguments yet.
    pub(crate) fn command(&self) -> Command {
        self.client.command()
    }

    /// Starts a call.
    pub(crate) fn start(&self, mut command: Command) -> Result<Running> {
        let home = self.home();
        let name = home.file_name().and_then(OsStr::to_str).context("a home has a name")?;
        let logs = home.with_file_name("logs");
        fs::create_dir_all(&logs)?;
        let call = self.calls.replace(self.calls.get() + 1);
        let out = logs.join(format!("{name}-{call}.out"));
        let log = logs.join(format!("{name}-{call}.log"));
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?);
        let child = command.spawn().context("cannot start the client")?;
        Ok(Running { child, out, log })
    }
}

impl Running {
    /// Waits until it ends by itself.
    pub(crate) fn end(mut self, limit: Duration) -> Result<Said> {
        let ended = wait::until("the client to end", limit, || Ok(self.child.try_wait()?));
        let (out, log) = (self.out()?, self.log()?);
        let status = ended.with_context(|| format!("it said:\n{out}\n{log}"))?;
        Ok(Said { code: status.code(), out, log })
    }

    /// Waits until `what` is in its standard error.
    pub(crate) fn until_said(&mut self, what: &str) -> Result<()> {
        wait::until(&format!("the client to say `{what}`"), LIMIT, || {
            if self.log()?.contains(what) {
                return Ok(Some(()));
            }
            self.expect_running()?;
            Ok(None)
        })
    }

    /// As [`Self::until_said`], of a call that may end with these words.
    pub(crate) fn until_said_or_end(&mut self, what: &str) -> Result<()> {
        wait::until(&format!("the client to say `{what}`"), LIMIT, || {
            let ended = self.child.try_wait()?.is_some();
            if self.log()?.contains(what) || self.out()?.contains(what) {
                return Ok(Some(()));
            }
            anyhow::ensure!(!ended, "the client has ended: {}\n{}", self.out()?, self.log()?);
            Ok(None)
        })
    }

    /// Files in its report so far.
    pub(crate) fn lines(&self) -> Result<Vec<Line>> {
        lines(&self.out()?)
    }

    /// Its standard error so far.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// An error if it has ended.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the client has ended ({status}): {}\n{}", self.out()?, self.log()?),
        }
    }

    /// Ends it as Ctrl-C would.
    pub(crate) fn interrupt(self) -> Result<Said> {
        self.signal(Signal::INT)?;
        self.end(LIMIT)
    }

    /// Kills it, as `kill -9`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn out(&self) -> Result<String> {
        Ok(String::from_utf8(fs::read(&self.out)?)?)
    }

    // Its id is its own until it was waited for, which only `end`, `kill` and `drop` do.
    fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("a process has an id")?, signal).context("cannot signal the client")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// The files in its report.
    pub(crate) fn lines(&self) -> Result<Vec<Line>> {
        lines(&self.out)
    }

    /// An error unless it ended well.
    pub(crate) fn well(self) -> Result<Self> {
        if self.code != Some(0) {
            bail!("the client ended with {:?}:\n{}\n{}", self.code, self.out, self.log);
        }
        Ok(self)
    }
}

impl Line {
    /// The file that it is about.
    pub(crate) fn file(&self) -> Result<PathBuf> {
        Ok(match &self.path_hex {
            None => PathBuf::from(&self.path),
            Some(hex) => PathBuf::from(OsString::from_vec(HEXLOWER.decode(hex.as_bytes())?)),
        })
    }

    /// The field `name` of the engine's report.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.report.as_ref()?.get(name)
    }

    /// The number in the field `name` of the engine's report.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.as_u64()
    }
}

/// One line a file; a last one that is not written to its end is left out.
fn lines(out: &str) -> Result<Vec<Line>> {
    let whole = out.rfind('\n').map_or("", |end| &out[..end]);
    let parse = |line| serde_json::from_str(line).with_context(|| format!("not a line of a report: {line}"));
    whole.lines().map(parse).collect()
}
