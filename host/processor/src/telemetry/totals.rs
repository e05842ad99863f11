//! What a node has done since it started. Nobody can ask for it: it is logged, and pushed where there is a collector.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use filemill_runtime::Resources;

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// For a highest value rather than a sum.
    fn raise(&self, to: u64) {
        self.0.fetch_max(to, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! totals {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of a running node.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
        }

        /// What a node had done when it stopped.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Totals {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            pub(crate) fn read(&self) -> Totals {
                Totals { $($name: self.$name.get(),)+ }
            }
        }

        impl Totals {
            /// Of each: its name, what it is, and how to get it.
            pub(crate) const EACH: &[(&str, &str, fn(&Self) -> u64)] =
                &[$((stringify!($name), concat!($($doc),+), |totals| totals.$name),)+];
        }

        impl fmt::Display for Totals {
            /// `runs_leased=3 jobs_leased=100 …`
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut space = "";
                $(
                    write!(f, concat!("{}", stringify!($name), "={}"), space, self.$name)?;
                    space = " ";
                )+
                let _ = space;
                Ok(())
            }
        }
    };
}

totals! {
    /// Runs that were leased.
    runs_leased,
    /// Jobs in them.
    jobs_leased,
    /// Jobs whose completion the server recorded.
    jobs_completed,
    /// Completed jobs that did not stand up to a check, of these.
    jobs_refused,
    /// Leases that passed to another processor.
    leases_lost,
    /// Leases that were handed back.
    leases_returned,
    /// Chunks that were fetched.
    chunks_fetched,
    /// Bytes of sealed chunks that were fetched.
    sealed_bytes,
    /// Bytes of files that were opened from them.
    plain_bytes,
    /// Chunks and headers that were not there, or not what was stored.
    objects_missing,
    /// Headers that were opened.
    headers_opened,
    /// Engine runs that ended, well or not.
    runs_ended,
    /// Bytes that engines read.
    engine_bytes_read,
    /// CPU time of engines, in microseconds.
    engine_cpu_us,
    /// Calls of engines to the host.
    engine_host_calls,
    /// The most memory that one run had, in bytes.
    engine_peak_memory_bytes,
}

impl Counters {
    /// An engine ran.
    pub(crate) fn ran(&self, used: &Resources) {
        self.runs_ended.add(1);
        self.engine_bytes_read.add(used.bytes_read);
        self.engine_cpu_us.add(u64::try_from(used.cpu_time.as_micros()).unwrap_or(u64::MAX));
        self.engine_host_calls.add(used.host_calls);
        self.engine_peak_memory_bytes.raise(used.peak_memory_bytes);
    }
}
