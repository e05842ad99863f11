//! Bounds that are stated several times, by the sealed stream, the API and the runtime: this crate knows all of them, and does not
//! compile where they differ.

use filemill_api::limits;
use filemill_seal as seal;

use filemill_runtime::{JSON_MAX_DEPTH, Parameters};

const _: () = {
    assert!(limits::MAX_PARAMETERS_BYTES as usize == seal::PARAMETERS_MAX_BYTES);
    assert!(limits::USUAL_PARAMETERS_BYTES as usize == seal::PARAMETERS_USUAL_BYTES);
    assert!(Parameters::MAX_BYTES == seal::PARAMETERS_MAX_BYTES);
    assert!(JSON_MAX_DEPTH == seal::JSON_MAX_DEPTH);
    assert!(limits::MAX_HEADER_BYTES == seal::HEADER_MAX_BYTES as u64);
    assert!(limits::MAX_FILES as usize == seal::FILES_MAX);
    assert!(limits::MAX_CHUNKS == seal::CHUNKS_MAX);
    assert!(limits::MAX_TASKS == seal::TASKS_MAX);
    assert!(limits::MAX_TASK_RELEASES == seal::RELEASES_MAX);
    assert!(limits::MAX_SPAN_JOBS as usize <= seal::BATCH_MAX);
    assert!(limits::MAX_DESCRIPTION_BYTES == seal::DESCRIPTION_MAX_BYTES);
    assert!(limits::MAX_RESULT_BYTES >= seal::RESULT_MAX_SEALED_BYTES as u64);
    // The frame, and a verdict of each file that may end in one chunk.
    assert!(limits::MAX_CHUNK_BYTES >= seal::CHUNK_SIZE_MAX as u64 + 42 + 33 * seal::FILES_MAX as u64);
};
