//! What the server says to a user, asked straight: the facts that a test compares a client's words with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use filemill_api::{EventKind, EventPage, JobOutcome, Outcome, Release, Releases, UploadSummary, Uploads, paths};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

/// Asks the server as one user.
pub(crate) struct Asker {
    runtime: Runtime,
    client: reqwest::Client,
    server: String,
    token: String,
}

impl Asker {
    pub(crate) fn new(server: String, token: &Path) -> Result<Self> {
        let token = fs::read_to_string(token).with_context(|| format!("cannot read `{}`", token.display()))?;
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            client: super::proxy::client()?,
            server,
            token: token.trim().to_owned(),
        })
    }

    /// The user's uploads that are not done.
    pub(crate) fn uploads(&self) -> Result<Vec<UploadSummary>> {
        Ok(self.get::<Uploads>(paths::UPLOADS)?.uploads)
    }

    /// How many chunks of uploads that are not done count as stored.
    pub(crate) fn stored_chunks(&self) -> Result<u32> {
        Ok(self.uploads()?.iter().map(|upload| upload.stored).sum())
    }

    /// Every result there is, by upload and job, with the number of times it was told.
    pub(crate) fn results(&self) -> Result<BTreeMap<(String, u32), (Outcome, usize)>> {
        let mut results = BTreeMap::new();
        let mut after = 0;
        loop {
            let page: EventPage = self.get(&format!("{}?after={after}", paths::EVENTS))?;
            if page.events.is_empty() {
                return Ok(results);
            }
            after = page.next;
            for event in page.events {
                if let EventKind::Results { jobs, .. } = event.kind {
                    for JobOutcome { job, outcome } in jobs {
                        results.entry((event.upload.clone(), job)).or_insert((outcome, 0)).1 += 1;
                    }
                }
            }
        }
    }

    /// The releases that clients of a pool see.
    pub(crate) fn releases(&self, pool: &str) -> Result<Vec<Release>> {
        Ok(self.get::<Releases>(&format!("{}?pool={pool}", paths::RELEASES))?.releases)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let asked = self.client.get(format!("{}{path}", self.server)).bearer_auth(&self.token);
        self.runtime.block_on(async {
            let answer = asked.send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            if !status.is_success() {
                bail!("`{path}` was answered with {status}: {text}");
            }
            serde_json::from_str(&text).with_context(|| format!("`{path}` was answered with {text}"))
        })
    }
}
