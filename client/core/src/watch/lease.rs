//! Asking the system whether anybody on this machine has a file open for writing, whoever that is and wherever it runs.
//!
//! A read lease is refused while somebody has the file open for writing or mapped so, in other namespaces and of other users, too.
//! It is let go of at once: whoever opens the file for writing meanwhile is kept waiting for some microseconds.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use libc::c_int;

/// Which signal tells the holder of a lease, of `asm-generic/fcntl.h`.
const F_SETSIG: c_int = 10;

/// Whether nobody has `file`, which is open for reading only, open for writing; `None` if there can be no lease, for this user or on
/// this file system.
pub(super) fn is_unwritten(file: &File) -> Option<bool> {
    // Whoever breaks a lease has its holder told by a signal, of which the usual one would end this program.
    if control(file, F_SETSIG, libc::SIGURG).is_err() {
        return None;
    }
    match control(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => {
            // Closing the file lets go of it, too.
            let _ = control(file, libc::F_SETLEASE, libc::F_UNLCK);
            Some(true)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(false),
        Err(_) => None,
    }
}

fn control(file: &File, command: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and these commands take a number, no pointer.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, value) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lease_is_refused_as_long_as_somebody_writes_and_keeps_nobody_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let writer = File::create(&path).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(is_unwritten(&file), Some(false));
        drop(writer);
        for _ in 0..100 {
            assert_eq!(is_unwritten(&file), Some(true));
            // It would wait for 45 seconds.
            fs::write(&path, "1").unwrap();
        }
    }
}
