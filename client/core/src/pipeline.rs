//! The way of an upload: read, compress, seal, ask for URLs, store. Everything large is taken from one byte budget.

mod plan;
mod prepare;
mod seal;
mod transfer;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filemill_api::{AdvanceUpload, AdvancedUpload, OpenUpload, OpenedUpload};
use filemill_seal::{Compressor, Recipient};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use crate::api::{Api, Combiner, Storage};
use crate::budget::Budget;
use crate::engines::{Engines, Wanted};
use crate::journal::Journal;
use crate::notice::{Notice, Progress};
use crate::source::now_s;
pub(crate) use prepare::{begin, resume};
pub(crate) use transfer::{Judged, Transfer, TransferEnd, Transferred, Voided};

/// Compression level until it adapts: 4.1 times smaller service logs at 280 MB/s on one core.
const LEVEL: i32 = 3;
/// A recipe is made anew before the first upload after this time.
const RECIPE_AGE_MAX: Duration = Duration::from_secs(60);
/// Objects that are stored at the same time.
const PUTS_AT_ONCE: usize = 8;
/// Files that are read at the same time: enough that one waits for the disk while another is copied.
const READS_AT_ONCE: usize = 2;

/// What all uploads of a program share.
pub(crate) struct Pipeline {
    pub(crate) api: Arc<Api>,
    pub(crate) storage: Storage,
    pub(crate) journal: Arc<Journal>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) notices: mpsc::Sender<Notice>,
    budget: Arc<Budget>,
    opens: Combiner<OpenUpload, OpenedUpload>,
    advances: Combiner<AdvanceUpload, AdvancedUpload>,
    /// One permit a core.
    cores: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    puts: Arc<Semaphore>,
    /// Each keeps its tables from chunk to chunk.
    compressors: Mutex<Vec<Compressor>>,
}

/// What new uploads are made for.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) account: String,
    pub(crate) session: String,
    pub(crate) wanted: Wanted,
    pub(crate) engines: Arc<Engines>,
    pub(crate) pool: String,
    pub(crate) pool_recipient: Recipient,
    /// When the pool's word for its recipient ends, in seconds since 1970-01-01 UTC.
    pub(crate) not_after: u64,
    pub(crate) made_at: Instant,
    /// Something that it names is gone.
    pub(crate) outdated: bool,
    pub(crate) uploader: Recipient,
    /// In bytes.
    pub(crate) chunk_size: u32,
    /// For how long a processor may run it, in seconds.
    pub(crate) lifetime_s: u64,
}

impl Recipe {
    /// Whether to make another: the pool changes its recipient, and the organisation its releases.
    pub(crate) fn is_stale(&self) -> bool {
        self.outdated || self.made_at.elapsed() > RECIPE_AGE_MAX || now_s() > self.not_after
    }
}

impl Pipeline {
    pub(crate) fn new(
        tasks: &TaskTracker,
        api: Arc<Api>,
        storage: Storage,
        journal: Arc<Journal>,
        progress: Arc<Progress>,
        notices: mpsc::Sender<Notice>,
        budget_bytes: usize,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (opening, advancing) = (Arc::clone(&api), Arc::clone(&api));
        Self {
            opens: Combiner::start(tasks, move |uploads| {
                let api = Arc::clone(&opening);
                async move { api.open(uploads).await }
            }),
            advances: Combiner::start(tasks, move |uploads| {
                let api = Arc::clone(&advancing);
                async move { api.advance(uploads).await }
            }),
            api,
            storage,
            journal,
            progress,
            notices,
            budget: Budget::new(budget_bytes),
            cores: Arc::new(Semaphore::new(cores)),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            puts: Arc::new(Semaphore::new(PUTS_AT_ONCE)),
            compressors: Mutex::new(Vec::new()),
        }
    }
}
