//! What a client and a processor both do on the network, so that each rule of security stands once.
//!
//! Both call one server and exchange objects with a storage service by presigned URLs that the server names. Neither is
//! trusted: a server may name any URL, and what answers may announce and send anything. So
//!
//! - [`Http`] follows no redirect: what was checked of a URL holds for what is asked.
//! - [`Storage`] asks only the [`Origins`] that it was configured with, sends nothing but what was signed, and says what an
//!   answer means: of the object, of the URL, or of nothing but the way there.
//! - [`read_body`] allocates no more than its limit, whatever is announced.
//! - [`describe`] says why a request failed, and never its URL, which may be a presigned one.
//! - [`Backoff`] and [`jittered`] space attempts, so that many that failed together do not come back together.
//! - [`ServerClock`] compares this machine's clock with the server's, and trusts neither alone.
//!
//! What is deliberately absent: a loop. [`Storage`] makes one attempt; how often and for how long to try again, and what is
//! told meanwhile, differs between somebody who waits at a terminal and a processor that holds a lease.
//!
//! ```
//! use filemill_transport::{ForeignUrl, Origins};
//!
//! let origins = Origins::new(["https://s3.example.org".parse()?]);
//! assert!(origins.check("https://s3.example.org/bucket/key?X-Amz-Signature=1").is_ok());
//! let elsewhere = origins.check("https://s3.example.org.evil.org/bucket/key?X-Amz-Signature=1");
//! assert_eq!(elsewhere, Err(ForeignUrl::Origin("https://s3.example.org.evil.org".to_owned())));
//! # Ok::<_, filemill_transport::OriginError>(())
//! ```

mod backoff;
mod body;
mod clock;
mod describe;
mod http;
mod origins;
mod storage;

pub use backoff::{Backoff, jittered, retry_after};
pub use body::{BodyError, read_body};
pub use clock::{Comparison, Lifetime, Moment, ServerClock};
pub use describe::describe;
pub use http::{Http, HttpError, HttpOptions};
pub use origins::{ForeignUrl, Origin, OriginError, Origins};
pub use storage::{Sent, Storage, StorageError};
