//! How wasmtime is set up: what a component may use of the instruction set, of the pool and of the stack.

use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{Context, SHA256};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// The stack a guest may use, in bytes. It is part of the calling thread's stack.
const GUEST_STACK_BYTES: usize = 1 << 20;

/// The stack to give a thread that calls [`Release::run`](crate::Release::run), in bytes: the guest's and the host's
/// share. (The default of `std::thread`, 2 MiB, is enough unless an [`InputSource`](crate::InputSource) needs much.)
pub const THREAD_STACK_BYTES: usize = 4 * GUEST_STACK_BYTES;

/// Address space of each linear memory. Less than 4 GiB would need explicit bounds checks: measured at twice the time
/// in a byte loop. What a guest may really use is `max_memory_size` and the limiter.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// Parts of one component. A Rust or C engine has 1 to 4 core instances, a Python one more than 20.
const CORE_INSTANCES: u32 = 64;
const MEMORIES: u32 = 8;
const TABLES: u32 = 32;
/// Fibers of one asynchronous component: its tasks that are suspended within a call, and the one that runs. An instance of a
/// component is entered by nobody else while one of its tasks is suspended so, and each has a core instance at least; with
/// fewer of them, one guest of many parts would take those of other runs.
const FIBERS: u32 = CORE_INSTANCES + 1;
/// Elements of one table. SpiderMonkey and CPython have about 10,000 functions in theirs.
const TABLE_ELEMENTS: usize = 100_000;

/// Which of wasmtime's two ways to call a guest a contract needs. Each is an engine of its own: what a contract has no use
/// for is off for its components, and need not be defended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A call returns when the guest does: contract 1.
    Sync,
    /// Component-model async: contract 2.
    Async,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Sync, Self::Async];

    /// Its name on the compiler's command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text)
    }
}

/// One engine for each lane.
pub(crate) struct Lanes([Engine; Lane::ALL.len()]);

impl Lanes {
    /// Engines that run up to `slots` components at once each.
    pub(crate) fn new(slots: u32, memory_bytes: usize) -> wasmtime::Result<Self> {
        let [sync, r#async] = Lane::ALL.map(|lane| new(lane, slots, memory_bytes));
        Ok(Self([sync?, r#async?]))
    }

    pub(crate) fn engine(&self, lane: Lane) -> &Engine {
        &self.0[lane as usize]
    }

    pub(crate) fn engines(&self) -> &[Engine] {
        &self.0
    }
}

/// An engine that runs up to `slots` components at once, each with linear memories of up to `memory_bytes`.
fn new(lane: Lane, slots: u32, memory_bytes: usize) -> wasmtime::Result<Engine> {
    Engine::new(config(lane).allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, memory_bytes))))
}

/// An engine that compiles for the one of [`new`], and reserves nothing to run anything.
pub(crate) fn compiler(lane: Lane) -> wasmtime::Result<Engine> {
    Engine::new(&config(lane))
}

/// All that decides what code looks like.
fn config(lane: Lane) -> Config {
    let is_async = lane == Lane::Async;
    let mut config = Config::new();
    config
        .memory_reservation(MEMORY_RESERVATION)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        // The stack of a guest's fiber: the guest's share, and as much for the host functions it calls.
        .async_stack_size(2 * GUEST_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        // A trap names functions, for which neither is needed: half of what would be read from the cache.
        .generate_address_map(false)
        .native_unwind_info(false)
        // One file gives one report on every machine.
        .relaxed_simd_deterministic(true)
        .wasm_component_model_async(is_async)
        .concurrency_support(is_async)
        .wasm_memory64(false);
    config
}

fn pool(slots: u32, memory_bytes: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots.saturating_mul(FIBERS))
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory_bytes.next_multiple_of(1 << 16))
        // Resetting the first pages by memset is cheaper than unmapping them and faulting them in again, up to a point:
        // the example engine takes 64, 41, 33 µs for 64 KiB with 128, 256, 512 KiB here (1 MiB gains no more), and 23
        // to 25 µs for 4 KiB with the latter two. The `PAGEMAP_SCAN` way of doing it would save a few µs more, but
        // wasmtime still calls it experimental, and this reset is what keeps one organisation's bytes from the next
        // one's run.
        .linear_memory_keep_resident(512 << 10)
        .table_keep_resident(16 << 10)
        .max_unused_warm_slots(slots);
    pool
}

/// SHA-256 over all that decides whether precompiled code fits this engine: wasmtime's version, its settings, the CPU.
pub(crate) fn compatibility(engine: &Engine) -> [u8; 32] {
    struct Sha256(Context);

    impl Hasher for Sha256 {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            unreachable!("nobody asks for 64 of the 256 bits")
        }
    }

    let mut hasher = Sha256(Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut hash = [0; 32];
    hash.copy_from_slice(hasher.0.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compiler_makes_fits_the_engine_that_runs_it() {
        for lane in Lane::ALL {
            let runs = new(lane, 1, 1 << 20).expect("an engine");
            assert_eq!(compatibility(&compiler(lane).expect("an engine")), compatibility(&runs), "{lane:?}");
        }
    }
}
