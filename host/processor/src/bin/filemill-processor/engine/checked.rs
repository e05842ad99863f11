//! An engine that was made ready and asked what it is.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use filemill_runtime::{Description, Limits, Release, Runtime, RuntimeConfig, imports};

use crate::limits::LimitsFile;
use crate::sandbox::{cache, compiler};

/// An engine that was looked at.
pub(super) struct Checked {
    pub(super) release: Release,
    pub(super) description: Description,
    pub(super) imports: Vec<String>,
    pub(super) bytes: usize,
    pub(super) install: Duration,
}

/// Makes an engine ready, and asks it what it is.
///
/// # Errors
///
/// When it cannot be read or compiled, or does not say what it is.
pub(super) fn check(component: &Path, cache_dir: Option<&Path>) -> anyhow::Result<Checked> {
    let (cache, compiler) = (cache_dir.map(cache), compiler(&LimitsFile::default()));
    let config = RuntimeConfig { slots: 1, cache, compiler, ..RuntimeConfig::default() };
    let component_bytes = config.component_bytes;
    let runtime = Runtime::new(config)?;
    let bytes =
        read_up_to(component, component_bytes + 1).with_context(|| format!("cannot read `{}`", component.display()))?;
    let begun = Instant::now();
    let release = runtime.install(&bytes)?;
    let install = begun.elapsed();
    let description = release.describe(&Limits::default())?;
    Ok(Checked { description, imports: imports(&bytes)?, bytes: bytes.len(), install, release })
}

/// The first bytes of a file: one more than may be is enough to refuse it.
fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().lock().take(most as u64).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
