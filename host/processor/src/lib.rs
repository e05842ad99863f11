//! The processor: pulls sealed files from a server, runs engines over them, and seals the results for their uploaders.
//!
//! [`run`] is the processor itself, [`PoolFolder`] the keys that it shares with others of its pool. What an engine is and how it
//! runs is the business of its backends: `filemill-runtime` has the one for components. The program `filemill-processor` is made
//! of these:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use filemill_processor::{NodeConfig, run};
//! use filemill_runtime::{Runtime, RuntimeConfig};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example(config: NodeConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let slots = NodeConfig::runtime_slots(config.slots);
//! let components = Runtime::new(RuntimeConfig { slots, ..RuntimeConfig::default() })?;
//! let totals = run(config, vec![Arc::new(components)], CancellationToken::new()).await?;
//! println!("{totals}");
//! # Ok(())
//! # }
//! ```
//!
//! A folder is a room: `leases` asks for work, holds, renews and hands back; `input` fetches and opens; `run` runs;
//! `results` seals and hands in; `releases` makes ready and keeps; `plugins` offers what lies in a folder; `pool` has the keys;
//! `join` is a first start, by a one-time code;
//! `net` is what leaves this machine; `telemetry` what can be seen. `node` puts them together.

mod abilities;
mod agreed;
mod budget;
mod clock;
mod config;
mod error;
mod input;
mod join;
mod leases;
mod net;
mod node;
mod plugins;
mod pool;
mod releases;
mod results;
mod run;
mod shutdown;
mod slots;
mod telemetry;
mod waiting;

pub use config::NodeConfig;
pub use error::NodeError;
pub use join::{Join, JoinConfig, JoinError, Joined, ProcessorFolder, join};
pub use net::{Origin, OriginError, Token, TokenError};
pub use node::run;
pub use plugins::{EngineFolderError, check_engines};
pub use pool::{LIFETIME_DAYS, PoolFolder, PoolFolderError, Renewal};
pub use telemetry::Totals;
