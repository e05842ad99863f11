//! The Filemill server: the only place with the shared database and the S3 credentials.
//!
//! A request goes through three layers: a *route* authenticates and presigns, the *rules* decide, the *store* is the
//! database. Bytes never pass through here: clients and processors move them by presigned URLs. The embedded server
//! brings a database file and a storage endpoint of its own, and takes the same path.
//!
//! ```no_run
//! # async fn example() -> Result<(), filemill_server::StartError> {
//! use filemill_server::{Config, Server};
//!
//! let server = Server::start(Config::embedded("/var/lib/filemill")).await?;
//! println!("{}", server.addresses().listening);
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod admin;
mod bounds;
mod callers;
mod component;
mod config;
mod descriptors;
mod embedded;
mod listen;
mod plan;
mod routes;
pub mod rules;
mod server;
mod shown;
pub mod storage;
pub mod store;
mod sweep;

pub use admin::{Admin, AdminError, Published};
pub use bounds::{Bounds, Share};
pub use component::{ComponentError, MAX_COMPONENT_BYTES, contract_of};
pub use config::{Config, Embedded, Place, SweepConfig};
pub use descriptors::raise_descriptor_limit;
pub use embedded::Addresses;
pub use filemill_api::limits::MAX_DESCRIPTION_BYTES;
pub use plan::Plan;
pub use routes::document as openapi_document;
pub use server::{Server, StartError};
