//! The README's four commands, as a newcomer types the first and the last and pastes what is printed in between.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::{Binaries, Profile, Tree, engine, wait};

use crate::harness::LIMIT;

/// A machine on which the programs were installed, and a person who has a shell.
pub(crate) struct Machine {
    dir: TempDir,
}

/// A command that goes on until it is stopped; killed if a test forgets it.
pub(crate) struct Going {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Machine {
    /// Programs and the engine `size`, where an installation puts them.
    pub(crate) fn new() -> Result<Self> {
        let tree = Tree::locate()?;
        let binaries = Binaries::find_or_build(&tree, Profile::Dev)?;
        let engines = engine::find_or_build(&tree, &["size".into()])?;
        let dir = tempfile::Builder::new().prefix("filemill-by-hand-").tempdir()?;
        let prefix = dir.path().join("prefix");
        let (programs, shared) = (prefix.join("bin"), prefix.join("share/filemill/engines"));
        fs::create_dir_all(&programs)?;
        fs::create_dir_all(&shared)?;
        for program in [&binaries.server, &binaries.processor, &binaries.client] {
            let place = programs.join(program.file_name().context("a program has a name")?);
            // Not a link, which would lead back to the folder that the engines do not lie beside.
            if fs::hard_link(program, &place).is_err() {
                fs::copy(program, &place)?;
            }
        }
        for engine in &engines {
            fs::copy(&engine.file, shared.join(format!("{}.wasm", engine.name)))?;
        }
        fs::create_dir_all(dir.path().join("home"))?;
        fs::write(dir.path().join("home/notes.txt"), "one\ntwo\nthree\n")?;
        Ok(Self { dir })
    }

    /// Its folder, in which the home lies.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A line in a shell, with nothing but the installation on the path.
    fn line(&self, line: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).current_dir(self.home()).env_clear();
        shell.env("PATH", self.dir.path().join("prefix/bin")).env("HOME", self.home());
        // This machine has no keychain.
        shell.env("FILEMILL_KEY_STORE", "file").stdin(Stdio::null());
        shell
    }

    /// Types a line, and waits until it has ended.
    pub(crate) fn typed(&self, line: &str) -> Result<Output> {
        self.line(line).output().with_context(|| format!("`{line}`"))
    }

    /// Types a line that goes on.
    pub(crate) fn going(&self, name: &str, line: &str) -> Result<Going> {
        let (out, log) = (self.dir.path().join(format!("{name}.out")), self.dir.path().join(format!("{name}.log")));
        // The shell makes room for the program, so that a signal reaches it.
        let mut command = self.line(&format!("exec {line}"));
        command.stdout(File::create(&out)?).stderr(File::create(&log)?);
        let child = command.spawn().with_context(|| format!("`{line}`"))?;
        Ok(Going { child, out, log })
    }
}

impl Going {
    /// The line that begins so, once it was printed as a whole, on standard output or standard error.
    pub(crate) fn line_that_begins(&mut self, with: &str) -> Result<String> {
        let (out, log) = (self.out.clone(), self.log.clone());
        wait::until(&format!("a line that begins with `{with}`"), LIMIT, || {
            for file in [&out, &log] {
                let text = fs::read_to_string(file)?;
                let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
                if let Some(line) = whole.lines().find(|line| line.starts_with(with)) {
                    return Ok(Some(line.to_owned()));
                }
            }
            ensure!(self.child.try_wait()?.is_none(), "it has ended");
            Ok(None)
        })
        .with_context(|| format!("it said:\n{}", fs::read_to_string(&log).unwrap_or_default()))
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn interrupt(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        let status = wait::until("it to end", LIMIT, || Ok(self.child.try_wait()?))?;
        ensure!(status.success(), "{status}:\n{}", self.log()?);
        Ok(())
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn well(output: &Output) -> Result<String> {
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(said)
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files_below(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[test]
fn four_commands_of_which_two_are_pasted_analyse_a_file() -> Result<()> {
    let machine = Machine::new()?;
    let mut server = machine.going("server", "filemill-server serve --embedded srv")?;
    let join = server.line_that_begins("filemill-processor join ")?;
    let mut processor = machine.going("processor", &join)?;
    let login = processor.line_that_begins("filemill login ")?;
    let logged_in = well(&machine.typed(&login)?)?;
    let sent = well(&machine.typed("filemill send notes.txt")?)?;
    assert!(sent.contains("succeeded") && sent.contains("notes.txt"), "{sent}");

    // The root is the one that the processor made, and nobody else's.
    let fingerprint = logged_in.split_once("fingerprint ").context("no fingerprint")?.1[..29].to_owned();
    assert!(processor.log()?.contains(&fingerprint), "{logged_in}");
    assert!(!logged_in.contains("warning"), "{logged_in}");

    // What the processor keeps is its owner's, and holds neither code.
    let kept = machine.home().join(".local/state/filemill/processor");
    let codes = [&join, &login].map(|line| line.split(' ').skip_while(|word| *word != "--code").nth(1));
    let codes: Vec<String> =
        codes.into_iter().flatten().flat_map(|code| [code.to_owned(), code.replace('-', "")]).collect();
    assert_eq!(codes.len(), 4);
    for file in files_below(&kept)? {
        let bytes = fs::read(&file)?;
        let holds = |code: &String| bytes.windows(code.len()).any(|window| window == code.as_bytes());
        assert!(!codes.iter().any(holds), "`{}`", file.display());
    }
    assert_eq!(fs::metadata(kept.join("token"))?.permissions().mode() & 0o777, 0o600);

    // Both codes are used up.
    let again = machine.typed(&format!("FILEMILL_HOME=other {login}"))?;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("has been used"), "{again:?}");
    let again = machine.typed(&format!("{join} --dir other-processor"))?;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("has been used"), "{again:?}");

    // Later starts need no code, and give nobody one.
    processor.interrupt()?;
    server.interrupt()?;
    let mut server = machine.going("server-again", "filemill-server serve --embedded srv")?;
    server.line_that_begins("{\"listening\"")?;
    let processor = machine.going("processor-again", "filemill-processor run")?;
    fs::write(machine.home().join("more.txt"), "four\n")?;
    well(&machine.typed("filemill send more.txt")?)?;
    assert!(!server.log()?.contains("--code"), "{}", server.log()?);
    processor.interrupt()?;
    server.interrupt()
}
