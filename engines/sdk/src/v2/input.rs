//! The file's bytes as a stream.

use wit_bindgen::{StreamReader, StreamResult};

use crate::bindings::v2::filemill::engine::host;
use crate::input::{Memory, Progress, Source as _};
use crate::{HashAlgorithm, InputError};

/// The file's bytes: in order with [`next`](Input::next) or [`read`](Input::read), and by offset with
/// [`read_at`](Input::read_at) where the engine's description says [`seekable`](crate::Description::seekable). It tells the
/// host how far it is by itself.
pub struct Input {
    from: Origin,
    size: u64,
    position: u64,
    progress: Option<Progress>,
}

/// Where the bytes come from.
enum Origin {
    Host {
        /// Nothing, once it has ended or was closed.
        bytes: Option<StreamReader<u8>>,
        input: host::Input,
    },
    Memory(Memory),
}

impl Input {
    /// Input over bytes in memory, as an engine's tests need it: it does everything that a host's does.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let memory = Memory::new(bytes.into());
        Self::new(memory.size(), Origin::Memory(memory))
    }

    pub(super) fn from_host(bytes: StreamReader<u8>, input: host::Input, size: u64) -> Self {
        Self::new(size, Origin::Host { bytes: Some(bytes), input })
    }

    fn new(size: u64, from: Origin) -> Self {
        Self { from, size, position: 0, progress: Some(Progress::of(size)) }
    }

    /// Leaves it to the engine to tell its [`progress`](crate::progress()): for one whose work is not in its reading.
    pub fn without_progress(&mut self) {
        self.progress = None;
    }

    /// The next bytes, at least 1 and at most `max`; an empty piece is the end of the file.
    ///
    /// # Errors
    ///
    /// When the bytes end before the file does, or the job was cancelled.
    pub async fn next(&mut self, max: usize) -> Result<Vec<u8>, InputError> {
        let mut piece = Vec::with_capacity(max.max(1));
        self.read(&mut piece).await?;
        Ok(piece)
    }

    /// Replaces what is in `buffer` by the next bytes, at most as many as it has capacity for (at least one), and returns
    /// how many; 0 is the end of the file. For who keeps one buffer.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, InputError> {
        if let Some(progress) = &mut self.progress {
            progress.reached(self.position);
        }
        buffer.clear();
        buffer.reserve(1);
        match &mut self.from {
            Origin::Memory(memory) => *buffer = memory.read(buffer.capacity() as u64)?,
            Origin::Host { bytes, input } => {
                while let (true, Some(stream)) = (buffer.is_empty(), bytes.as_mut()) {
                    let (result, filled) = stream.read(std::mem::take(buffer)).await;
                    *buffer = filled;
                    if !matches!(result, StreamResult::Complete(_)) {
                        *bytes = None;
                        input.ended().await?;
                    }
                }
            }
        }
        self.position = self.position.saturating_add(buffer.len() as u64);
        Ok(buffer.len())
    }

    /// Ends reading in order before the end of the file: the host need not send the rest. What was read is sound then, as far
    /// as it goes.
    pub fn close(&mut self) {
        if let Origin::Host { bytes, .. } = &mut self.from {
            *bytes = None;
        }
    }

    /// Bytes from `offset` on, at most `max`, and maybe fewer without that being the end; none at and beyond the end of the
    /// file. For a seekable engine only: the host ends the run of another.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub async fn read_at(&mut self, offset: u64, max: usize) -> Result<Vec<u8>, InputError> {
        let max = max.max(1) as u64;
        match &mut self.from {
            Origin::Memory(memory) => memory.read_at(offset, max),
            Origin::Host { input, .. } => Ok(input.read_at(offset, max).await?),
        }
    }

    /// The file's length in bytes, as announced.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes were read in order.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Asks the host to hash what reading in order passes, for [`digest`](Input::digest): natively, several times faster than
    /// an engine could. To be called before anything is read.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub fn hash(&mut self, algorithm: HashAlgorithm) -> Result<(), InputError> {
        match &mut self.from {
            Origin::Memory(memory) => memory.hash(algorithm),
            Origin::Host { input, .. } => Ok(input.hash(algorithm.into())?),
        }
    }

    /// The hash of the whole file: after [`hash`](Input::hash) when everything was read, or before anything is read, when the
    /// host reads the file itself and nothing is left to read. A seekable input gives it at any time.
    ///
    /// # Errors
    ///
    /// As [`next`](Input::next).
    pub async fn digest(&mut self, algorithm: HashAlgorithm) -> Result<[u8; 32], InputError> {
        let input = match &mut self.from {
            Origin::Memory(memory) => return memory.digest(algorithm),
            Origin::Host { input, .. } => input,
        };
        let digest = input.digest(algorithm.into()).await?;
        digest.try_into().map_err(|_| InputError::Other("the host's digest has not 32 bytes".into()))
    }
}

impl From<host::InputError> for InputError {
    fn from(error: host::InputError) -> Self {
        match error {
            host::InputError::Void(why) => Self::Void(why),
            host::InputError::Cancelled => Self::Cancelled,
            host::InputError::Other(why) => Self::Other(why),
        }
    }
}

impl From<HashAlgorithm> for host::HashAlgorithm {
    fn from(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256,
            HashAlgorithm::Blake3 => Self::Blake3,
        }
    }
}
