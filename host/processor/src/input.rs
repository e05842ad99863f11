//! A file's bytes on their way in: the upload's header, its chunks' URLs, and the chunks, fetched and opened once within a budget.

mod admission;
mod chunks;
mod fetch;
mod header;
mod openers;
mod streaming;
mod upload;
mod uploads;
mod urls;

pub(crate) use admission::Admission;
pub(crate) use chunks::Chunk;
pub(crate) use fetch::{Admitted, Fetcher, Fetching};
pub(crate) use header::NotAdmitted;
pub(crate) use openers::Openers;
pub(crate) use streaming::Streaming;
pub(crate) use upload::{Allowed, Upload, UploadJob};
pub(crate) use urls::{SpanUrls, UrlSource, Urls};
