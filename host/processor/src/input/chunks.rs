//! Opened chunks, shared by the runs that need them: each is fetched and opened once, and kept while the budget allows.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use filemill_seal::{Digest, OpenedChunk, Verdict};
use tokio::sync::OnceCell;

use crate::budget::{Budget, Held};

/// Names a chunk on this node: by the digest of the header that it was opened under, and its sequence number. Not by its
/// upload: whoever brings another header for the same upload has not shown that its key opens the chunk.
pub(crate) type ChunkName = (Digest, u32);

/// All opened chunks.
pub(crate) struct ChunkStore {
    budget: Budget,
    chunks: Mutex<Chunks>,
}

#[derive(Default)]
struct Chunks {
    by_name: HashMap<ChunkName, Shelf>,
    /// Chunks that nobody uses, by when they became idle.
    idle: BTreeMap<u64, ChunkName>,
    clock: u64,
}

/// One chunk's place.
struct Shelf {
    cell: Arc<OnceCell<Loaded>>,
    users: usize,
    /// Its key in `idle`, while nobody uses it.
    idle_since: Option<u64>,
}

/// An opened chunk and the part of the budget that it holds.
pub(crate) struct Loaded {
    chunk: OpenedChunk,
    /// Given back when the chunk is dropped.
    _held: Held,
}

/// A chunk in use. It stays in memory until the last clone and the last slice of its data are dropped.
#[derive(Clone)]
pub(crate) struct Chunk(Arc<InUse>);

struct InUse {
    store: Arc<ChunkStore>,
    name: ChunkName,
    cell: Arc<OnceCell<Loaded>>,
    keep: bool,
}

impl ChunkStore {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self { budget: Budget::new(budget_bytes), chunks: Mutex::default() }
    }

    /// The whole budget, in bytes.
    pub(crate) fn total_bytes(&self) -> usize {
        self.budget.total_bytes()
    }

    /// Takes a part of the budget, for which idle chunks are given up if need be. Cancel safe.
    pub(crate) async fn reserve(&self, bytes: usize) -> Held {
        self.budget.take(bytes, || self.drop_oldest()).await
    }

    /// The chunk, made by `load` unless it is here or on its way. `keep`: another run may need it, so that it stays while
    /// nobody waits for memory.
    ///
    /// When a caller that loads is dropped or fails, the next one that waits for the same chunk loads it by its own
    /// `load`. Cancel safe.
    ///
    /// # Errors
    ///
    /// What `load` says.
    pub(crate) async fn get<E, L: Future<Output = Result<Loaded, E>>>(
        self: &Arc<Self>,
        name: ChunkName,
        keep: bool,
        load: impl FnOnce() -> L,
    ) -> Result<Chunk, E> {
        let chunk = self.enter(name, keep);
        chunk.0.cell.get_or_try_init(load).await?;
        Ok(chunk)
    }

    fn enter(self: &Arc<Self>, name: ChunkName, keep: bool) -> Chunk {
        let mut guard = self.lock();
        let chunks = &mut *guard;
        let shelf = chunks.by_name.entry(name).or_insert_with(Shelf::new);
        shelf.users += 1;
        if let Some(since) = shelf.idle_since.take() {
            chunks.idle.remove(&since);
        }
        let cell = Arc::clone(&shelf.cell);
        drop(guard);
        Chunk(Arc::new(InUse { store: Arc::clone(self), name, cell, keep }))
    }

    fn leave(&self, name: ChunkName, keep: bool) {
        let mut guard = self.lock();
        let chunks = &mut *guard;
        let Some(shelf) = chunks.by_name.get_mut(&name) else {
            return;
        };
        shelf.users -= 1;
        if shelf.users > 0 {
            return;
        }
        if keep && shelf.cell.initialized() && !self.budget.is_short() {
            chunks.clock += 1;
            shelf.idle_since = Some(chunks.clock);
            chunks.idle.insert(chunks.clock, name);
        } else {
            let gone = chunks.by_name.remove(&name);
            drop(guard);
            // Unmapping some MiB takes a while; not under the lock.
            drop(gone);
        }
    }

    /// Gives up the chunk that has been idle for longest; says whether there was one.
    fn drop_oldest(&self) -> bool {
        let mut chunks = self.lock();
        let Some((_, name)) = chunks.idle.pop_first() else {
            return false;
        };
        let gone = chunks.by_name.remove(&name);
        drop(chunks);
        drop(gone);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Chunks> {
        // Nothing that can panic is done under the lock.
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    pub(crate) fn new(chunk: OpenedChunk, held: Held) -> Self {
        Self { chunk, _held: held }
    }
}

impl Shelf {
    fn new() -> Self {
        Self { cell: Arc::default(), users: 0, idle_since: None }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // This use's own hold goes first, so that a chunk that is given up is freed by whoever removes it.
        self.cell = Arc::default();
        self.store.leave(self.name, self.keep);
    }
}

impl Chunk {
    /// The chunk's data, without a copy. The chunk stays in memory for as long as a slice of it.
    pub(crate) fn data(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    /// The verdicts of the files that end in it.
    pub(crate) fn verdicts(&self) -> &[Verdict] {
        self.opened().verdicts()
    }

    fn opened(&self) -> &OpenedChunk {
        &self.0.cell.get().expect("a chunk is handed out only once it is loaded").chunk
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.opened().data()
    }
}
