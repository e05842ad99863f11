//! The server under measurement, as its own process, with tokens and a release.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Options;

const PROGRAM: &str = env!("CARGO_BIN_EXE_filemill-server");

/// A running server. Killed when dropped.
pub(crate) struct Served {
    /// `http://127.0.0.1:PORT`.
    pub(crate) address: String,
    /// One user's token for each organisation, and one more for the small uploads.
    pub(crate) users: Vec<String>,
    /// A processor's token.
    pub(crate) processor: String,
    /// The release's digest.
    pub(crate) release: String,
    child: Child,
    dir: tempfile::TempDir,
}

impl Served {
    /// Starts it on a fresh folder (and database), and waits until it is ready.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let place = Place { dir: dir.path(), database_url: options.database_url.as_deref() };
        let mut child = place
            .command("serve")
            .args(["--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(dir.path().join("server.log"))?))
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("the server has no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let ready = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        let ready: serde_json::Value = serde_json::from_str(&ready.context("the server ended before it was ready")?)?;
        let address = ready["listening"].as_str().context("the ready line has no address")?.to_owned();
        let published = place
            .output(
                "release",
                &["publish", &options.component.to_string_lossy(), "--engine", "size", "--version", "0.1.0"],
            )
            .await?;
        let published: serde_json::Value = serde_json::from_str(&published)?;
        let release = published["digest"].as_str().context("no digest was printed")?.to_owned();
        let processor = place.token("nodes", "bench", "processor").await?;
        let mut users = Vec::new();
        for number in 0..options.organisations {
            users.push(place.token(&format!("organisation-{number}"), "bench", "user").await?);
        }
        let small = if options.colleague { 0 } else { options.organisations };
        users.push(place.token(&format!("organisation-{small}"), "small", "user").await?);
        Ok(Self { address, users, processor, release, child, dir })
    }

    /// CPU time that the server has used, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let id = self.child.id().context("the server has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// The server's resident memory, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<u64> {
        let id = self.child.id().context("the server has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("VmRSS is empty")?.parse()?;
        Ok(kib / 1024)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await?;
        self.dir.close()?;
        Ok(())
    }
}

struct Place<'a> {
    dir: &'a Path,
    database_url: Option<&'a str>,
}

impl Place<'_> {
    fn command(&self, command: &str) -> Command {
        let mut program = Command::new(PROGRAM);
        program.args(command.split(' ')).arg("--embedded").arg(self.dir);
        if let Some(url) = self.database_url {
            program.arg("--database-url").arg(url);
        }
        program
    }

    async fn output(&self, command: &str, args: &[&str]) -> Result<String> {
        let mut words = args.iter();
        let command = match words.next() {
            Some(sub) => format!("{command} {sub}"),
            None => bail!("`{command}` needs a word more"),
        };
        let output = self.command(&command).args(words).output().await?;
        ensure!(output.status.success(), "`{command}` failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    async fn token(&self, organisation: &str, user: &str, scope: &str) -> Result<String> {
        let mut args = vec!["create", "--organisation", organisation, "--user", user, "--scope", scope];
        if scope == "processor" {
            args.extend(["--pool", crate::load::POOL]);
        }
        self.output("token", &args).await
    }
}
