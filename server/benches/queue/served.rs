//! The server under measurement, as its own process, with tokens and a release.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Options, prepared};

const PROGRAM: &str = env!("CARGO_BIN_EXE_filemill-server");

/// A running server. Killed when dropped.
pub(crate) struct Served {
    /// `http://127.0.0.1:PORT`.
    pub(crate) address: String,
    pub(crate) known: Known,
    child: Child,
    dir: tempfile::TempDir,
}

/// What is made before a measurement.
#[derive(Serialize, Deserialize)]
pub(crate) struct Known {
    /// One user's token for each organisation, and one more for the small uploads.
    pub(crate) users: Vec<String>,
    /// A processor's token.
    pub(crate) processor: String,
    /// The release's digest.
    pub(crate) release: String,
}

impl Served {
    /// Starts it on a fresh folder (and database), or on a copy of what was prepared, and waits until it is ready.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let server = options.server.as_deref().unwrap_or(Path::new(PROGRAM));
        let place = Place { server, dir: dir.path(), database_url: options.database_url.as_deref() };
        let known = match &options.prepared {
            Some(folder) => Some(prepared::copy(folder, &place, options).await?),
            None => None,
        };
        let (address, child) = place.serve().await?;
        let known = match known {
            Some(known) => known,
            None => place.make(options).await?,
        };
        Ok(Self { address, known, child, dir })
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

/// Which server, and where it keeps things.
pub(crate) struct Place<'a> {
    pub(crate) server: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) database_url: Option<&'a str>,
}

impl Place<'_> {
    fn command(&self, command: &str) -> Command {
        let mut program = Command::new(self.server);
        program.args(command.split(' ')).arg("--embedded").arg(self.dir);
        // Nor the engines that lie beside some builds: they would be compiled while it is measured.
        program.env("FILEMILL_SERVER_ENGINES", "");
        if let Some(url) = self.database_url {
            program.arg("--database-url").arg(url);
        }
        program
    }

    /// Starts it, waits until it is ready, and answers its address.
    pub(crate) async fn serve(&self) -> Result<(String, Child)> {
        let mut child = self
            .command("serve")
            .args(["--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::create(self.dir.join("server.log"))?))
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("the server has no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let ready = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        let ready: serde_json::Value = serde_json::from_str(&ready.context("the server ended before it was ready")?)?;
        let address = ready["listening"].as_str().context("the ready line has no address")?.to_owned();
        Ok((address, child))
    }

    /// Makes organisations and their tokens, and publishes the release.
    pub(crate) async fn make(&self, options: &Options) -> Result<Known> {
        let component = options.component.to_string_lossy();
        let publish = ["publish", &*component, "--engine", "size", "--version", "0.1.0"];
        let published: serde_json::Value = serde_json::from_str(&self.output("release", &publish).await?)?;
        let release = published["digest"].as_str().context("no digest was printed")?.to_owned();
        let processor = self.token("nodes", "bench", "processor").await?;
        let mut users = Vec::new();
        for number in 0..options.organisations {
            users.push(self.token(&format!("organisation-{number}"), "bench", "user").await?);
        }
        let small = if options.colleague { 0 } else { options.organisations };
        users.push(self.token(&format!("organisation-{small}"), "small", "user").await?);
        Ok(Known { users, processor, release })
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
