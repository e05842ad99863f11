//! The pool's folder: its root, its age identities and the newest signed statement, kept on the processors' own disk.
//!
//! ```text
//! POOLDIR/                      0700
//!   enrolment.json              what clients pin; public
//!   root.key                    Ed25519 seed, hex; may be kept elsewhere once clients are enrolled
//!   identity-SERIAL.age-key     an age identity, named by the serial of the statement that announced it first
//!   pool.json                   which identity is announced, until when, and the signed statement itself
//! ```
//!
//! A new folder is made beside its place, as `.POOLDIR.new`, and renamed. `pool.json` is written last and replaced in one step: whatever is
//! interrupted, the folder is the old one or the new one.

mod draft;
mod error;
mod files;
mod folder;
mod keys;
mod publish;
mod record;
pub(crate) mod secret_file;

pub(crate) use draft::{PoolDraft, check_vacant, take_away};
pub use error::PoolFolderError;
pub use files::LIFETIME_DAYS;
pub use folder::{PoolFolder, Renewal};
pub(crate) use keys::Keys;
pub(crate) use publish::{Publishing, announcement};
