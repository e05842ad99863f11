//! What can be asked on the command line. The text here is the help.

mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use filemill_client::{KeyPlace, UploadId};

pub(crate) use values::place;
use values::{name_and_file, name_and_value, seconds, upload};

const EXIT_CODES: &str = "\
Exit codes:
  0    done: every file of `send`, `resume` and `watch` was analysed; one that its engine rejected was, too; for `resume`
       a file that was cancelled is done as well
  1    an error, or a file that was not analysed; of `open` and `show`: one without a report
  2    not a command line of this program
  130  stopped by Ctrl-C or SIGTERM, all but `watch`, which ends so; or at once, by a second one";

/// Files in, private results out.
///
/// Files are compressed and sealed on this machine, analysed by a processor that the server cannot look into, and the
/// results come back sealed so that only you can open them.
#[derive(Debug, Parser)]
#[command(name = "filemill", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Folder with login, key and journal; if absent, the one that FILEMILL_HOME names, else the platform's folder for application data
    // Read there and not here: what is set in the environment would stand in the usage as if it had to be given.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in to a server: pins it, its storage and the pool, and makes your key if there is none
    Login(Login),
    /// Send files and folders, wait for the results and print them
    Send(Send),
    /// Send what is in folders and what appears in them, until interrupted
    Watch(Watch),
    /// Go on with everything that was begun and not finished, and print the results
    Resume {
        /// One JSON object a file on standard output: `status` is `succeeded`, `failed` or `not_shown`, and `outcome` says
        /// more: a file that its engine rejected is `failed`, with the outcome `rejected`
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        failing: Failing,
    },
    /// Fetch new results, and print all that are in the journal
    Results {
        /// One JSON object a file on standard output: `status` is `succeeded`, `failed` or `not_shown`, and `outcome` says
        /// more: a file that its engine rejected is `failed`, with the outcome `rejected`
        #[arg(long)]
        json: bool,
    },
    /// Open a sealed result, check it, and print it
    Open {
        /// A sealed result, as `--out` keeps them
        file: PathBuf,
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Print one result, as its engine says that it reads best: all of it, and on a terminal as much as fits
    Show {
        /// A file that was sent, a sealed result, or UPLOAD/INDEX
        #[arg(value_name = "FILE")]
        what: String,
        /// One JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Print every file that has no result yet, and why
    Status {
        /// One JSON object a file on standard output
        #[arg(long)]
        json: bool,
    },
    /// Cancel whole uploads that are not finished, and forget what of them has failed
    #[command(override_usage = "filemill cancel <UPLOAD>...\n       filemill cancel --all")]
    Cancel {
        /// Ids of uploads, as `filemill status` prints them: of UPLOAD/INDEX all of the upload is cancelled, not that file alone
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "UPLOAD", value_parser = upload)]
        uploads: Vec<UploadId>,
        /// Cancel all of them
        #[arg(long)]
        all: bool,
    },
    /// Put the journal right: what this machine knows of the files that it sent
    Journal {
        #[command(subcommand)]
        command: Journal,
    },
    /// Show, export, import or make your key
    Key {
        #[command(subcommand)]
        command: Key,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Address of the server
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// File with the token
    #[arg(long, value_name = "FILE", required_unless_present = "code", conflicts_with = "code")]
    pub(crate) token_file: Option<PathBuf>,
    /// One-time code, in place of a token: it is good once, for ten minutes
    #[arg(long, value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Enrolment file of the pool, from its operator and never from the server
    #[arg(long, value_name = "ENROLMENT", required_unless_present = "root", conflicts_with = "root")]
    pub(crate) pool: Option<PathBuf>,
    /// The pool and its root's public key, in place of its enrolment file: from a processor of the pool, and never from the server
    #[arg(long, value_name = "NAME:KEY")]
    pub(crate) root: Option<String>,
    /// Allow http instead of https beyond this machine: whoever listens can take the token
    #[arg(long)]
    pub(crate) allow_plain_http: bool,
    #[command(flatten)]
    pub(crate) store: Store,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Store {
    /// Where to keep the secret key: the system's keychain, or a file that only you can read
    #[arg(long, env = "FILEMILL_KEY_STORE", value_enum, default_value_t = KeyStore::Keychain, value_name = "PLACE")]
    pub(crate) key_store: KeyStore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyStore {
    Keychain,
    File,
}

impl From<KeyStore> for KeyPlace {
    fn from(store: KeyStore) -> Self {
        match store {
            KeyStore::Keychain => Self::Keychain,
            KeyStore::File => Self::File,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Files and folders; symbolic links below them are not followed, and rule files in them (`.filemillignore`, `.gitignore`)
    /// leave nothing out: those are for `watch`
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) analysis: Analysis,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Folders; what rule files in them leave out (`.filemillignore`, `.gitignore`) is not sent
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// How long a file must stay as it is before it is sent, in seconds; if absent, as long as whoever writes into its folder
    /// was seen to pause, up to 60
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) settle: Option<Duration>,
    #[command(flatten)]
    pub(crate) analysis: Analysis,
}

#[derive(Debug, Args)]
pub(crate) struct Analysis {
    /// Engine to run, or `auto` for the one that fits each file (one that a processor brings, `local/NAME`, only where no
    /// published one reads the file); the only one, or `size`, if absent
    #[arg(long, value_name = "NAME")]
    pub(crate) engine: Option<String>,
    /// One JSON object a file on standard output: `status` is `succeeded`, `failed` or `not_shown`, and `outcome` says more: a
    /// file that its engine rejected is `failed`, with the outcome `rejected`
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the sealed results in DIR, as NAME.age, and what engines made in NAME.artifacts
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Send even what was sent before
    #[arg(long)]
    pub(crate) again: bool,
    /// Leave out what matches the pattern, as in .gitignore; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub(crate) ignore: Vec<String>,
    /// Send what browsers, office programs, editors and desktops leave in folders, too: temporary and system files; and `.git`,
    /// `.hg` and `.svn`, in which version control keeps former versions and perhaps passwords
    #[arg(long)]
    pub(crate) temporary: bool,
    #[command(flatten)]
    pub(crate) failing: Failing,
    #[command(flatten)]
    pub(crate) set: Set,
}

/// What makes the exit code 1.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Failing {
    /// End with exit code 1 also for this, which is an answer otherwise: a file that its engine rejected
    #[arg(long, value_enum, value_name = "ENDING")]
    pub(crate) fail_on: Option<FailOn>,
}

impl Failing {
    /// Whether a rejected file does.
    pub(crate) fn rejected(self) -> bool {
        matches!(self.fail_on, Some(FailOn::Rejected))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    Rejected,
}

/// Parameters of the engine.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Set a parameter of the engine; may be given several times. VALUE is what the engine says that the parameter is: a number,
    /// a boolean, an item of a list (then NAME may come several times), or a text
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Set a parameter of the engine to the text in a file, such as a set of rules; may be given several times
    #[arg(long = "param-file", value_name = "NAME=FILE", value_parser = name_and_file)]
    pub(crate) param_files: Vec<(String, String)>,
    /// Set the engine's parameters as the JSON object in FILE says; --param and --param-file go before it
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Journal {
    /// Put a journal that cannot be used any more aside, and begin another with what can still be read in it
    New,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Print the public key: whom results are sealed for
    Show,
    /// Print the secret key, as the `age` tool reads it
    Export,
    /// Make a key where the former is gone for good; results that were sealed for that one cannot be opened any more
    New {
        /// Take the place of another key; results sealed for that one can then only be opened with a copy of it
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        store: Store,
    },
    /// Take over a secret key, from a file or, with `-`, from standard input
    Import {
        /// File with the key, or `-`
        file: PathBuf,
        /// Take the place of another key; results sealed for that one can then only be opened with a copy of it
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        store: Store,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
