//! What an engine hands out while it runs.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Context;

use serde::Serialize;
use wit_bindgen::StreamWriter;

use crate::bindings::v2::filemill::engine::{host, types};
use crate::bindings::v2::wit_stream;
use crate::{Artifact, Failure};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Hardly a risk.
    Low,
    /// A risk.
    Medium,
    /// A serious one.
    High,
    /// To be dealt with at once.
    Critical,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing, `[a-z0-9-.]`, at most 64 bytes: what a reader groups and filters by.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// In one line for people, at most 512 bytes.
    pub summary: String,
    /// One JSON object; empty: there is no more to say.
    pub json: String,
}

impl Finding {
    /// A finding that its kind and a line say everything about. A line over 512 bytes is cut.
    pub fn new(kind: impl Into<String>, severity: Severity, summary: impl Into<String>) -> Self {
        Self { kind: kind.into(), severity, summary: crate::report::one_line(summary.into()), json: String::new() }
    }

    /// The finding with `data`, which becomes one JSON object.
    ///
    /// # Errors
    ///
    /// When `data` has no form in JSON, or is no object there.
    pub fn with(mut self, data: &impl Serialize) -> Result<Self, Failure> {
        self.json = crate::report::object(data)?;
        Ok(self)
    }
}

/// Where an engine hands out what it found.
pub struct Output {
    /// Without a host: what was handed out.
    recorded: Option<RefCell<(Vec<Finding>, Vec<Artifact>)>>,
}

impl Output {
    pub(super) fn to_host() -> Self {
        Self { recorded: None }
    }

    pub(super) fn recorded() -> Self {
        Self { recorded: Some(RefCell::default()) }
    }

    pub(super) fn into_recorded(self) -> (Vec<Finding>, Vec<Artifact>) {
        self.recorded.map(RefCell::into_inner).unwrap_or_default()
    }

    /// Hands out a finding. Number and bytes are bounded by the release's limits; a run over them ends.
    pub fn found(&self, finding: Finding) {
        match &self.recorded {
            Some(recorded) => recorded.borrow_mut().0.push(finding),
            None => host::found(&finding.into()),
        }
    }

    /// Begins an artifact, whose bytes follow. `name` is a plain file name, unique in this run: 1 to 100 characters of
    /// `[A-Za-z0-9._-]`, not beginning with `.` or `-`.
    pub fn artifact(&self, name: impl Into<String>, media_type: impl Into<String>) -> ArtifactWriter<'_> {
        let (name, media_type) = (name.into(), media_type.into());
        let to = match &self.recorded {
            Some(recorded) => To::Record { recorded, artifact: Artifact { name, media_type, data: Vec::new() } },
            None => {
                let (bytes, taken) = wit_stream::new::<u8>();
                let call = Box::pin(host::artifact(name.clone(), media_type, taken));
                To::Host { name, bytes, call: Some(call) }
            }
        };
        ArtifactWriter { to }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Output").finish_non_exhaustive()
    }
}

/// An artifact that is being written. It must be [finished](ArtifactWriter::finish): a run that leaves one unfinished ends.
#[must_use = "an artifact that is not finished ends the run"]
pub struct ArtifactWriter<'a> {
    to: To<'a>,
}

enum To<'a> {
    Host {
        name: String,
        bytes: StreamWriter<u8>,
        /// The host's taking of the bytes, until it returns. It goes on only while it is polled.
        call: Option<Pin<Box<dyn Future<Output = ()>>>>,
    },
    Record {
        recorded: &'a RefCell<(Vec<Finding>, Vec<Artifact>)>,
        artifact: Artifact,
    },
}

impl ArtifactWriter<'_> {
    /// Writes all of `bytes`; returns when the host has taken them.
    ///
    /// # Errors
    ///
    /// When the host takes no more.
    pub async fn write(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let (name, writer, call) = match &mut self.to {
            To::Record { artifact, .. } => {
                artifact.data.append(&mut bytes.into());
                return Ok(());
            }
            To::Host { name, bytes, call } => (name, bytes, call),
        };
        let mut written = pin!(writer.write_all(bytes.into()));
        let refused = poll_fn(|context| {
            advance(call, context);
            written.as_mut().poll(context)
        })
        .await;
        if refused.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!("the host takes no more of artifact `{name}`")))
    }

    /// Ends the artifact; returns when the host has it.
    ///
    /// # Errors
    ///
    /// None so far: a host that refuses it ends the run.
    pub async fn finish(self) -> Result<(), Failure> {
        match self.to {
            To::Record { recorded, artifact } => recorded.borrow_mut().1.push(artifact),
            To::Host { bytes, call, .. } => {
                drop(bytes);
                if let Some(call) = call {
                    call.await;
                }
            }
        }
        Ok(())
    }
}

impl From<Finding> for types::Finding {
    fn from(finding: Finding) -> Self {
        let severity = match finding.severity {
            Severity::Info => types::Severity::Info,
            Severity::Low => types::Severity::Low,
            Severity::Medium => types::Severity::Medium,
            Severity::High => types::Severity::High,
            Severity::Critical => types::Severity::Critical,
        };
        Self { kind: finding.kind, severity, summary: finding.summary, json: finding.json }
    }
}

/// Lets the host's taking go on, until it has returned.
fn advance(call: &mut Option<Pin<Box<dyn Future<Output = ()>>>>, context: &mut Context<'_>) {
    if call.as_mut().is_some_and(|call| call.as_mut().poll(context).is_ready()) {
        *call = None;
    }
}
