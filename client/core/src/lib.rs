//! The client without a face: what a command line and a desktop app share.
//!
//! It finds files, compresses and seals them, stores them straight in S3, and brings the results back, which nobody but
//! the user can open. It prints nothing and has no words for a terminal: what goes on is an [`Activity`], and what that tells is an
//! [`Event`], plain data with stable codes that also goes as JSON to wherever a face is drawn.
//!
//! ```no_run
//! use filemill_client::{Client, ClientOptions, Event, Home, SendOptions};
//!
//! # async fn example() -> Result<(), filemill_client::Error> {
//! let client = Client::open(Home::from_environment()?, ClientOptions::default()).await?;
//! let (sending, mut events) = client.send(SendOptions { paths: vec!["reports".into()], ..SendOptions::default() });
//! while let Some(event) = events.next().await {
//!     if let Event::Finished(file) = event {
//!         println!("{}: {} of {} files", file.path.display(), sending.progress().done_files, sending.progress().found_files);
//!     }
//! }
//! sending.ended().await?;
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Several activities may go on at once in one client: each file belongs to one of them, and stopping one leaves the others alone. Where
//! nobody reads a channel of events any more, the work goes on; where somebody reads slowly, it waits.
//!
//! With `engine: Some("auto")` each file goes to the engine that fits its name; [`lay_out`] shows any engine's report.
//!
//! Whatever ends the program, nothing is lost: the journal in the [`Home`] knows what was begun, and the next
//! [`Client::send`] of the same files, [`Client::watch`] or [`Client::resume`] goes on with it.

mod activity;
mod api;
mod awaited;
mod base;
mod budget;
mod client;
mod config;
mod content;
mod context;
mod device;
mod display;
mod driver;
mod ending;
mod engines;
mod error;
mod event;
mod export;
mod home;
mod inbox;
mod journal;
mod key_place;
mod keys;
mod login;
mod look_into;
mod options;
mod pack;
mod parameters;
mod pipeline;
mod plain;
mod progress;
mod read;
mod reason;
mod recipe;
mod reported;
mod results;
mod resume;
mod rules;
mod send;
mod showing;
mod source;
mod standing;
mod stat;
mod status;
mod taken;
mod teller;
mod token;
mod tree;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod unprivileged;
mod waiting;
mod walk;
mod wall_clock;
mod watch;
mod why_nothing;

pub use activity::{Activity, ActivityId};
pub use client::Client;
pub use config::Config;
pub use display::{Description, Extent, Row, RowValue, lay_out, outline};
pub use ending::{Ending, Finished, NotSent};
pub use error::{Error, NoAnswer};
pub use event::{AwaitedThing, Event, Note, Recovery, Trouble};
pub use filemill_api::{ErrorBody, ErrorCode};
pub use filemill_seal::{
    Digest, Enrolment, EnvelopeError, Finding, HeaderError, Identity, JsonObject, KeyError, LogLine, Outcome,
    PARAMETERS_MAX_BYTES, PoolError, Resources, ResultError, Severity, UploadId,
};
pub use filemill_text::{shown as shown_text, shown_path as shown};
pub use home::{Home, read_given};
pub use journal::{NewJournal, begin_new_journal};
pub use key_place::KeyPlace;
pub use keys::{import_identity, load_identity, load_or_create_identity, parse_identity};
pub use login::{Credential, Login, LoginOptions, Pin, login, login_with};
pub use options::ClientOptions;
pub use parameters::GivenParameters;
pub use progress::ProgressNow;
pub use reason::{AgainReason, SkipReason};
pub use reported::{Report, SavedArtifact};
pub use results::{Fetched, ResultPage, StillToFetch};
pub use rules::LeftOut;
pub use send::SendOptions;
pub use stat::FileKind;
pub use teller::Events;
pub use waiting::{LookThrough, Reason, WaitingFile, WatchedFolder};
pub use watch::WatchOptions;
