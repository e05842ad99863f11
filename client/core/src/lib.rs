//! The client without a face: what a command line and a desktop app share.
//!
//! It finds files, compresses and seals them, stores them straight in S3, and brings the results back, which nobody but
//! the user can open. It prints nothing: an application reads [`Notice`]s and looks at [`Progress`].
//!
//! ```no_run
//! use filemill_client::{Client, ClientOptions, Home, Notice, SendOptions};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example() -> Result<(), filemill_client::Error> {
//! let (notices, mut told) = tokio::sync::mpsc::channel(256);
//! let client = Client::open(Home::from_environment()?, ClientOptions::default(), notices).await?;
//! let stop = CancellationToken::new();
//! let options = SendOptions { paths: vec!["reports".into()], ..SendOptions::default() };
//! let mut sent = Box::pin(client.send(options, &stop));
//! loop {
//!     tokio::select! {
//!         result = &mut sent => break result?,
//!         Some(Notice::Finished(file)) = told.recv() => println!("{}", file.path.display()),
//!     }
//! }
//! drop(sent);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! With `engine: Some("auto")` each file goes to the engine that fits its name; [`lay_out`] shows any engine's report.
//!
//! Whatever ends the program, nothing is lost: the journal in the [`Home`] knows what was begun, and the next
//! [`Client::send`] of the same files, [`Client::watch`] or [`Client::resume`] goes on with it.

mod api;
mod awaited;
mod budget;
mod client;
mod config;
mod content;
mod display;
mod engines;
mod error;
mod home;
mod inbox;
mod journal;
mod keys;
mod login;
mod notice;
mod out;
mod pack;
mod parameters;
mod pipeline;
mod read;
mod recipe;
mod reported;
mod results;
mod rules;
mod run;
mod showing;
mod source;
mod standing;
mod status;
mod tree;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod unprivileged;
mod walk;
mod watch;

pub use client::{Client, ClientOptions, SendOptions};
pub use config::Config;
pub use display::{Description, Row, RowValue, lay_out, outline};
pub use error::{Error, NoAnswer};
pub use filemill_seal::{
    Digest, Finding, Identity, JsonObject, LogLine, Outcome, PARAMETERS_MAX_BYTES, Resources, Severity, UploadId,
};
pub use filemill_text::{shown as shown_text, shown_path as shown};
pub use home::{Home, read_given};
pub use journal::{NewJournal, begin_new_journal};
pub use keys::{KeyPlace, import_identity, load_identity, load_or_create_identity, parse_identity};
pub use login::{Login, login};
pub use notice::{Ending, Finished, Notice, Progress, ProgressNow};
pub use parameters::GivenParameters;
pub use reported::{Report, SavedArtifact};
pub use results::{Fetched, ResultPage, StillToFetch};
pub use status::{LookThrough, Reason, WaitingFile, WatchedFolder};
pub use watch::WatchOptions;
