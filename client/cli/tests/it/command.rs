//! Runs the program in a home of its own, and makes what it prints comparable.

use std::path::Path;
use std::process::{Command, Stdio};

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
        let output = Command::new(env!("CARGO_BIN_EXE_filemill"))
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("FILEMILL_HOME", self.path().join("home"))
            .env("FILEMILL_KEY_STORE", "file")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!(
            "exit: {}\n----- stdout\n{}----- stderr\n{}",
            output.status.code().map_or_else(|| "none".to_owned(), |code| code.to_string()),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        text.replace(&*self.path().to_string_lossy(), "[PLACE]")
    }
}
