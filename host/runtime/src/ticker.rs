//! The thread that advances wasmtime's epochs, so that running guests look at their limits now and then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// After this many ticks with nothing running, the thread parks until something does: an idle host wakes up no core.
const IDLE_TICKS: u32 = 50;

/// Owns the thread; dropping it ends and joins the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// The epoch advances at least while one of these lives.
pub(crate) struct Running<'a>(&'a Ticker);

impl Ticker {
    /// Starts the thread. A guest sees a limit at most about one `tick` late.
    pub(crate) fn start(engines: &[Engine], tick: Duration) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let inside = Arc::clone(&shared);
        let engines: Vec<EngineWeak> = engines.iter().map(Engine::weak).collect();
        let handle = thread::Builder::new()
            .name("filemill-epoch".into())
            .spawn(move || inside.tick_until_stopped(&engines, tick))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Makes sure that the epoch advances until the guard is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // With the thread's own pair (store `parked`, then load `running`), sequential consistency leaves no order in
        // which both miss each other.
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn tick_until_stopped(&self, engines: &[EngineWeak], tick: Duration) {
        let mut idle_ticks = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle_ticks = 0;
            } else {
                idle_ticks += 1;
            }
            if idle_ticks < IDLE_TICKS {
                thread::park_timeout(tick);
                // A spurious wake-up makes one tick short, which is harmless: guests look at a clock, they do not
                // count ticks.
                for engine in engines {
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            } else {
                self.parked.store(true, Ordering::SeqCst);
                if self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.parked.store(false, Ordering::SeqCst);
                idle_ticks = 0;
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // It runs nothing that panics, and a drop has nobody to tell.
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[track_caller]
    fn wait_until(what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(30), "{what} did not come");
            thread::yield_now();
        }
    }

    #[test]
    fn an_idle_host_parks_and_every_run_wakes_it() {
        let engine = Engine::default();
        let ticker = Ticker::start(std::slice::from_ref(&engine), Duration::from_micros(50)).expect("a thread");
        for _ in 0..20 {
            wait_until("rest", || ticker.shared.parked.load(Ordering::SeqCst));
            let _running = ticker.running();
            wait_until("a tick", || !ticker.shared.parked.load(Ordering::SeqCst));
        }
    }
}
