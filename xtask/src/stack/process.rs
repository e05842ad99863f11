//! One started program: its logs, its signals, its end.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::spawn;
use crate::wait;

/// How long a program may take to end after SIGTERM: past what the product allows itself.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How many lines of a log are shown when its program failed.
const TAIL_LINES: usize = 20;

/// What to start, and how.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Name for people and for the log files.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Where `NAME.log` (standard error, of every start) and `NAME.out` (standard output, of the last one) go.
    pub(crate) logs: PathBuf,
    /// User and group to run as, when not this program's.
    pub(crate) user: Option<(u32, u32)>,
    /// What ends it in order: also sent when this program itself is killed.
    pub(crate) stop: Signal,
    /// Whether it stays when this program ends.
    pub(crate) survives: bool,
}

/// A program that was started, and can be started again. It is killed when this is dropped, unless it is to survive.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Option<Child>,
}

impl Process {
    /// Starts `program`.
    pub(crate) fn spawn(program: Program) -> Result<Self> {
        let mut process = Self { program, child: None };
        process.start()?;
        Ok(process)
    }

    /// Starts it again after it ended, with the same arguments. Returns at once; whether it is ready, its own ways say.
    ///
    /// # Errors
    ///
    /// When it is still running, or cannot be started.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.ended()?.is_none() && self.child.is_some() {
            bail!("`{}` is running already (process {})", self.program.name, self.id()?);
        }
        let Program { name, file, args, env, logs, user, stop, survives } = &self.program;
        fs::create_dir_all(logs).with_context(|| format!("cannot create `{}`", logs.display()))?;
        let out = File::create(self.out()).with_context(|| format!("cannot write `{}`", self.out().display()))?;
        let log = self.log();
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write `{}`", log.display()))?;
        let mut command = if *survives { Command::new(file) } else { spawn::ending_with_us(file, *stop) };
        crate::program::without_settings(&mut command);
        command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
        if let Some((user, group)) = user {
            command.uid(*user).gid(*group);
        }
        writeln!(log, "--- {}", crate::program::shown(&command)).context("cannot write the log")?;
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        command.process_group(0); // Ctrl-C is for this program, which then ends the others in order
        let child = spawn::spawn(command).with_context(|| format!("cannot start `{name}` (`{}`)", file.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// From its next start on it is the program in `file`, with the same arguments: as after an upgrade.
    pub(crate) fn upgrade(&mut self, file: &Path) {
        file.clone_into(&mut self.program.file);
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn id(&self) -> Result<u32> {
        let child = self.child.as_ref();
        child.map(Child::id).ok_or_else(|| anyhow!("`{}` is not running", self.program.name))
    }

    /// How it ended, if it did by itself.
    ///
    /// # Errors
    ///
    /// When the system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        child.try_wait().with_context(|| format!("cannot ask for `{}`", self.program.name))
    }

    /// Ends it as an operator would (by SIGTERM, for PostgreSQL SIGINT), waits until it has, and says how. One that is frozen
    /// is thawed for it; one that has ended by itself is fine.
    ///
    /// # Errors
    ///
    /// When it was not started, or does not end within half a minute; then it was killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.id()?;
        self.signal(self.program.stop)?;
        self.signal(Signal::CONT)?;
        let what = format!("`{}` to end when told to", self.program.name);
        match wait::until(&what, STOP_LIMIT, || self.ended()) {
            Ok(status) => {
                self.child = None;
                Ok(status)
            }
            Err(error) => {
                let tail = self.tail();
                self.kill()?;
                Err(error.context(tail))
            }
        }
    }

    /// Kills it, as `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait().map(drop))
            .with_context(|| format!("cannot kill `{}`", self.program.name))
    }

    /// Freezes it (SIGSTOP): it keeps its sockets and memory, and does nothing.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn freeze(&mut self) -> Result<()> {
        self.id()?;
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn thaw(&mut self) -> Result<()> {
        self.id()?;
        self.signal(Signal::CONT)
    }

    /// The most memory it has had resident so far, in bytes (`VmHWM`).
    ///
    /// # Errors
    ///
    /// When it is not running, or this is no Linux.
    pub fn peak_resident_bytes(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.id()?);
        let status = fs::read_to_string(&file).with_context(|| format!("cannot read `{file}`"))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .ok_or_else(|| anyhow!("`{file}` has no `VmHWM`"))?;
        Ok(kib * 1024)
    }

    /// The file with what it wrote to standard error, over all its starts.
    pub fn log(&self) -> PathBuf {
        self.program.logs.join(format!("{}.log", self.program.name))
    }

    /// The file with what it wrote to standard output since it was last started.
    pub(crate) fn out(&self) -> PathBuf {
        self.program.logs.join(format!("{}.out", self.program.name))
    }

    /// Name, for people.
    pub(crate) fn name(&self) -> &str {
        &self.program.name
    }

    /// An error if it has ended, which says how and shows the end of its log.
    ///
    /// # Errors
    ///
    /// That.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        match self.ended()? {
            None if self.child.is_some() => Ok(()),
            None => bail!("`{}` is not running", self.program.name),
            Some(status) => bail!("`{}` ended by itself ({status})\n{}", self.program.name, self.tail()),
        }
    }

    /// The end of its log, with the file's name.
    pub(crate) fn tail(&self) -> String {
        let log = self.log();
        let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("the end of `{}`:\n{tail}", log.display())
    }

    /// Sends `signal`, unless it has ended: from then on another process may bear its id.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        let Some(child) = &self.child else { return Ok(()) };
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the process has no id")?;
        match kill_process(id, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(io::Error::from(error)).with_context(|| format!("cannot signal `{}`", self.program.name)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.program.survives {
            return;
        }
        if let Err(error) = self.kill() {
            filemill_text::tell_lines(format_args!("{error:#}"));
        }
    }
}

/// Reads the first line of `file` that ends with a newline, if there is one.
pub(crate) fn first_line(file: &Path) -> Result<Option<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(text.split_once('\n').map(|(line, _)| line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &Path, script: &str) -> Process {
        Process::spawn(Program {
            name: "shell".into(),
            file: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            logs: dir.into(),
            user: None,
            stop: Signal::TERM,
            survives: false,
        })
        .expect("a shell starts")
    }

    fn state(id: u32) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    #[test]
    fn a_process_that_ended_is_an_error_with_its_last_words() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut process = shell(dir.path(), "echo last words >&2; exit 7");
        wait::until("the shell to end", STOP_LIMIT, || process.ended()).expect("it ends");
        let error = process.expect_running().expect_err("it ended").to_string();
        assert!(error.contains("exit status: 7") && error.contains("last words"), "{error}");
    }

    #[test]
    fn stopping_reaches_a_frozen_process_and_it_can_start_again() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut process = shell(dir.path(), "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
        let ready = |process: &Process| {
            let out = process.out();
            wait::until("the trap", STOP_LIMIT, || first_line(&out)).expect("ready");
        };
        ready(&process);
        let id = process.id().expect("running");
        process.freeze().expect("frozen");
        wait::until("SIGSTOP", STOP_LIMIT, || Ok((state(id) == Some('T')).then_some(()))).expect("frozen");
        assert_eq!(process.stop().expect("ended").code(), Some(5));
        assert!(process.freeze().is_err() && process.stop().is_err());
        process.start().expect("starts again");
        assert!(process.start().is_err(), "twice at once");
        ready(&process);
        assert!(process.peak_resident_bytes().expect("running") > 0);
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let process = shell(dir.path(), "while :; do sleep 0.01; done");
        let id = process.id().expect("running");
        drop(process);
        assert_eq!(state(id), None);
    }
}
