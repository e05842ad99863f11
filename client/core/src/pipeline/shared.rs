//! What uploads share.

use std::sync::{Arc, Mutex};

use filemill_api::{AdvanceUpload, AdvancedUpload, OpenUpload, OpenedUpload};
use filemill_seal::Compressor;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::api::{Api, Combiner, Storage};
use crate::budget::Budget;
use crate::journal::Journal;
use crate::progress::Progress;
use crate::teller::Teller;

/// Compression level until it adapts: 4.1 times smaller service logs at 280 MB/s on one core.
pub(super) const LEVEL: i32 = 3;
/// Objects that are stored at the same time.
const PUTS_AT_ONCE: usize = 8;
/// Files that are read at the same time: enough that one waits for the disk while another is copied.
const READS_AT_ONCE: usize = 2;

/// What all uploads of a program share, whatever activity they belong to.
pub(crate) struct Machine {
    pub(super) budget: Arc<Budget>,
    /// One permit a core.
    pub(super) cores: Arc<Semaphore>,
    pub(super) reads: Arc<Semaphore>,
    pub(super) puts: Arc<Semaphore>,
    /// Each keeps its tables from chunk to chunk.
    pub(super) compressors: Mutex<Vec<Compressor>>,
}

impl Machine {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            budget: Budget::new(budget_bytes),
            cores: Arc::new(Semaphore::new(cores)),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            puts: Arc::new(Semaphore::new(PUTS_AT_ONCE)),
            compressors: Mutex::new(Vec::new()),
        }
    }
}

/// What all uploads of an activity share.
pub(crate) struct Pipeline {
    pub(crate) api: Arc<Api>,
    pub(crate) storage: Storage,
    pub(crate) journal: Arc<Journal>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) events: Teller,
    pub(super) machine: Arc<Machine>,
    pub(super) opens: Combiner<OpenUpload, OpenedUpload>,
    pub(super) advances: Combiner<AdvanceUpload, AdvancedUpload>,
}

impl Pipeline {
    /// What combines requests runs among `tasks`, until this is dropped.
    pub(crate) fn new(
        tasks: &TaskTracker,
        machine: Arc<Machine>,
        api: Arc<Api>,
        storage: Storage,
        journal: Arc<Journal>,
        progress: Arc<Progress>,
        events: Teller,
    ) -> Self {
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
            events,
            machine,
        }
    }
}
