//! Reading a rule file. Whoever can write to the folder can put anything in its place: a pipe that nobody writes to, a link to
//! an endless device, a file of many gigabytes.

use std::io::{self, Read};
use std::path::Path;

use crate::error::io_detail;
use crate::tree::Tree;

/// Longest rule file, in bytes. Those of large projects have a few hundred lines.
pub(crate) const RULE_FILE_MAX_BYTES: u64 = 256 << 10;

/// The text of the rule file at `below`, empty if there is no such file.
///
/// # Errors
///
/// Says, for people, why it is not read: it is no regular file, a link, longer than [`RULE_FILE_MAX_BYTES`], or what the system
/// says.
pub(crate) fn read_rule_file(tree: &Tree, below: &Path) -> Result<Vec<u8>, String> {
    let file = match tree.open(below) {
        Ok((file, stat)) if stat.size <= RULE_FILE_MAX_BYTES => file,
        Ok(_) => return Err(too_long()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_detail(&error)),
    };
    let mut bytes = Vec::new();
    // It may grow meanwhile, and what is in /proc has no length.
    file.take(RULE_FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| io_detail(&error))?;
    if bytes.len() as u64 > RULE_FILE_MAX_BYTES {
        return Err(too_long());
    }
    // As git does.
    Ok(bytes.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(bytes))
}

fn too_long() -> String {
    format!("it is longer than {} KiB", RULE_FILE_MAX_BYTES >> 10)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tree::LINK;

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
        assert_eq!(read("pipe"), Err("it is a named pipe".to_owned()));
        symlink("/dev/zero", path.join("endless")).unwrap();
        symlink("rules", path.join("link")).unwrap();
        assert_eq!((read("endless"), read("link")), (Err(LINK.to_owned()), Err(LINK.to_owned())));
        fs::create_dir(path.join("folder")).unwrap();
        assert_eq!(read("folder"), Err("it is a folder".to_owned()));
        fs::File::create(path.join("long")).unwrap().set_len(50 << 30).unwrap();
        assert_eq!(read("long"), Err("it is longer than 256 KiB".to_owned()));
        fs::File::create(path.join("longest")).unwrap().set_len(RULE_FILE_MAX_BYTES).unwrap();
        assert!(read("longest").is_ok());
    }
}
