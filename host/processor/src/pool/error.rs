//! Why a pool's folder cannot be made, read or changed.

use std::io;
use std::path::PathBuf;

use filemill_seal::PoolError;

/// Why a pool's folder cannot be made, read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolFolderError {
    /// There is a pool already, or a part of one.
    #[error("`{}` already holds a pool (`{file}`)", .dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
        /// The file that is in the way.
        file: &'static str,
    },
    /// There is something else where a pool is to be made.
    #[error("`{}` is not empty, and holds no pool", .dir.display())]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no pool.
    #[error("`{}` holds no pool: `pool.json` is missing", .dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// Others than its owner can read or write it.
    #[error("`{}` can be read or written by others than its owner (mode {mode:04o})", .path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that was changed by hand or by another version.
    #[error("`{}` is malformed: {detail}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The root is kept elsewhere.
    #[error("`{}` has no `root.key`, so that nothing can be signed here", .dir.display())]
    NoRoot {
        /// The folder.
        dir: PathBuf,
    },
    /// A lifetime out of range.
    #[error("a lifetime of {days} days is not 1 to 30 days")]
    Lifetime {
        /// The lifetime asked for.
        days: u32,
    },
    /// A name or a statement that no client would accept.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The file system.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl PoolFolderError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Exists { .. } => {
                "choose another folder: a pool that clients are enrolled with is never overwritten".into()
            }
            Self::NotEmpty { .. } => {
                "name a folder that is empty or not there: a pool is put into its place as a whole".into()
            }
            Self::Missing { dir } if dir.join("enrolment.json").exists() || dir.join("root.key").exists() => {
                "there was one: restore the folder from your secret store".into()
            }
            Self::Missing { .. } => "make one with `filemill-processor pool init --dir DIR --name NAME`".into(),
            Self::Exposed { path, .. } => format!("chmod go= {}", path.display()),
            Self::Malformed { .. } => "restore the folder from your secret store".into(),
            Self::NoRoot { .. } => "run `pool renew` where the root is kept, then copy the folder without it".into(),
            Self::Lifetime { .. } => "7 days is a good lifetime".into(),
            Self::Pool(error) => error.hint(),
            Self::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                "make room on the disk, and run the same line again: nothing was lost".into()
            }
            Self::Io { .. } => "check that the folder exists, and who owns it".into(),
        }
    }
}
