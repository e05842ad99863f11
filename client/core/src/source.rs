//! One file on disk: its name as bytes, what tells two versions of it apart, and how it is opened.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use filemill_seal::{NAME_MAX_BYTES, UploadId};

/// A file's clock may stand still for this long between two changes (the granularity of FAT, the coarsest in use), so that
/// equal times of such an age prove nothing.
const CLOCK_GRAIN_NS: i64 = 2_000_000_000;

/// What tells two versions of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileStat {
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    pub(crate) changed_ns: i64,
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

/// A file to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// Its name in the header: the path below what the user named.
    pub(crate) name: Vec<u8>,
    /// As it was when it was found.
    pub(crate) stat: FileStat,
    /// When that was, by the wall clock.
    pub(crate) seen_ns: i64,
    /// How often it was sent before and changed meanwhile.
    pub(crate) attempt: u32,
    /// Where it was sent before.
    pub(crate) replaces: Option<(UploadId, u32)>,
}

impl FileStat {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;

            let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
            Self {
                size: metadata.size(),
                modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
                inode: metadata.ino(),
                device: metadata.dev(),
            }
        }
        #[cfg(not(unix))]
        {
            let modified_ns = metadata.modified().map_or(0, wall_clock_ns);
            Self { size: metadata.len(), modified_ns, changed_ns: modified_ns, inode: 0, device: 0 }
        }
    }

    /// Whether an equal stat later proves that the file is the same, given that this one was taken at `seen_ns`.
    pub(crate) fn is_settled_at(&self, seen_ns: i64) -> bool {
        self.changed_ns.max(self.modified_ns).saturating_add(CLOCK_GRAIN_NS) <= seen_ns
    }
}

impl Found {
    /// The file at the absolute `path`, named `name`.
    ///
    /// # Errors
    ///
    /// Says, for people, why it is none that could be analysed.
    pub(crate) fn at(path: PathBuf, name: Vec<u8>, metadata: &Metadata) -> Result<Self, String> {
        if let Some(kind) = what_else(metadata) {
            return Err(kind.to_owned());
        }
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(format!("its path below the folder has {} bytes, more than {NAME_MAX_BYTES}", name.len()));
        }
        Ok(Self { path, name, stat: FileStat::of(metadata), seen_ns: now_ns(), attempt: 0, replaces: None })
    }
}

/// What this is, if it is no regular file.
pub(crate) fn what_else(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return None;
    }
    if kind.is_dir() {
        return Some("it is a folder");
    }
    if kind.is_symlink() {
        return Some("it is a symbolic link, which is not followed");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;

        if kind.is_fifo() {
            return Some("it is a named pipe");
        }
        if kind.is_socket() {
            return Some("it is a socket");
        }
        if kind.is_block_device() || kind.is_char_device() {
            return Some("it is a device");
        }
    }
    Some("it is no regular file")
}

/// Opens a regular file for reading. Follows no symbolic link in the last place, and never waits for a writer of a pipe
/// that took the file's place.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, FileStat)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits() as i32);
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    match what_else(&metadata) {
        None => Ok((file, FileStat::of(&metadata))),
        Some(kind) => Err(io::Error::new(io::ErrorKind::InvalidInput, kind)),
    }
}

/// A path as the bytes that the system has.
pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// The path of bytes that [`path_bytes`] made.
pub(crate) fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    {
        PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A path as it may be shown on a terminal or in a log: bytes that are no UTF-8 and control characters are escaped.
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_disguise(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Text of a server or an engine, without anything that a terminal would obey, or that would show it in another order.
pub fn shown_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_disguise(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Marks that nobody sees and that make text look like another: they change its order, or tell two names apart that look the
/// same. Variation selectors are none of them: they only choose between two shapes of the character before them.
fn is_disguise(character: char) -> bool {
    matches!(
        character,
        // The Arabic letter mark, and the Mongolian vowel separator.
        '\u{61c}' | '\u{180e}'
        // Zero-width space and joiners; left-to-right and right-to-left marks.
        | '\u{200b}'..='\u{200f}'
        // Separators of lines and paragraphs; embeddings and overrides.
        | '\u{2028}'..='\u{202e}'
        // Word joiner, invisible operators, isolates, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        // The byte order mark, and interlinear annotations.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        // Tags: a whole hidden text.
        | '\u{e0000}'..='\u{e007f}'
    )
}

/// The wall clock, in nanoseconds since 1970-01-01 UTC.
pub(crate) fn now_ns() -> i64 {
    wall_clock_ns(SystemTime::now())
}

/// The wall clock, in seconds since 1970-01-01 UTC.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn wall_clock_ns(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_is_shown_without_anything_a_terminal_would_obey() {
        assert_eq!(shown(Path::new("plain/naïve name")), "plain/naïve name");
        assert_eq!(shown(Path::new("a\nb\u{1b}[2J")), "a\\nb\\u{1b}[2J");
        assert_eq!(shown(Path::new("x\u{202e}fdp.exe")), "x\\u{202e}fdp.exe");
        assert_eq!(shown(Path::new(OsStr::from_bytes(b"caf\xe9"))), "caf\\xe9");
    }

    #[test]
    fn no_mark_that_nobody_sees_is_shown_as_it_is() {
        let hidden = [
            0x00..=0x1f,
            0x7f..=0x9f,
            0x61c..=0x61c,
            0x180e..=0x180e,
            0x200b..=0x200f,
            0x2028..=0x202e,
            0x2060..=0x206f,
            0xfeff..=0xfeff,
            0xfff9..=0xfffb,
            0xe0000..=0xe007f,
        ];
        for code in hidden.into_iter().flatten() {
            let text = format!("a{}b", char::from_u32(code).unwrap());
            let escaped = match code {
                0x09 => "a\\tb".to_owned(),
                0x0a => "a\\nb".to_owned(),
                0x0d => "a\\rb".to_owned(),
                _ => format!("a\\u{{{code:x}}}b"),
            };
            assert_eq!(shown_text(&text), escaped);
            assert_eq!(shown(Path::new(&text)), escaped);
        }
        // No-break space, Hebrew, an emoji with its variation selector, accents that combine.
        for text in ["a\u{a0}b", "שלום", "\u{2764}\u{fe0f}", "e\u{301}", "naïve ✓", "漢字"] {
            assert_eq!(shown_text(text), text);
            assert_eq!(shown(Path::new(text)), text);
        }
    }

    #[test]
    fn bytes_and_paths_are_the_same() {
        let bytes = b"/a\xff/\nb".to_vec();
        assert_eq!(path_bytes(&path_from_bytes(bytes.clone())), bytes);
    }

    #[test]
    fn a_pipe_or_link_in_the_place_of_a_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(open_regular(&pipe).unwrap_err().to_string(), "it is a named pipe");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("link", &link).unwrap();
        assert!(open_regular(&link).is_err());
    }

    #[test]
    fn a_stat_proves_nothing_while_the_clock_may_stand_still() {
        let stat = FileStat { size: 0, modified_ns: 10_000_000_000, changed_ns: 10_000_000_000, inode: 1, device: 1 };
        assert!(!stat.is_settled_at(11_000_000_000));
        assert!(stat.is_settled_at(12_000_000_000));
    }
}
