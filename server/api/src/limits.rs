//! The bounds the server checks. A body over its bound is refused before it is read.
//!
//! One more is a line here and the check: the OpenAPI document lists them all, by what stands here.

/// A bound, as the OpenAPI document tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: &'static str,
    /// What is allowed.
    pub value: u64,
    /// Of what, in which unit.
    pub what: &'static str,
}

/// Makes the constants, and the list of them all.
macro_rules! limits {
    ($($(#[doc = $what:literal])+ pub const $name:ident: $type:ty = $value:expr;)+) => {
        $($(#[doc = $what])+ pub const $name: $type = $value;)+

        /// All of them.
        pub const ALL: &[Limit] =
            &[$(Limit { name: stringify!($name), value: $name as u64, what: concat!($($what),+) },)+];
    };
}

limits! {
    /// Largest request body, in bytes.
    pub const MAX_BODY_BYTES: usize = 16 << 20;
    /// Largest body of a call that says what leases do, in bytes, and of any other that is not named.
    pub const MAX_MEDIUM_BODY_BYTES: usize = 1 << 20;
    /// Largest body of a call that asks for little: cancelling, leases, their chunks, what is missing, where results go.
    pub const MAX_SMALL_BODY_BYTES: usize = 64 << 10;
    /// Largest body of the call that needs no token: a one-time code, and little else.
    pub const MAX_JOIN_BODY_BYTES: usize = 1 << 10;
    /// How long a one-time code is good, in seconds; and how long its redeemer may ask again what came of it.
    pub const JOIN_CODE_SECONDS: u32 = 600;
    /// One-time codes that are good at the same time.
    pub const MAX_JOIN_CODES: usize = 64;
    /// Uploads opened, advanced or cancelled in one request.
    pub const MAX_UPLOADS_PER_REQUEST: usize = 256;
    /// Chunk URLs wanted for one upload in one request.
    pub const MAX_WANTED_CHUNKS: usize = 64;
    /// Presigned URLs in one answer; an upload whose URLs are beyond that is answered as `unavailable`, for a request of its own.
    pub const MAX_SIGNED_URLS: usize = 4096;
    /// Chunks reported as stored for one upload in one request.
    pub const MAX_STORED_CHUNKS: usize = 4096;
    /// Files in one upload; also its jobs, which are its files times its tasks.
    pub const MAX_FILES: u32 = 65_536;
    /// Chunks in one upload.
    pub const MAX_CHUNKS: u32 = 1 << 20;
    /// Length of a sealed header, in bytes.
    pub const MAX_HEADER_BYTES: u64 = 4 << 20;
    /// Length of a sealed chunk, in bytes: the largest chunk, its verdicts and its frame.
    pub const MAX_CHUNK_BYTES: u64 = (64 << 20) + (4 << 20);
    /// A sealed result up to this many bytes goes inline, a larger one by presigned PUT.
    pub const MAX_INLINE_RESULT_BYTES: usize = 64 << 10;
    /// Length of a sealed result, in bytes.
    pub const MAX_RESULT_BYTES: u64 = 17 << 20;
    /// Jobs completed in one request.
    pub const MAX_COMPLETIONS: usize = 1024;
    /// Jobs leased in one request.
    pub const MAX_LEASED_JOBS: u32 = 1024;
    /// Leases reported or returned in one request.
    pub const MAX_LEASES_PER_REQUEST: usize = 1024;
    /// Releases that a node is asked to describe at once.
    pub const MAX_DESCRIBE: usize = 16;
    /// Length of a release's description document, in bytes.
    pub const MAX_DESCRIPTION_BYTES: usize = 256 << 10;
    /// Engines that one node offers of its own.
    pub const MAX_OFFERED_ENGINES: usize = 64;
    /// Nodes of one pool that are at work at the same time, at all servers together: one server has room for half as many that wait for work.
    pub const MAX_POOL_NODES: usize = 4096;
    /// Engines that all nodes of one pool offer, each counted as often as it is offered.
    pub const MAX_POOL_OFFERS: usize = 16_384;
    /// Components of one pool that are kept; one that nobody has offered for a week is not.
    pub const MAX_POOL_COMPONENTS: usize = 2048;
    /// Length of a component, in bytes.
    pub const MAX_COMPONENT_BYTES: u64 = 32 << 20;
    /// Longest engine parameters in a sealed header, in bytes of JSON.
    pub const MAX_PARAMETERS_BYTES: u32 = 1 << 20;
    /// Longest engine parameters that every processor takes, in bytes of JSON: longer ones are *long*.
    pub const USUAL_PARAMETERS_BYTES: u32 = 64 << 10;
    /// Spans that one upload may be cut into: neighbouring files that lie in one and the same chunk make one for each task, up to 64 of them.
    pub const MAX_UPLOAD_SPANS: usize = 4096;
    /// Jobs in one span: what one 64-bit mask can tell apart.
    pub const MAX_SPAN_JOBS: u32 = 64;
    /// Tasks of one upload.
    pub const MAX_TASKS: usize = 16;
    /// Releases of one task.
    pub const MAX_TASK_RELEASES: usize = 16;
    /// Names in a set of needs or abilities.
    pub const MAX_NAMES: usize = 64;
    /// Length of such a name, in bytes.
    pub const MAX_NAME_BYTES: usize = 64;
    /// Events in one page.
    pub const MAX_EVENTS: u32 = 1000;
    /// Results asked for again, or said to be fetched, in one request.
    pub const MAX_FETCHED: usize = 64;
    /// Results of one member that are kept because they are still to be fetched.
    pub const MAX_UNFETCHED: usize = 4096;
    /// Descriptions that a node names at once as told.
    pub const MAX_TOLD: usize = 16;
    /// How long a long poll may wait, in milliseconds.
    pub const MAX_WAIT_MS: u32 = 30_000;
    /// How long a presigned request is good, in seconds.
    pub const PRESIGNED_SECONDS: u32 = 900;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_listed_with_what_it_bounds() {
        let files = ALL.iter().find(|limit| limit.name == "MAX_FILES").expect("it is listed");
        assert_eq!(
            (files.value, files.what.trim()),
            (u64::from(MAX_FILES), "Files in one upload; also its jobs, which are its files times its tasks.")
        );
        for limit in ALL {
            assert!(limit.value > 0 && limit.what.ends_with('.'), "{limit:?}");
        }
    }
}
