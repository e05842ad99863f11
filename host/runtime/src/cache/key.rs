//! The key that proves cache entries to be this host's own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::error::CacheError;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// Length of what [`Key::tag`] gives: nonce and tag.
pub(super) const TRAILER_BYTES: usize = NONCE_LEN + TAG_BYTES;

pub(super) struct Key(RandomizedNonceKey);

impl Key {
    /// Reads the key file, or makes it. Refuses one that is not a plain file of this user's, closed to all others.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let io_error = |action| move |source| CacheError::Io { path: path.to_owned(), action, source };
        match create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("cannot make the cache's key")(error)),
        }
        let refuse = |reason| CacheError::Unsafe { path: path.to_owned(), reason };
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)
            .map_err(|error| match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::LOOP) => refuse("the key is a symbolic link"),
                _ => io_error("cannot open the cache's key")(error),
            })?;
        let about = file.metadata().map_err(io_error("cannot look at the cache's key"))?;
        if !about.is_file() {
            return Err(refuse("the key is not a plain file"));
        }
        if about.uid() != geteuid().as_raw() {
            return Err(refuse("the key belongs to another user"));
        }
        if about.mode() & 0o077 != 0 {
            return Err(refuse("others may read or write the key"));
        }
        let mut bytes = Vec::with_capacity(KEY_BYTES + 1);
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io_error("cannot read the cache's key"))?;
        if bytes.len() != KEY_BYTES {
            return Err(refuse("the key does not have 32 bytes: delete it, and it is made anew"));
        }
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(Self).map_err(|_| refuse("the key cannot be used"))
    }

    /// A fresh nonce, and the tag over `data` with it.
    pub(super) fn tag(&self, data: &[u8]) -> io::Result<[u8; TRAILER_BYTES]> {
        let (nonce, tag) = self
            .0
            .seal_in_place_separate_tag(Aad::from(data), &mut [])
            .map_err(|_| io::Error::other("compiled code cannot be tagged"))?;
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..NONCE_LEN].copy_from_slice(nonce.as_ref());
        trailer[NONCE_LEN..].copy_from_slice(tag.as_ref());
        Ok(trailer)
    }

    /// Whether `trailer` is a tag that this key made over `data`.
    pub(super) fn verify(&self, data: &[u8], trailer: &[u8; TRAILER_BYTES]) -> bool {
        let (nonce, tag) = trailer.split_at(NONCE_LEN);
        let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else {
            return false;
        };
        let mut tag = tag.to_vec();
        self.0.open_in_place(nonce, Aad::from(data), &mut tag).is_ok()
    }
}

/// Refuses a key that lies in the folder it is to vouch for.
pub(super) fn check_outside(key_file: &Path, folder: &Path) -> Result<(), CacheError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| CacheError::Io { path, action: "cannot find the folder", source }
    };
    let parent = match key_file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io_error(parent))?;
    let parent = parent.canonicalize().map_err(io_error(parent))?;
    let folder = folder.canonicalize().map_err(io_error(folder))?;
    if parent.starts_with(folder) {
        return Err(CacheError::Unsafe { path: key_file.to_owned(), reason: "the key lies inside the cache's folder" });
    }
    Ok(())
}

/// Makes the key. It appears under its name only when it is whole: two processors that start at once agree on one.
fn create(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut key = [0; KEY_BYTES];
    let mut suffix = [0; 8];
    rand::fill(&mut key).map_err(|_| io::Error::other("no random numbers"))?;
    rand::fill(&mut suffix).map_err(|_| io::Error::other("no random numbers"))?;
    let temporary = path.with_extension(format!("{:x}.tmp", u64::from_le_bytes(suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let linked = write_whole(&mut file, &key)
        // A link, unlike a rename, does not replace a key that another has made meanwhile.
        .and_then(|()| std::fs::hard_link(&temporary, path));
    std::fs::remove_file(&temporary)?;
    linked
}

fn write_whole(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}
