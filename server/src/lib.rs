//! The Filemill server: the only place with the shared database and the S3 credentials.
//!
//! A request goes through three layers: a *route* (`http`) authenticates and presigns, a *domain* decides, the *store* is the
//! database. There are four domains, each of which knows those before it: [`accounts`], [`catalog`], [`queue`], [`maintenance`]. Bytes never pass through here: clients and processors move them by presigned URLs. The embedded server
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

pub mod accounts;
mod admin;
mod bounds;
mod callers;
pub mod catalog;
mod config;
mod descriptors;
mod digest;
mod domains;
mod embedded;
mod gates;
mod http;
mod listen;
pub mod maintenance;
pub mod queue;
mod random;
mod recent;
mod refusal;
mod retry;
mod server;
mod shown;
mod start_error;
pub mod storage;
pub mod store;

pub use accounts::Plan;
pub use admin::{Admin, AdminError, Listing, Published};
pub use bounds::{Bounds, Share};
pub use catalog::component::{ComponentError, Contract, MAX_COMPONENT_BYTES, contract_of};
pub use config::{Config, Embedded, Place};
pub use descriptors::raise_descriptor_limit;
pub use domains::{Domains, DomainsConfig};
pub use embedded::Addresses;
pub use filemill_api::limits::MAX_DESCRIPTION_BYTES;
pub use http::{document as openapi_document, document_v1 as openapi_document_v1};
pub use maintenance::SweepConfig;
pub use server::Server;
pub use start_error::StartError;
