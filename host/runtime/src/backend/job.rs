//! What a run is given: one file, its parameters, its bytes, and who watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::json::{NotAnObject, check_object};

/// One file to analyse.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The name under which the uploader knows it.
    pub name: String,
    /// Its announced length in bytes.
    pub size: u64,
    /// What the uploader asks of the engine.
    pub parameters: Parameters,
    /// How the engine may read, which is what its [`Description`](super::Description) asks for.
    pub access: Access,
    /// Ends the run early, from any thread.
    pub cancel: Cancel,
}

/// How an engine wants its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Once, in order, while it still arrives.
    #[default]
    Streaming,
    /// By offset too: the [`InputSource`] answers [`read_at`](InputSource::read_at).
    Seekable,
}

impl Access {
    /// `streaming` or `seekable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Seekable => "seekable",
        }
    }
}

/// Engine parameters: text that is known to be one JSON object. Cheap to clone: the jobs of an upload share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters(Arc<str>);

/// Why a text is not valid as [`Parameters`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// It is longer than [`Parameters::MAX_BYTES`].
    #[error("engine parameters have {0} bytes, at most {max} are allowed", max = Parameters::MAX_BYTES)]
    TooLong(usize),
    /// It is not one JSON object.
    #[error("engine parameters are not a JSON object: {0}")]
    NotAnObject(String),
}

impl Parameters {
    /// The longest parameters, in bytes (1 MiB): as many as a sealed header may hold.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Checks `json`; an empty text stands for `{}`.
    ///
    /// # Errors
    ///
    /// [`ParametersError`] says which rule it breaks.
    pub fn parse(json: impl Into<String>) -> Result<Self, ParametersError> {
        let json = json.into();
        if json.is_empty() {
            return Ok(Self::default());
        }
        if json.len() > Self::MAX_BYTES {
            return Err(ParametersError::TooLong(json.len()));
        }
        match check_object(&json) {
            Ok(()) => Ok(Self(json.into())),
            Err(NotAnObject(why)) => Err(ParametersError::NotAnObject(why)),
        }
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Parameters {
    /// `{}`
    fn default() -> Self {
        Self("{}".into())
    }
}

/// A flag that ends a run: looked at on every tick and every host call. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends every run that holds a clone. Takes effect within a tick, unless the run waits for input: then its
    /// [`InputSource`] has to answer [`InputEnd::Cancelled`] too.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a file's bytes come from. Called on the thread that runs the engine; it may block for as long as it takes,
/// and that time counts toward none of the run's limits. Heavy work belongs on another thread: its CPU time would
/// count.
pub trait InputSource: Send + 'static {
    /// Waits for the next bytes: at least 1 and at most `max`, or none at the end of the file.
    /// It is not called again after the end or an error.
    ///
    /// # Errors
    ///
    /// [`InputEnd`] says why there will be no more.
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd>;

    /// Waits for bytes from `offset` on: at most `max`, none at and beyond the end of the file. Leaves
    /// [`read`](Self::read) where it is. Called only for jobs whose [`access`](Job::access) is [`Access::Seekable`].
    ///
    /// # Errors
    ///
    /// [`InputEnd`] says why there are none; a source that cannot do it says [`InputEnd::Failed`].
    fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
        let _ = (offset, max);
        Err(InputEnd::Failed("this input cannot be read by offset".to_owned()))
    }

    /// The SHA-256 of the whole file, where it is known to be that before the file was read.
    fn sha256(&self) -> Option<[u8; 32]> {
        None
    }
}

/// Why an input ended before its file did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputEnd {
    /// The file changed or vanished while it was sent; the reason is told to the engine and to the uploader. The run
    /// ends as [`Outcome::Void`](super::Outcome::Void), whatever the engine says.
    Void(String),
    /// The engine asked for more than it may: it read back and forth too often. The run ends as
    /// [`Outcome::OverHostCalls`](super::Outcome::OverHostCalls).
    TooOften,
    /// The job was cancelled, or its lease has passed to another processor. The run ends as cancelled.
    Cancelled,
    /// This host could not get the bytes; another run may. The run ends at once as
    /// [`Outcome::HostFailed`](super::Outcome::HostFailed).
    Failed(String),
}

/// A whole file in memory, in order.
impl InputSource for Bytes {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        Ok(self.split_to(max.min(self.len())))
    }
}

/// Is told how a run goes, on the thread that runs it: it must not block.
pub trait Observer: Send + 'static {
    /// How far the engine says it is, 1 to 1000, only ever rising; at most ten times a second.
    fn progress(&mut self, per_mille: u16);
}

/// Nobody watches.
impl Observer for () {
    fn progress(&mut self, _per_mille: u16) {}
}

impl<F: FnMut(u16) + Send + 'static> Observer for F {
    fn progress(&mut self, per_mille: u16) {
        self(per_mille);
    }
}
