//! `archive`: lists zip, tar and gzip files (and tars in a gzip) without unpacking them to anywhere, and warns of what would
//! harm who does.
//!
//! The engine speaks contract 2: each warning is a finding, handed out while the archive is still being read. The report has
//! the listing, sums, and warnings by kind.
//!
//! | finding | severity | when |
//! | --- | --- | --- |
//! | `path-traversal`, `absolute-path` | high | a path leaves the folder that it is unpacked into ("zip slip") |
//! | `link-escape`, `through-link` | high | a link leaves the archive; an entry is written through a link of the archive |
//! | `overlapping-entries` | high | entries of a zip share their bytes, as in D. Fifield's *A better zip bomb* (WOOT 2019) |
//! | `bomb` | high, critical | all is over 100 times as large unpacked, and over 1 MiB, over 100 MiB |
//! | `high-ratio` | medium | one entry is |
//! | `size-mismatch`, `corrupt` | medium | an entry has another length than announced; breaks off; has the wrong CRC |
//! | `duplicate-name` | medium | two entries are one file, so that programs unpack different ones |
//! | `deceptive-name`, `special-file`, `set-user-id` | medium | control characters; devices and pipes; setuid or setgid |
//! | `nested-too-deep` | medium | an archive in four others, which is not looked into |
//! | `encrypted` | low | an entry is encrypted |
//! | `nested-archive` | info | an entry is an archive; it is looked into, if it has at most 8 MiB |
//!
//! - **Reading.** Nothing here waits inside of a parser. A zip's parser (`rc-zip`) says which bytes it wants, and is given them
//!   with `read-at`; gzip and tar are pushed through as the stream brings them. So no thread is blocked, no window is
//!   fetched ahead, and memory does not depend on the file: of a zip its directory is held (at most 12 MiB of it are read), of
//!   nested archives 32 MiB wait at once.
//! - **Unpacking.** Contents are unpacked into nothing, to check lengths and CRCs and to find archives in them, until the
//!   parameter `max_unpacked_bytes` (default: 512 MiB) is used up; the rest is counted as `unread_entries`. Entries that are
//!   encrypted, overlap, or are packed otherwise than by deflate are listed only. The names in a tar show only on the way
//!   through it, so that those behind the budget are not listed.
//! - **Bounds.** 1,000 entries (and 256 KiB of their text) are listed, 20 findings of a kind and 100 in all are told; everything
//!   is counted.
//!
//! `contents` collects and warns, whatever the format; `zip`, `gzip` and `tar` read.

mod capture;
mod contents;
mod date;
mod format;
mod gzip;
mod path;
mod report;
mod rows;
mod source;
mod tar;
mod zip;

use filemill_engine::v2::{Engine, Input, Output};
use filemill_engine::{Description, Failure, File, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::contents::Contents;
use crate::format::{Format, HEAD_BYTES};
use crate::gzip::Inside;
use crate::report::ArchiveReport;
use crate::source::Source;
use crate::tar::Tar;

/// The engine.
struct Archive;

/// What the uploader may set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// How many bytes are unpacked at most, in all, to look at contents.
    max_unpacked_bytes: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { max_unpacked_bytes: 512 * 1024 * 1024 }
    }
}

impl Engine for Archive {
    type Parameters = Parameters;

    fn describe() -> Description {
        filemill_engine::description!()
            .media_types([
                "application/zip",
                "application/x-tar",
                "application/gzip",
                "application/java-archive",
                "application/epub+zip",
            ])
            // Formats that are zip, tar or gzip beneath.
            .extensions([
                "zip", "zipx", "jar", "war", "ear", "apk", "aab", "aar", "xpi", "ipa", "whl", "nupkg", "vsix", "epub",
                "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm", "pptx", "pptm", "potx", "ppsx", "odt",
                "ods", "odp", "odg", "ott", "ots", "otp", "vsdx", "3mf", "kmz", "cbz", "cbt", "tar", "tgz", "taz",
                "gz", "tar.gz", "ova", "gem", "crate",
            ])
            .seekable()
            .parameters::<Parameters>()
            .report::<ArchiveReport>()
    }

    async fn analyze(
        file: &File,
        input: &mut Input,
        output: &Output,
        parameters: Parameters,
    ) -> Result<Report, Failure> {
        let size = input.size();
        let mut contents = Contents::new(output, parameters.max_unpacked_bytes);
        let format = look_into(&mut Source::file(input), &file.name, &mut contents).await?;
        while let Some(nested) = contents.next_nested() {
            let name = contents.within.last().cloned().unwrap_or_default();
            let mut source = Source::Memory(nested.bytes, 0);
            if let Err(failure) = look_into(&mut source, &name, &mut contents).await {
                let what = format!("cannot be read: {}", failure.sentence());
                contents.warn("corrupt", filemill_engine::v2::Severity::Medium, "", &what);
            }
        }
        let report = ArchiveReport::of(format, size, contents);
        Report::new(report.summary(), &report)
    }
}

filemill_engine::v2::export!(Archive);

/// Looks into one archive, called `name`, and says what it is.
async fn look_into(source: &mut Source<'_>, name: &str, contents: &mut Contents<'_>) -> Result<&'static str, Failure> {
    let head = source.head(HEAD_BYTES).await?;
    match format::of(&head) {
        Some(Format::Gzip) => {
            let name = name.strip_suffix(".gz").unwrap_or(name);
            match gzip::walk(source, name, contents).await? {
                Inside::Tar => Ok("tar.gz"),
                Inside::File => Ok("gzip"),
            }
        }
        Some(Format::Tar) => {
            let mut tar = Tar::new();
            let mut piece = Vec::new();
            while source.next(&mut piece).await? {
                tar.take(&piece, contents);
            }
            tar.finish(contents);
            Ok("tar")
        }
        found => match zip::directory(source).await? {
            Some(archive) => {
                zip::walk(&archive, source, contents).await?;
                Ok("zip")
            }
            None if found == Some(Format::Zip) => Err(Failure::malformed("the zip has no directory: it is cut off")),
            None => Err(Failure::unsupported("this is no zip, tar or gzip")),
        },
    }
}

#[cfg(test)]
mod tests;
