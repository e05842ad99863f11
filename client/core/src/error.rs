//! What can go wrong for all files of an activity, or for a question; what goes wrong with one file is a [`Finished`](crate::Finished).

mod words;

use std::path::{Path, PathBuf};

use filemill_api::ErrorBody;
use filemill_seal::{HeaderError, KeyError, PoolError, ResultError};
pub(crate) use filemill_text::reason as io_detail;
use serde::Serialize;

use crate::plain;
use words::{clock_difference, only_of, other_program};

/// Why something could not go on. Says what happened and to what; what to do about it is for applications to say. In JSON `code` is one
/// word, and `about` what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", content = "about", rename_all = "snake_case")]
pub enum Error {
    /// This home was never logged in.
    #[error("`{home}` is not logged in to a server")]
    NotLoggedIn {
        /// The home.
        #[serde(serialize_with = "plain::path")]
        home: PathBuf,
    },
    /// A file of the user's or of the home cannot be used.
    #[error("cannot {action} `{path}`: {detail}")]
    File {
        /// What was tried, in the infinitive.
        action: &'static str,
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// A file that this program wrote is not as it wrote it.
    #[error("`{path}` is malformed: {detail}")]
    Malformed {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// Not the address of a server.
    #[error("`{server}` is not the address of a server: {detail}")]
    Address {
        /// What was given.
        server: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An address where others can read along.
    #[error("`{origin}` is asked over plain http")]
    PlainHttp {
        /// Which.
        origin: String,
    },
    /// The token is unknown or revoked.
    #[error("server `{server}` does not accept the token: {message}")]
    Unauthenticated {
        /// The server.
        server: String,
        /// What it said.
        message: String,
    },
    /// No token is in the file that was named for it.
    #[error("`{path}` holds no token: {detail}")]
    NoToken {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What is in it.
        detail: String,
    },
    /// What was given as a one-time code is not one.
    #[error("{}", if *.is_token { "that is a token, and a one-time code is wanted" } else { "that is not a one-time code" })]
    NoCode {
        /// Whether it is a token, which others can read in a command line.
        is_token: bool,
    },
    /// What was given as a pool's root is not one.
    #[error("that is not a pool's root: {detail}")]
    NoRoot {
        /// What is wrong with it.
        detail: String,
    },
    /// No enrolment is in the file that was named for it.
    #[error("`{path}` is no enrolment: {error}")]
    Enrolment {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What is wrong with it.
        #[serde(serialize_with = "plain::words")]
        error: PoolError,
    },
    /// The token is of another scope.
    #[error("the token may not do this on server `{server}`: {message}")]
    Forbidden {
        /// The server.
        server: String,
        /// What it said.
        message: String,
    },
    /// The server understood, and said no.
    #[error("server `{server}` refused: {}", .body.message)]
    Refused {
        /// The server.
        server: String,
        /// What it said.
        body: ErrorBody,
    },
    /// The server does not answer.
    #[error("server `{server}` {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// What was seen.
        why: NoAnswer,
    },
    /// The server answered what no server of this API answers.
    #[error("server `{server}` answered something unexpected: {detail}")]
    Protocol {
        /// The server.
        server: String,
        /// What was unexpected.
        detail: String,
    },
    /// Storage fails, or something in its place.
    #[error("storage `{origin}` keeps failing: {detail}")]
    Storage {
        /// Its origin.
        origin: String,
        /// What it said last.
        detail: String,
    },
    /// A presigned URL does not lead where it may.
    #[error("the server wants to exchange data with `{origin}`, which is not a storage origin of this login")]
    ForeignOrigin {
        /// Where the URL leads.
        origin: String,
    },
    /// What came from storage is not what was announced.
    #[error("`{origin}` handed out something else than the object that was announced: {detail}")]
    WrongObject {
        /// Its origin.
        origin: String,
        /// What differs.
        detail: String,
    },
    /// Some results could not be kept as files.
    #[error("some results could not be kept in `{folder}`")]
    NotKept {
        /// Where.
        #[serde(serialize_with = "plain::path")]
        folder: PathBuf,
    },
    /// The journal's disk is full.
    #[error("no room left for the journal `{path}`")]
    JournalFull {
        /// The journal.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
    },
    /// The journal cannot be used.
    #[error("journal `{path}`: {detail}")]
    Journal {
        /// The journal.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// What lies in the journal's place is not a journal, or no longer one.
    #[error("journal `{path}` cannot be used any more: {detail}")]
    JournalDamaged {
        /// The journal.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Nothing is wrong with the journal: no other is needed.
    #[error("journal `{path}` is in order")]
    JournalInOrder {
        /// The journal.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
    },
    /// A running program uses the journal.
    #[error("journal `{path}` is used by a program that runs")]
    JournalInUse {
        /// The journal.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
    },
    /// A file of the home was written by a later version of this program.
    #[error(
        "`{path}` is of a later version of this program: it has version {found}, this program reads up to version {newest}"
    )]
    HomeVersion {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that this program reads.
        newest: u32,
    },
    /// The journal was written by another version of this program.
    #[error("journal `{path}` is of another version of this program: {detail}")]
    JournalVersion {
        /// The journal.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// How it differs.
        detail: String,
    },
    /// There is no keychain, and nobody allowed a file.
    #[error("no keychain answers for the secret key: {detail}")]
    NoKeychain {
        /// What was seen.
        detail: String,
    },
    /// The keychain failed.
    #[error("the keychain failed: {detail}")]
    Keychain {
        /// What it said.
        detail: String,
    },
    /// There is no key yet.
    #[error("`{home}` has no secret key yet")]
    NoKey {
        /// The home.
        #[serde(serialize_with = "plain::path")]
        home: PathBuf,
    },
    /// There was a key, and it is gone.
    #[error("`{home}` was logged in before, and its secret key is gone")]
    KeyLost {
        /// The home.
        #[serde(serialize_with = "plain::path")]
        home: PathBuf,
    },
    /// There is another key already.
    #[error("`{home}` has a secret key already, `{recipient}`")]
    OtherKey {
        /// The home.
        #[serde(serialize_with = "plain::path")]
        home: PathBuf,
        /// Its recipient.
        recipient: String,
    },
    /// A file that holds no key.
    #[error("`{path}` holds no key: {error}")]
    NoKeyIn {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What is wrong with what it holds.
        #[serde(serialize_with = "plain::words")]
        error: KeyError,
    },
    /// Text that is no key.
    #[error("{0}")]
    Key(#[serde(serialize_with = "plain::words")] KeyError),
    /// The pool's recipient is not to be trusted.
    #[error("{0}")]
    Pool(#[serde(serialize_with = "plain::words")] PoolError),
    /// The pool that the server has was not signed for by the root that was named at the login.
    #[error(
        "what server `{server}` has of pool `{pool}` is not signed by the root that was named for it, fingerprint {fingerprint}"
    )]
    OtherRoot {
        /// The server.
        server: String,
        /// The pool.
        pool: String,
        /// Fingerprint of pool and root, as they were named.
        fingerprint: String,
    },
    /// This machine's clock is not the server's, and by it nothing can be sent.
    #[error("this machine's clock is {} that of server `{server}`: by it {detail}", clock_difference(*.ahead_s))]
    Clock {
        /// The server.
        server: String,
        /// By how many seconds it is ahead; behind, if less than 0.
        ahead_s: i64,
        /// What does not hold by it.
        detail: String,
    },
    /// The server has no statement of the pool.
    #[error("server `{server}` has no recipient of pool `{pool}`{}", only_of(.others))]
    NoPool {
        /// The server.
        server: String,
        /// The pool that is pinned.
        pool: String,
        /// The pools that it has recipients of, as a list for people.
        others: String,
    },
    /// No processor reads the format that the pool's enrolment asks for.
    #[error("no processor of pool `{pool}` that is there reads format {lowest}; its enrolment allows nothing older")]
    NoFormat {
        /// The pool.
        pool: String,
        /// The lowest format of headers that may be sent.
        lowest: u64,
    },
    /// The server has no words for the format that the pool's enrolment asks for.
    #[error("the server is of an earlier version, without format {lowest}; pool `{pool}` allows nothing older")]
    NoFormatThere {
        /// The pool.
        pool: String,
        /// The lowest format of headers that may be sent.
        lowest: u64,
    },
    /// No such engine.
    #[error("there is no engine `{engine}`, only {known}")]
    NoEngine {
        /// What was asked for.
        engine: String,
        /// The engines there are.
        known: String,
    },
    /// Several engines, none of them asked for.
    #[error("there are several engines: {known}")]
    WhichEngine {
        /// The engines there are.
        known: String,
    },
    /// No engine takes files of such a name.
    #[error("no engine takes such a file")]
    NoEngineFits,
    /// Nobody has said yet which files suit these engines: one of them may suit this file best.
    #[error("nobody has said yet which files suit {engines}")]
    Undescribed {
        /// The engines, as a list for people.
        engines: String,
    },
    /// The engine does not take these parameters.
    #[error("engine `{engine}` does not take these parameters: {detail}")]
    Parameters {
        /// Name of the engine.
        engine: String,
        /// What is wrong with them.
        detail: String,
        /// Those that it takes, as a list for people; empty if it takes none, or does not name them.
        known: String,
    },
    /// Parameters that several engines would get.
    #[error("parameters are one engine's, and `auto` sends files to several")]
    WhichParameters,
    /// Nobody has said yet which parameters the engine takes.
    #[error("nobody has said yet which parameters engine `{engine}` takes")]
    ParametersUnknown {
        /// Name of the engine.
        engine: String,
    },
    /// What was set of the engine's parameters cannot be read in the journal any more.
    #[error("the journal has lost the parameters of engine `{engine}` that it was sent with before")]
    ParametersLost {
        /// Name of the engine.
        engine: String,
    },
    /// Longer parameters than the pool's processors are known to take.
    #[error("the parameters take {found} bytes of JSON, and processors of pool `{pool}` are known to take {most}")]
    LongParameters {
        /// How long they are.
        found: usize,
        /// How long they may be.
        most: usize,
        /// The pool.
        pool: String,
    },
    /// What a file was first sent for cannot be run any more.
    #[error("release {version} of engine `{engine}`, which it was first sent for, is gone")]
    ReleaseGone {
        /// Name of the engine.
        engine: String,
        /// The release's version.
        version: String,
    },
    /// Nobody offers now what a file was first sent for, and somebody may again.
    #[error("no processor offers release {version} of engine `{engine}` now, which it was first sent for")]
    EngineAway {
        /// Name of the engine.
        engine: String,
        /// The release's version.
        version: String,
    },
    /// No engine at all.
    #[error("server `{server}` has no engine release that this organisation uses")]
    NoRelease {
        /// The server.
        server: String,
    },
    /// Glob that cannot be used.
    #[error("`{glob}` is not a pattern: {detail}")]
    Glob {
        /// What was given.
        glob: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The header could not be made.
    #[error("{0}")]
    Header(#[serde(serialize_with = "plain::words")] HeaderError),
    /// A result that is not to be believed.
    #[error("not shown: {0}")]
    Result(#[serde(serialize_with = "plain::words")] ResultError),
    /// A file that is no sealed result.
    #[error("`{path}` is no sealed result")]
    NotSealed {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
    },
    /// A sealed result of an upload that this home did not send.
    #[error("`{path}` is about upload `{upload}`, which the journal does not know")]
    UnknownUpload {
        /// The file.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// The upload it claims to be about.
        upload: String,
    },
    /// The journal has no result of that.
    #[error("there is no result of `{what}`")]
    NoResult {
        /// What was asked for.
        what: String,
    },
    /// The server has another description of an engine than the processor had.
    #[error("the server describes engine `{engine}` in other words than the processor that ran it")]
    OtherDescription {
        /// Name of the engine.
        engine: String,
    },
    /// Folders cannot be watched.
    #[error("cannot watch `{path}`: {detail}")]
    Watch {
        /// The folder.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What the system said.
        detail: String,
        /// This user may not look into it.
        is_denied: bool,
    },
    /// What was named to be watched is no folder.
    #[error("cannot watch `{path}`: {detail}")]
    NoFolder {
        /// What was named.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What is there.
        detail: String,
        /// Whether it is a file.
        is_file: bool,
    },
    /// Another program of the home watches the folder, or one that holds it or lies in it.
    #[error("cannot watch `{path}`: {} watches `{watched}` already", other_program(*.process))]
    Watched {
        /// What was named.
        #[serde(serialize_with = "plain::path")]
        path: PathBuf,
        /// What the other program watches.
        #[serde(serialize_with = "plain::path")]
        watched: PathBuf,
        /// That program's id, if it is known.
        process: Option<u32>,
    },
    /// The command was asked to end.
    #[error("stopped")]
    Stopped,
}

/// Why a server gives no answer now. That may change by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", content = "detail", rename_all = "snake_case")]
pub enum NoAnswer {
    /// Nothing answers.
    #[error("cannot be reached: {0}")]
    Unreached(String),
    /// It answers, and its answer does not come to an end.
    #[error("was cut off in the middle of its answer: {0}")]
    CutOff(String),
    /// It has failed, as it says itself.
    #[error("failed: {0}")]
    Failed(String),
    /// What answers at its address is not a server of Filemill: a captive portal, or another program.
    #[error("does not answer as a filemill server: {0}")]
    Other(String),
}

impl Error {
    /// One word for programs, which stays as it is; the same as in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLoggedIn { .. } => "not_logged_in",
            Self::File { .. } => "file",
            Self::Malformed { .. } => "malformed",
            Self::Address { .. } => "address",
            Self::PlainHttp { .. } => "plain_http",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::NoToken { .. } => "no_token",
            Self::NoCode { .. } => "no_code",
            Self::NoRoot { .. } => "no_root",
            Self::Enrolment { .. } => "enrolment",
            Self::Forbidden { .. } => "forbidden",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Protocol { .. } => "protocol",
            Self::Storage { .. } => "storage",
            Self::ForeignOrigin { .. } => "foreign_origin",
            Self::WrongObject { .. } => "wrong_object",
            Self::NotKept { .. } => "not_kept",
            Self::JournalFull { .. } => "journal_full",
            Self::Journal { .. } => "journal",
            Self::JournalDamaged { .. } => "journal_damaged",
            Self::JournalInOrder { .. } => "journal_in_order",
            Self::JournalInUse { .. } => "journal_in_use",
            Self::HomeVersion { .. } => "home_version",
            Self::JournalVersion { .. } => "journal_version",
            Self::NoKeychain { .. } => "no_keychain",
            Self::Keychain { .. } => "keychain",
            Self::NoKey { .. } => "no_key",
            Self::KeyLost { .. } => "key_lost",
            Self::OtherKey { .. } => "other_key",
            Self::NoKeyIn { .. } => "no_key_in",
            Self::Key(_) => "key",
            Self::Pool(_) => "pool",
            Self::OtherRoot { .. } => "other_root",
            Self::Clock { .. } => "clock",
            Self::NoPool { .. } => "no_pool",
            Self::NoFormat { .. } | Self::NoFormatThere { .. } => "no_format",
            Self::NoEngine { .. } => "no_engine",
            Self::WhichEngine { .. } => "which_engine",
            Self::NoEngineFits => "no_engine_fits",
            Self::Undescribed { .. } => "undescribed",
            Self::Parameters { .. } => "parameters",
            Self::WhichParameters => "which_parameters",
            Self::ParametersUnknown { .. } => "parameters_unknown",
            Self::ParametersLost { .. } => "parameters_lost",
            Self::LongParameters { .. } => "long_parameters",
            Self::ReleaseGone { .. } => "release_gone",
            Self::EngineAway { .. } => "engine_away",
            Self::NoRelease { .. } => "no_release",
            Self::Glob { .. } => "glob",
            Self::Header(_) => "header",
            Self::Result(_) => "result",
            Self::NotSealed { .. } => "not_sealed",
            Self::UnknownUpload { .. } => "unknown_upload",
            Self::NoResult { .. } => "no_result",
            Self::OtherDescription { .. } => "other_description",
            Self::Watch { .. } => "watch",
            Self::NoFolder { .. } => "no_folder",
            Self::Watched { .. } => "watched",
            Self::Stopped => "stopped",
        }
    }

    /// Whether there is nothing that may be sealed for now, though that may change by itself.
    pub(crate) fn is_of_the_recipient(&self) -> bool {
        matches!(self, Self::Pool(_) | Self::Clock { .. } | Self::NoFormat { .. } | Self::NoFormatThere { .. })
    }

    pub(crate) fn file(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), detail: io_detail(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_same_code_in_json_and_words_of_other_crates_are_text() {
        let home = PathBuf::from("/h");
        let errors = [
            Error::NotLoggedIn { home: home.clone() },
            Error::File { action: "read", path: home.clone(), detail: "no".to_owned() },
            Error::Unreachable { server: "s".to_owned(), why: NoAnswer::Unreached("refused".to_owned()) },
            Error::Key(KeyError::Identity),
            Error::NoKeyIn { path: home, error: KeyError::Identity },
            Error::NoEngineFits,
            Error::Stopped,
        ];
        for error in errors {
            let json = serde_json::to_value(&error).unwrap();
            assert_eq!(json["code"], error.code(), "{json}");
        }
        let json = serde_json::to_value(Error::Key(KeyError::Identity)).unwrap();
        assert_eq!(json["about"], KeyError::Identity.to_string());
    }
}
