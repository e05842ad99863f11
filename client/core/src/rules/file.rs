//! Reading a rule file. Whoever can write to the folder can put anything in its place: a pipe that nobody writes to, a link to
//! an endless device, a file of many gigabytes.

use std::io::{self, Read};
use std::path::Path;

use crate::error::io_detail;
use crate::tree::{Tree, is_absent, link_met};

/// Longest rule file, in bytes. Those of large projects have a few hundred lines; git takes any, and a list of names may be long.
pub(crate) const RULE_FILE_MAX_BYTES: u64 = 4 << 20;

/// Why a rule file is not read, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// Because of what it is, as long as it is that: no regular file, a link, too long.
    Refused(String),
    /// This user may not.
    Denied(String),
    /// The system cannot read it now: too many files are open, a disk or a network does not answer, …
    Now(String),
}

impl NotRead {
    pub(crate) fn of(error: io::Error) -> Self {
        let reason = io_detail(&error);
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied(reason),
            // Whoever opens it says so of what is no regular file.
            io::ErrorKind::InvalidInput => Self::Refused(reason),
            _ if link_met(&error).is_some() => Self::Refused(reason),
            _ => Self::Now(reason),
        }
    }
}

/// The text of the rule file at `below`, empty if there is no such file.
///
/// # Errors
///
/// [`NotRead::Refused`] for what is no regular file, a link, or longer than [`RULE_FILE_MAX_BYTES`]; else what the system says.
pub(crate) fn read_rule_file(tree: &Tree, below: &Path) -> Result<Vec<u8>, NotRead> {
    let file = match tree.open(below) {
        Ok((file, stat)) if stat.size <= RULE_FILE_MAX_BYTES => file,
        Ok(_) => return Err(too_long()),
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(NotRead::of(error)),
    };
    let mut bytes = Vec::new();
    // It may grow meanwhile, and what is in /proc has no length.
    file.take(RULE_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(NotRead::of)?;
    if bytes.len() as u64 > RULE_FILE_MAX_BYTES {
        return Err(too_long());
    }
    // As git does.
    Ok(bytes.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(bytes))
}

fn too_long() -> NotRead {
    NotRead::Refused(format!("it is longer than {} MiB", RULE_FILE_MAX_BYTES >> 20))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::stat::LINK;

    #[test]
    fn only_a_short_regular_file_is_read_and_nothing_else_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        let tree = Tree::at(&path).unwrap();
        let read = |name: &str| read_rule_file(&tree, Path::new(name));
        assert_eq!(read("none"), Ok(Vec::new()));
        fs::write(path.join("rules"), b"\xef\xbb\xbf*.log\r\n\xff\n!keep.log\n").unwrap();
        assert_eq!(read("rules"), Ok(b"*.log\r\n\xff\n!keep.log\n".to_vec()));
        rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let refused = |reason: &str| Err(NotRead::Refused(reason.to_owned()));
        assert_eq!(read("pipe"), refused("it is a named pipe"));
        symlink("/dev/zero", path.join("endless")).unwrap();
        symlink("rules", path.join("link")).unwrap();
        assert_eq!((read("endless"), read("link")), (refused(LINK), refused(LINK)));
        fs::create_dir(path.join("folder")).unwrap();
        assert_eq!(read("folder"), refused("it is a folder"));
        fs::File::create(path.join("long")).unwrap().set_len(50 << 30).unwrap();
        assert_eq!(read("long"), refused("it is longer than 4 MiB"));
        fs::File::create(path.join("longest")).unwrap().set_len(RULE_FILE_MAX_BYTES).unwrap();
        assert!(read("longest").is_ok());
    }
}
