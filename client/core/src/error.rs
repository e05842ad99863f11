//! What can go wrong for the whole of a command; what goes wrong with one file is a [`Finished`](crate::Finished).

use std::path::{Path, PathBuf};

use filemill_api::ErrorBody;
use filemill_seal::{EnvelopeError, HeaderError, KeyError, PoolError, ResultError};
pub(crate) use filemill_text::reason as io_detail;

/// Why a command could not go on. Says what happened and to what; [`hint`](Self::hint) says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This home was never logged in.
    #[error("`{home}` is not logged in to a server")]
    NotLoggedIn {
        /// The home.
        home: PathBuf,
    },
    /// A file of the user's or of the home cannot be used.
    #[error("cannot {action} `{path}`: {detail}")]
    File {
        /// What was tried, in the infinitive.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// A file that this program wrote is not as it wrote it.
    #[error("`{path}` is malformed: {detail}")]
    Malformed {
        /// The file.
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
        path: PathBuf,
        /// What is in it.
        detail: String,
    },
    /// No enrolment is in the file that was named for it.
    #[error("`{path}` is no enrolment: {error}")]
    Enrolment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
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
        folder: PathBuf,
    },
    /// The journal's disk is full.
    #[error("no room left for the journal `{path}`")]
    JournalFull {
        /// The journal.
        path: PathBuf,
    },
    /// The journal cannot be used.
    #[error("journal `{path}`: {detail}")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// What lies in the journal's place is none, or none any more.
    #[error("journal `{path}` cannot be used any more: {detail}")]
    JournalDamaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Nothing is wrong with the journal: no other is needed.
    #[error("journal `{path}` is in order")]
    JournalInOrder {
        /// The journal.
        path: PathBuf,
    },
    /// A running program uses the journal.
    #[error("journal `{path}` is used by a program that runs")]
    JournalInUse {
        /// The journal.
        path: PathBuf,
    },
    /// The journal was written by another version of this program.
    #[error("journal `{path}` is of another version of this program: {detail}")]
    JournalVersion {
        /// The journal.
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
        home: PathBuf,
    },
    /// There was a key, and it is gone.
    #[error("`{home}` was logged in before, and its secret key is gone")]
    KeyLost {
        /// The home.
        home: PathBuf,
    },
    /// There is another key already.
    #[error("`{home}` has a secret key already, `{recipient}`")]
    OtherKey {
        /// The home.
        home: PathBuf,
        /// Its recipient.
        recipient: String,
    },
    /// A file that holds no key.
    #[error("`{path}` holds no key: {error}")]
    NoKeyIn {
        /// The file.
        path: PathBuf,
        /// What is wrong with what it holds.
        error: KeyError,
    },
    /// Text that is no key.
    #[error("{0}")]
    Key(KeyError),
    /// The pool's recipient is not to be trusted.
    #[error("{0}")]
    Pool(PoolError),
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
    Header(HeaderError),
    /// A result that is not to be believed.
    #[error("not shown: {0}")]
    Result(ResultError),
    /// A file that is no sealed result.
    #[error("`{path}` is no sealed result")]
    NotSealed {
        /// The file.
        path: PathBuf,
    },
    /// A sealed result of an upload that this home did not send.
    #[error("`{path}` is about upload `{upload}`, which the journal does not know")]
    UnknownUpload {
        /// The file.
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
        path: PathBuf,
        /// What the other program watches.
        watched: PathBuf,
        /// That program's id, if it is known.
        process: Option<u32>,
    },
    /// The command was asked to end.
    #[error("stopped")]
    Stopped,
}

/// Why a server gives no answer now. That may change by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// Nothing answers.
    #[error("cannot be reached: {0}")]
    Unreached(String),
    /// It has failed, as it says itself.
    #[error("failed: {0}")]
    Failed(String),
    /// What answers at its address is none: a captive portal, or another program.
    #[error("does not answer as a filemill server: {0}")]
    Other(String),
}

impl NoAnswer {
    fn advice(&self) -> &'static str {
        match self {
            Self::Unreached(_) => "check the address and the network",
            Self::Failed(_) => "its operator's log says why",
            Self::Other(_) => {
                "its address is what `filemill-server serve` prints as `listening`, `storage` is another; a network's own page goes away by logging in there"
            }
        }
    }
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotLoggedIn { .. } => "run `filemill login --server URL --token-file FILE --pool ENROLMENT`",
            Self::File { .. } | Self::Stopped => return None,
            Self::Malformed { .. } => "restore it from a backup, or log in again",
            Self::Address { .. } => "write it as https://host or https://host:port",
            Self::PlainHttp { .. } => "use https, or say --allow-plain-http on a network that you trust",
            Self::Unauthenticated { .. } => {
                "the token was mistyped or revoked: ask for a new one and run `filemill login` again; nothing is lost"
            }
            Self::NoToken { .. } => "nothing was sent; `filemill-server token create` prints a token",
            Self::Enrolment { .. } => "the pool's operator has it: `enrolment.json`, in the folder of the pool",
            Self::Forbidden { .. } => "log in with a token of scope `user`",
            Self::Refused { body, .. } => return body.hint.clone(),
            Self::Unreachable { why, .. } => {
                return Some(format!("{}; nothing is lost, run the command again", why.advice()));
            }
            Self::Protocol { .. } => "check the address; client and server may be of versions that do not fit",
            Self::Storage { .. } => "nothing is lost: run `filemill resume` when storage works again",
            Self::ForeignOrigin { .. } => {
                "if the operator moved the storage, run `filemill login` again; else do not trust the server"
            }
            Self::WrongObject { .. } => "tell the server's operator",
            Self::NotKept { .. } => {
                "free some space there, let it be written to, or take away what is in the way, as the warning says; then run the same command again: what is analysed already is only written down"
            }
            Self::JournalFull { .. } => "free some space and run the command again: it goes on where it stopped",
            Self::Journal { .. } => "check that the disk works and that the home is yours alone",
            Self::JournalDamaged { .. } => {
                "restore it from a backup; or run `filemill journal new`, which puts it aside, takes over what can still be read in it, \
                 and asks the server for its results again: key, login and pool stay, files that it does not know are sent again"
            }
            Self::JournalInOrder { .. } => "it holds the keys of what is on its way: leave it where it is",
            Self::JournalInUse { .. } => "end it first: `filemill watch`, or another command of this home",
            Self::JournalVersion { .. } => "update this program, or use another FILEMILL_HOME",
            Self::NoKeychain { .. } => {
                "unlock the session's keychain, or allow a file that only you can read: `--key-store file`, or FILEMILL_KEY_STORE=file"
            }
            Self::Keychain { .. } => "unlock the keychain and run the command again",
            Self::KeyLost { .. } => {
                "restore it with `filemill key import FILE`; `filemill key new` makes another, which opens no result that was sealed for the former"
            }
            Self::NoKey { .. } => "log in, or run `filemill key import FILE`",
            Self::OtherKey { .. } => {
                "export that one first; `filemill key import --replace FILE` or `filemill key new --replace` then puts another in its place"
            }
            Self::NoKeyIn { error, .. } => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Pool(error) => return Some(error.hint()),
            Self::Clock { .. } => {
                "set this machine's clock, and keep it by NTP; if it is right, tell the server's operator. Nothing is lost"
            }
            Self::NoPool { others, .. } if !others.is_empty() => {
                "log in with the enrolment of a pool that it has; a processor of this one announces it when it starts: ask its operator"
            }
            Self::NoPool { .. } => {
                "a processor announces it when it starts: is one running for this pool, and does the pool serve your organisation? ask its operator"
            }
            Self::NoEngine { engine, .. } if engine.starts_with("local/") => {
                "a processor offers a new file in its folder of engines within about two seconds; its log says why not"
            }
            Self::NoEngine { .. } => {
                "choose one with --engine NAME; an operator publishes another with `filemill-server release publish`"
            }
            Self::WhichEngine { .. } | Self::NoEngineFits => "choose one with --engine NAME",
            Self::Undescribed { .. } => {
                "a processor says it within seconds of its start, and `filemill-server release publish` before; or choose an engine with --engine NAME"
            }
            Self::Parameters { known, .. } if !known.is_empty() => {
                return Some(format!("its parameters are {known}; nothing was sent"));
            }
            Self::Parameters { .. } => "nothing was sent",
            Self::WhichParameters => "choose the engine with --engine NAME",
            Self::ParametersUnknown { .. } => {
                "a processor says it within seconds of its start, and `filemill-server release publish` before; nothing was sent"
            }
            Self::ParametersLost { .. } => {
                "`filemill send FILE` sends it with those that are given then: --param NAME=VALUE, or --parameters FILE"
            }
            Self::LongParameters { .. } => {
                "processors of an earlier version take 64 KiB: start one of this version, or shorten the parameters; nothing was sent"
            }
            Self::ReleaseGone { .. } => "`filemill send FILE --engine NAME` sends it for another",
            Self::EngineAway { .. } => {
                "start a processor that brings it, then `filemill resume`; `filemill send FILE --engine NAME` sends it for another"
            }
            Self::NoRelease { .. } => "an operator publishes one with `filemill-server release publish`",
            Self::Glob { .. } => "patterns are those of .gitignore",
            Self::Header(error) => error.hint(),
            Self::Result(ResultError::Envelope(EnvelopeError::NoMatchingKey)) => {
                "it was sealed for another key: restore that one with `filemill key import --replace FILE`, or send the file again"
            }
            Self::Result(error) => error.hint(),
            Self::NotSealed { path } if path.extension().is_some_and(|ending| ending == "age") => {
                "it is damaged, or something else was given such a name; `filemill results` lists those that the journal has"
            }
            Self::NotSealed { .. } => "those end in `.age`, as `--out` keeps them",
            Self::UnknownUpload { .. } => {
                "open it on the device that sent the file, with that device's FILEMILL_HOME; `filemill key export > key` and `age -d -i key FILE` show it unchecked"
            }
            Self::NoResult { .. } => {
                "`filemill results` fetches results and lists them, `filemill status` what is not done"
            }
            Self::OtherDescription { .. } => "the report is right, and is shown without titles and units",
            Self::Watch { is_denied: true, .. } => {
                "let this user read it: nothing in it can be found before; this program goes on by itself"
            }
            Self::Watch { .. } => "raise the limit, if it is one; changes are still found by looking every few seconds",
            Self::Watched { .. } => {
                "end that one first, or name another folder; two programs may send it to two engines: then name both with --engine"
            }
            Self::NoFolder { is_file: true, .. } => "name the folder that holds it, or send it with `filemill send`",
            Self::NoFolder { is_file: false, .. } => "make the folder first, or name another",
        };
        Some(hint.to_owned())
    }

    /// What to do about it while this program tries again.
    pub(crate) fn hint_while_trying(&self) -> Option<String> {
        match self {
            Self::Unreachable { why, .. } => Some(format!("{}; this program goes on by itself", why.advice())),
            Self::Storage { .. } => Some(
                "its operator's log says why, and a network's own page goes away by logging in there; this program goes on by itself"
                    .to_owned(),
            ),
            other => other.hint(),
        }
    }

    /// Whether there is nothing that may be sealed for now, though that may change by itself.
    pub(crate) fn is_of_the_recipient(&self) -> bool {
        matches!(self, Self::Pool(_) | Self::Clock { .. })
    }

    /// What happened and what to do about it, where there is one line for both.
    pub(crate) fn with_hint(&self) -> String {
        self.hint().map_or_else(|| self.to_string(), |hint| format!("{self} (hint: {hint})"))
    }

    pub(crate) fn file(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), detail: io_detail(error) }
    }
}

fn only_of(others: &str) -> String {
    if others.is_empty() { String::new() } else { format!(", only of {others}") }
}

fn other_program(process: Option<u32>) -> String {
    process.map_or("another program of this home".to_owned(), |id| format!("process {id} of this home"))
}

/// How far a clock is ahead or behind, in words.
fn clock_difference(ahead_s: i64) -> String {
    let seconds = ahead_s.unsigned_abs();
    let (number, unit) = match seconds {
        0..7_200 => ((seconds + 30) / 60, "minutes"),
        7_200..172_800 => ((seconds + 1_800) / 3_600, "hours"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    };
    format!("{number} {unit} {}", if ahead_s < 0 { "behind" } else { "ahead of" })
}
