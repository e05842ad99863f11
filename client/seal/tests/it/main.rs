//! What the sealed stream promises, one module for each of its parts.

mod arbitrary;
mod chunk;
mod envelope;
mod header;
mod layout;
mod pool;
mod report;
mod result;
mod support;
mod vectors;
