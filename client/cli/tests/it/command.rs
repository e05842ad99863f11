//! Runs the program in a home of its own, and makes what it prints comparable.

use std::path::Path;
use std::process::{Command, Output, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    /// Exit code, standard output and standard error of `filemill` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.said(&self.command(arguments).output().unwrap())
    }

    /// The same for one that is interrupted when it reads from the pipe `name`, into which nobody writes.
    #[cfg(target_os = "linux")]
    pub(crate) fn interrupt(&self, arguments: &[&str], name: &str) -> String {
        use std::os::unix::fs::OpenOptionsExt;

        const NONBLOCK: i32 = 0o4000;

        let pipe = self.path().join(name);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        // It can be opened so as soon as somebody reads.
        let _writer = loop {
            match std::fs::OpenOptions::new().write(true).custom_flags(NONBLOCK).open(&pipe) {
                Ok(writer) => break writer,
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(60), "nobody reads"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        interrupt(&mut child);
        self.said(&child.wait_with_output().unwrap())
    }

    /// The same for one that is interrupted once it has said something on standard error.
    #[cfg(unix)]
    pub(crate) fn interrupt_when_it_speaks(&self, arguments: &[&str]) -> String {
        use std::io::Read;

        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (heard, says) = std::sync::mpsc::channel();
        let listening = std::thread::spawn(move || {
            let mut said = vec![0; 4096];
            let first = stderr.read(&mut said).unwrap();
            said.truncate(first);
            let _ = heard.send(());
            stderr.read_to_end(&mut said).unwrap();
            said
        });
        if says.recv_timeout(Duration::from_secs(60)).is_err() {
            child.kill().unwrap();
            panic!("it says nothing");
        }
        interrupt(&mut child);
        let output = child.wait_with_output().unwrap();
        self.said(&Output { stderr: listening.join().unwrap(), ..output })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filemill"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("FILEMILL_HOME", self.path().join("home"))
            .env("FILEMILL_KEY_STORE", "file")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    fn said(&self, output: &Output) -> String {
        let text = format!(
            "exit: {}\n----- stdout\n{}----- stderr\n{}",
            output.status.code().map_or_else(|| "none".to_owned(), |code| code.to_string()),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        text.replace(&*self.path().to_string_lossy(), "[PLACE]")
    }
}

/// Interrupts it once, and waits until it has ended.
#[cfg(unix)]
fn interrupt(child: &mut std::process::Child) {
    let begun = Instant::now();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
