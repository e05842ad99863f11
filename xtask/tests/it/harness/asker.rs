//! What the server says to a user, asked straight: the facts that a test compares a client's words with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use filemill_api::{EventKind, EventPage, JobOutcome, Outcome, Release, Releases, UploadSummary, Uploads, paths, v1};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

/// Asks the server as one user: in version 1 where it is of a release that has no other.
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
        Ok(self.get::<Uploads, v1::Uploads>(paths::UPLOADS)?.uploads)
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
            let page = self.get::<EventPage, v1::EventPage>(&format!("{}?after={after}", paths::EVENTS))?;
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
        Ok(self.get::<Releases, Releases>(&format!("{}?pool={pool}", paths::RELEASES))?.releases)
    }

    fn get<T: DeserializeOwned, Old: DeserializeOwned + Into<T>>(&self, path: &str) -> Result<T> {
        if let Some(answer) = self.answer(path)? {
            return Ok(answer);
        }
        let path = paths::in_v1(path);
        let answer = self.answer::<Old>(&path)?.with_context(|| format!("the server has no `{path}`"))?;
        Ok(answer.into())
    }

    /// What is answered; none where there is nothing.
    fn answer<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let asked = self.client.get(format!("{}{path}", self.server)).bearer_auth(&self.token);
        self.runtime.block_on(async {
            let answer = asked.send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !status.is_success() {
                bail!("`{path}` was answered with {status}: {text}");
            }
            let answer = serde_json::from_str(&text).with_context(|| format!("`{path}` was answered with {text}"))?;
            Ok(Some(answer))
        })
    }
}
