//! What an activity tells while it goes on: plain data, of which an application makes words.

use std::path::PathBuf;

use filemill_api::ErrorBody;
use filemill_seal::UploadId;
use serde::Serialize;

use crate::ending::Finished;
use crate::error::Error;
use crate::plain;
use crate::reason::{AgainReason, SkipReason};

/// One thing that a person may want to see. In JSON, `kind` says what it is.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A file is done: the last that is said of it.
    Finished(Box<Finished>),
    /// Something in a folder is not sent.
    Skipped {
        /// What.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// Why.
        reason: SkipReason,
    },
    /// A file changed under the reader, or cannot be had as it was sent, and is sent again.
    SentAgain {
        /// Which.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What happened to it.
        reason: AgainReason,
    },
    /// A file waits for something that is not there yet: in a watched folder for an engine, elsewhere for an engine's description.
    Waiting {
        /// Which.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What for.
        reason: AwaitedThing,
    },
    /// Something does not work; the activity keeps trying.
    Trouble(Trouble),
    /// What did not work works again.
    Recovered(Recovery),
    /// Something that is good to know.
    Note(Note),
}

/// What a file waits for that is told of by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum AwaitedThing {
    /// An engine that takes it.
    Engine {
        /// Why none can be chosen now.
        error: Error,
    },
    /// What engines say of themselves.
    Descriptions {
        /// Which are missing.
        error: Error,
    },
    /// Its result, which is there and cannot be fetched now.
    Result {
        /// Why not.
        detail: String,
    },
}

/// What does not work now. `code` says what it is, in JSON as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Trouble {
    /// The server or storage does not answer; it is asked again.
    Unreachable {
        /// What was seen.
        error: Error,
    },
    /// The server has not answered a request for a while; it is waited for.
    Silent {
        /// Which.
        server: String,
        /// For how long, in seconds.
        for_s: u64,
    },
    /// No processor of the pinned pool has announced itself to the server yet; that is waited for.
    NoPool {
        /// What the server has instead.
        error: Error,
    },
    /// Nothing can be sent now; what is to be sent waits.
    NothingSent {
        /// Why not.
        error: Error,
    },
    /// The server does not take an upload now; it is asked again.
    UploadRefused {
        /// Which.
        upload: UploadId,
        /// What it said.
        refusal: ErrorBody,
    },
    /// An upload does not go on; it is tried again in a minute.
    UploadStalled {
        /// Which.
        upload: UploadId,
        /// Why not.
        error: Error,
    },
    /// Nobody has said yet which files suit some engines; what may be for them waits.
    Undescribed {
        /// Which engines.
        error: Error,
    },
    /// No processor could say which files suit these engines, and none is sent there.
    Undescribable {
        /// The engines, as a list for people.
        engines: String,
    },
    /// Results cannot be kept as files now, and follow when they can.
    ResultsNotKept {
        /// Where they were to be.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
        /// Why not.
        error: Error,
    },
    /// Results are not kept as files at the end.
    ResultsLeft {
        /// Where they were to be.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
        /// How many.
        count: usize,
    },
    /// Something is in the way of what lies beside a result, and nobody tries again.
    InTheWay {
        /// What.
        error: Error,
    },
    /// The system does not tell of everything in a watched folder.
    FolderNotWatched {
        /// Of what not, and why.
        error: Error,
    },
    /// A watched folder is not there any more, removed or moved away; it is waited for.
    FolderGone {
        /// As the user named it.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
    },
    /// The journal's disk is full: nothing is sent or taken in until there is room.
    JournalFull {
        /// Which journal.
        error: Error,
    },
}

/// What works again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Recovery {
    /// The server answers.
    Server {
        /// Which.
        server: String,
    },
    /// Storage takes what is sent.
    Storage {
        /// Its origin.
        origin: String,
    },
    /// Results that waited are kept as files.
    ResultsKept {
        /// Where.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
        /// How many waited.
        count: u64,
    },
    /// A watched folder that was gone is back.
    FolderBack {
        /// As the user named it.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
    },
    /// There is room for the journal.
    JournalRoom,
}

/// What is good to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Note {
    /// A folder is watched from now on.
    Watching {
        /// As the user named it.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
    },
    /// A watcher was stopped before it could begin: what is in its folders waits for the next one.
    LeftForLater {
        /// How many files.
        count: u64,
        /// Whether there was time to count them all.
        is_all: bool,
    },
    /// It is waited a little for a processor to say which files suit some engines.
    AwaitingDescriptions {
        /// The engines, as a list for people.
        engines: String,
    },
    /// No processor of the pool that is there now reads the newest format of headers: uploads are sealed in an older one, with which there is no
    /// trial of a release, nobody of the organisation beside the uploader can open results, and small files cost more processor time.
    OlderFormat {
        /// The pool.
        pool: String,
        /// The format of what is sent now.
        format: u64,
        /// The newest that this program writes.
        newest: u64,
        /// The server is of an earlier version, and cannot say what processors read.
        older_server: bool,
    },
    /// A file of rules was met that counts for watchers, not for what is sent at once.
    RulesNotFollowed {
        /// Which.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
    },
    /// Temporary and system files were left out without anybody asking for it.
    TemporaryLeftOut {
        /// How many.
        count: u64,
    },
    /// What version control keeps was left out without anybody asking for it.
    VersionControlLeftOut {
        /// How many.
        count: u64,
    },
    /// There is no file to send in what was named.
    NothingFound {
        /// What that was.
        #[serde(serialize_with = "plain::paths")]
        named: Vec<PathBuf>,
        /// Files in it that were left out, beside those in the folders.
        files: u64,
        /// Folders in it that were left out.
        folders: u64,
        /// How many of both a pattern leaves out.
        by_pattern: u64,
        /// How many are temporary or system files or what version control keeps.
        built_in: u64,
    },
    /// An upload is given up, and its files are sent again.
    UploadGivenUp {
        /// Which.
        upload: UploadId,
        /// Why.
        reason: AgainReason,
    },
    /// The server has another database than it had: results are read from the beginning, and what it does not have is sent again.
    OtherDatabase,
    /// The server has results that do not come: they are read from the beginning.
    ResultsReadAgain,
    /// The server had lost an upload, which is sent again.
    LostUpload {
        /// Which.
        upload: UploadId,
        /// A file of it.
        #[serde(serialize_with = "plain::path_if_any")]
        path: Option<PathBuf>,
        /// How many files of it wait beside that one.
        others: usize,
        /// Whether only a part of it was lost.
        in_part: bool,
    },
}
