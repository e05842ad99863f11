//! How a client is to work.

use filemill_seal::CHUNK_SIZE_DEFAULT;

/// How a client is to work.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Memory for buffers, in bytes; at least four chunks make sense.
    pub budget_bytes: usize,
    /// In bytes: a power of two from 64 KiB to 64 MiB.
    pub chunk_size: u32,
    /// For how long a processor may run what is sent, in seconds.
    pub lifetime_s: u64,
    /// Events of an activity that may wait to be read: while there are more, it waits.
    pub events_waiting_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            budget_bytes: 96 << 20,
            chunk_size: CHUNK_SIZE_DEFAULT,
            lifetime_s: 7 * 24 * 3600,
            events_waiting_max: 1024,
        }
    }
}
