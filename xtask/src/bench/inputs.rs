//! What is sent in a measurement: made from a seed, so that every run sends the same.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

use crate::random::Sequence;

/// One file of service logs, at least `bytes` long.
pub(super) fn logs(file: &Path, bytes: u64) -> Result<()> {
    const LEVELS: [&str; 4] = ["INFO", "INFO", "DEBUG", "WARN"];
    const PATHS: [&str; 6] = ["/v1/orders", "/v1/orders/items", "/v1/users", "/health", "/v1/search", "/static/app.js"];
    let mut random = Sequence(1);
    let mut out = BufWriter::new(create(file)?);
    let mut written = 0;
    let mut millis = 1_700_000_000_000_u64;
    while written < bytes {
        millis += random.below(40);
        let line = format!(
            "{}.{:03} {} request id={:016x} method=GET path={} status={} bytes={} took_us={} node=web-{}\n",
            millis / 1000,
            millis % 1000,
            LEVELS[random.below(4) as usize],
            random.next(),
            PATHS[random.below(6) as usize],
            [200, 200, 200, 304, 404][random.below(5) as usize],
            random.below(90_000),
            random.below(400_000),
            random.below(24),
        );
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
    }
    out.flush()?;
    Ok(())
}

/// One file, by turns 1 MiB that no compressor shrinks and 1 MiB that any does.
pub(super) fn half_noise(file: &Path, bytes: u64) -> Result<()> {
    let mut random = Sequence(3);
    let mut out = BufWriter::new(create(file)?);
    for word in 0..bytes / 8 {
        let noise = (word >> 17) % 2 == 0;
        out.write_all(&if noise { random.next() } else { word >> 17 }.to_le_bytes())?;
    }
    out.flush()?;
    Ok(())
}

/// `count` files of 4 to 64 KiB of logs, in folders of 250.
pub(super) fn small_files(dir: &Path, count: u64) -> Result<()> {
    let mut random = Sequence(2);
    for number in 0..count {
        let folder = dir.join(format!("{:03}", number / 250));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        let bytes = 4_096 + random.below(60 * 1024) as usize;
        let mut text = String::with_capacity(bytes + 128);
        while text.len() < bytes {
            text += &format!("{number} sample={:x} value={} unit=ms\n", random.next(), random.below(1_000_000));
        }
        text.truncate(bytes);
        fs::write(folder.join(format!("{number:05}.log")), text)?;
    }
    Ok(())
}

/// `count` files of 7 to 480 bytes of text, in folders of 1,000.
pub(super) fn tiny_files(dir: &Path, count: u64) -> Result<()> {
    let mut random = Sequence(4);
    for number in 0..count {
        let folder = dir.join(format!("{:03}", number / 1000));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        let bytes = 7 + random.below(474) as usize;
        let mut text = format!("{number}\n");
        while text.len() < bytes {
            text += &format!("{:x}\n", random.next());
        }
        text.truncate(bytes);
        fs::write(folder.join(format!("{number:06}.txt")), text)?;
    }
    Ok(())
}

fn create(file: &Path) -> Result<File> {
    File::create(file).with_context(|| format!("cannot create `{}`", file.display()))
}
