//! What the sealed stream promises, one module for each of its parts.

mod arbitrary;
mod batch;
mod chunk;
mod envelope;
mod format_two;
mod header;
mod layout;
mod pool;
mod released;
mod report;
mod result;
mod support;
mod vectors;
