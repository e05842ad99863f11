//! The processor: pulls sealed files from a server, runs engines over them, and seals the results for their uploaders.
//!
//! [`node`] is the processor itself, [`pool`] the keys that it shares with others. What an engine is and how it runs is the
//! business of `filemill-runtime`. The program `filemill-processor` is made of these:
//!
//! ```no_run
//! use filemill_processor::pool::PoolFolder;
//!
//! let folder = PoolFolder::open("pool".as_ref())?;
//! println!("{}", folder.enrolment().to_json());
//! # Ok::<(), filemill_processor::pool::PoolFolderError>(())
//! ```

pub mod node;
pub mod pool;
