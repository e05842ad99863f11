//! A local file as an engine's input.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource};

/// A file of a length that was read once.
pub(super) struct LocalFile {
    file: File,
    size: u64,
    left: u64,
}

impl LocalFile {
    /// Opens a plain file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is something else.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        let about = file.metadata().with_context(|| format!("cannot look at `{}`", path.display()))?;
        if !about.is_file() {
            bail!("`{}` is not a plain file", path.display());
        }
        Ok(Self { file, size: about.len(), left: about.len() })
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl InputSource for LocalFile {
    fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
        // Fits: it is at most `max`.
        let most = self.left.min(max as u64) as usize;
        let mut bytes = Vec::with_capacity(most);
        let read = (&mut self.file).take(most as u64).read_to_end(&mut bytes).map_err(failed)?;
        if read < most {
            return Err(shrank());
        }
        self.left -= read as u64;
        Ok(bytes.into())
    }

    fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
        let most = self.size.saturating_sub(offset).min(max as u64) as usize;
        let mut bytes = vec![0; most];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes.into()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(shrank()),
            Err(error) => Err(failed(error)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn failed(error: std::io::Error) -> InputEnd {
    InputEnd::Failed(format!("the file cannot be read: {error}"))
}

fn shrank() -> InputEnd {
    InputEnd::Void("it shrank while it was read".to_owned())
}
