//! The folder of a processor that joined a server by a one-time code: all that it needs to run again.
//!
//! ```text
//! DIR/                0700
//!   joined.json       the server, and where presigned URLs may point to
//!   token             what the code gave
//!   joining.json      until somebody has seen what a code gave: by which bytes the redeemer is known again, and which pool was made
//!                     meanwhile
//!   pool/             the pool's folder
//!   engines/          engines of the processor's own: a component that is copied there is offered
//!   cache/            compiled engines
//! ```
//!
//! `joined.json` is written last: with it there is a token, and the pool's keys.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::NodeError;
use crate::net::Token;
use crate::pool::PoolFolderError;
use crate::pool::secret_file::{check_private, io_error, make_folder, read, replace};

const JOINED: &str = "joined.json";
const TOKEN: &str = "token";
const JOINING: &str = "joining.json";
const ENGINES: &str = "engines";

/// A processor's folder, which its owner alone may read.
#[derive(Clone, Debug)]
pub struct ProcessorFolder {
    dir: PathBuf,
}

/// What a processor joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// Version of this file, 1.
    filemill_joined: u32,
    /// The server.
    pub server: Url,
    /// Origins that presigned URLs may point to.
    pub storage_origins: Vec<String>,
    /// SHA-256 of the code, hex: by which a second paste of the same line is known.
    code: String,
}

/// A code that is being redeemed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Joining {
    /// SHA-256 of the code, hex.
    code: String,
    /// 32 random bytes, hex.
    redeemer: String,
    /// The root of the pool whose keys were made here, hex, until the server has taken it: others may have made the pool before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<String>,
}

impl ProcessorFolder {
    /// The folder `dir`, or the user's own for a processor if it is `None`. It need not be there.
    ///
    /// # Errors
    ///
    /// [`PoolFolderError::Io`] where the user has no folder of their own.
    pub fn at(dir: Option<PathBuf>) -> Result<Self, PoolFolderError> {
        let dir = match dir {
            Some(dir) => dir,
            None => own_folder().ok_or_else(|| PoolFolderError::Io {
                path: PathBuf::from("HOME"),
                source: std::io::Error::other("it is not set, and no folder is named"),
            })?,
        };
        Ok(Self { dir })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file with the token.
    pub fn token(&self) -> PathBuf {
        self.dir.join(TOKEN)
    }

    /// The folder of the pool.
    pub fn pool(&self) -> PathBuf {
        self.dir.join("pool")
    }

    /// The folder of compiled engines.
    pub fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// Makes it, and the folder of engines in it, if they are not there.
    ///
    /// # Errors
    ///
    /// [`PoolFolderError`] if others can read it, or what the file system says.
    pub fn make(&self) -> Result<(), PoolFolderError> {
        make_folder(&self.dir)?;
        let engines = self.dir.join(ENGINES);
        // Who may write to one that is there is asked where engines are taken from it.
        if engines.exists() { Ok(()) } else { make_folder(&engines) }
    }

    /// Reads the token.
    ///
    /// # Errors
    ///
    /// [`NodeError::Pool`] if others can read it, [`NodeError::Token`] where the file is not there or holds no token.
    pub fn read_token(&self) -> Result<Token, NodeError> {
        let path = self.token();
        if path.exists() {
            check_private(&path)?;
        }
        Ok(Token::read(&path)?)
    }

    /// What the processor joined; `None` if it did not.
    ///
    /// # Errors
    ///
    /// [`PoolFolderError`] if others can read it, or the folder, or it is malformed.
    pub fn joined(&self) -> Result<Option<Joined>, PoolFolderError> {
        let Some(joined) = self.read_json::<Joined>(JOINED)? else { return Ok(None) };
        check_private(&self.dir)?;
        if joined.filemill_joined != 1 {
            let detail = format!("it has version {}, this program reads version 1", joined.filemill_joined);
            return Err(PoolFolderError::Malformed { path: self.dir.join(JOINED), detail });
        }
        Ok(Some(joined))
    }

    /// Makes the folder, and keeps other programs from joining in it until the file is dropped; `None` where another does just now.
    pub(crate) fn lock(&self) -> Result<Option<File>, PoolFolderError> {
        self.make()?;
        let file = File::open(&self.dir).map_err(io_error(&self.dir))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io_error(&self.dir)(error)),
        }
    }

    /// The bytes by which the redeemer of this code is known again, hex: those of an earlier attempt, or new ones, which are on the
    /// disk before anybody is asked.
    pub(crate) fn redeemer(&self, code_sha256: &str) -> Result<String, PoolFolderError> {
        let before = self.read_json::<Joining>(JOINING)?;
        if let Some(joining) = before.as_ref().filter(|joining| joining.code == code_sha256) {
            return Ok(joining.redeemer.clone());
        }
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PoolFolderError::Io {
            path: self.dir.join(JOINING),
            source: std::io::Error::other("the operating system gave no random bytes"),
        })?;
        let joining = Joining {
            code: code_sha256.to_owned(),
            redeemer: HEXLOWER.encode(&bytes),
            made: before.and_then(|before| before.made),
        };
        self.write_json(JOINING, &joining)?;
        Ok(joining.redeemer)
    }

    /// The root of the pool that was made here while a code is redeemed, hex.
    pub(crate) fn made(&self) -> Result<Option<String>, PoolFolderError> {
        Ok(self.read_json::<Joining>(JOINING)?.and_then(|joining| joining.made))
    }

    /// Notes that this pool is made here, before it is there.
    pub(crate) fn note_made(&self, root: &str) -> Result<(), PoolFolderError> {
        let Some(joining) = self.read_json::<Joining>(JOINING)? else { return Ok(()) };
        self.write_json(JOINING, &Joining { made: Some(root.to_owned()), ..joining })
    }

    /// Keeps what a code gave. The code for a person, which may have come along, is not among it.
    pub(crate) fn keep(&self, token: &Token, joined: &Joined) -> Result<(), PoolFolderError> {
        replace(&self.dir, TOKEN, &format!("{}\n", token.expose()))?;
        self.write_json(JOINED, joined)
    }

    /// Whether it is not known yet that anybody has seen what this code gave.
    pub(crate) fn is_redeeming(&self, code_sha256: &str) -> Result<bool, PoolFolderError> {
        Ok(self.read_json::<Joining>(JOINING)?.is_some_and(|joining| joining.code == code_sha256))
    }

    /// Forgets by which bytes the redeemer is known.
    pub(crate) fn forget_redeemer(&self) -> Result<(), PoolFolderError> {
        let joining = self.dir.join(JOINING);
        match fs::remove_file(&joining) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(io_error(&joining)),
        }
    }

    /// Keeps what is to be known of the server from now on.
    pub(crate) fn set(&self, joined: &Joined) -> Result<(), PoolFolderError> {
        self.write_json(JOINED, joined)
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, PoolFolderError> {
        let path = self.dir.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let text = read(&path)?;
        let malformed = |error: serde_json::Error| PoolFolderError::Malformed { path, detail: error.to_string() };
        serde_json::from_str(&text).map(Some).map_err(malformed)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), PoolFolderError> {
        let text = serde_json::to_string_pretty(value).expect("strings and numbers are valid JSON");
        replace(&self.dir, name, &format!("{text}\n"))
    }
}

impl Joined {
    pub(crate) fn new(server: Url, storage_origins: Vec<String>, code_sha256: String) -> Self {
        Self { filemill_joined: 1, server, storage_origins, code: code_sha256 }
    }

    /// Whether it was this code by which the processor joined.
    pub(crate) fn is_by(&self, code_sha256: &str) -> bool {
        self.code == code_sha256
    }
}

fn own_folder() -> Option<PathBuf> {
    let xdg = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| Some(env::home_dir()?.join(".local/state"))).map(|folder| folder.join("filemill/processor"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_processor_keeps_is_its_owners_and_the_bytes_of_a_redeemer_outlive_a_crash() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = ProcessorFolder::at(Some(dir.path().join("processor"))).expect("a folder");
        assert_eq!(folder.joined().expect("nothing yet"), None);
        let lock = folder.lock().expect("made").expect("nobody else joins");
        assert!(folder.lock().expect("made").is_none(), "one at a time");
        let first = folder.redeemer("a").expect("bytes");
        assert_eq!(folder.redeemer("a").expect("bytes"), first);
        assert_ne!(folder.redeemer("b").expect("bytes"), first, "another code is another's");
        let server: Url = "http://127.0.0.1:1".parse().expect("a URL");
        let joined = Joined::new(server, vec!["http://127.0.0.1:2".into()], "b".into());
        folder.keep(&Token::from("fm_p_secret".to_owned()), &joined).expect("kept");
        assert!(folder.is_redeeming("b").expect("read"), "nobody has seen it yet");
        folder.forget_redeemer().expect("forgotten");
        folder.forget_redeemer().expect("twice is once");
        drop(lock);
        assert_eq!(folder.joined().expect("read"), Some(joined));
        assert_eq!(fs::read_to_string(folder.token()).expect("the token"), "fm_p_secret\n");
        let names: Vec<_> = fs::read_dir(folder.dir()).expect("read").map(|entry| entry.expect("entry")).collect();
        let names: Vec<_> = names.into_iter().filter(|entry| entry.file_name() != ENGINES).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        for entry in names {
            assert_eq!(entry.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(folder.dir()).expect("metadata").permissions().mode() & 0o777, 0o700);
    }
}
