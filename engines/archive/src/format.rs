//! Which kind of archive it is, by its first bytes.

use tar::Header;

/// How many bytes tell: a tar's first header.
pub(crate) const HEAD_BYTES: usize = 512;

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Zip,
    Gzip,
    Tar,
}

/// What `head`, the first bytes, are of. A zip may also begin with something else, such as a program: that shows at its end.
pub(crate) fn of(head: &[u8]) -> Option<Format> {
    match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Format::Zip),
        [0x1f, 0x8b, 8, ..] => Some(Format::Gzip),
        _ => head.get(..HEAD_BYTES).and_then(is_tar_header).map(|()| Format::Tar),
    }
}

/// Whether `block`, of 512 bytes, is the header of a tar's entry: its sum is right. Old tars have no other mark.
pub(crate) fn is_tar_header(block: &[u8]) -> Option<()> {
    let header = Header::from_byte_slice(block);
    let mut summed = header.clone();
    summed.set_cksum();
    let is_empty = block.iter().all(|&byte| byte == 0);
    (!is_empty && header.cksum().ok()? == summed.cksum().ok()?).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        assert_eq!(of(b"PK\x03\x04..."), Some(Format::Zip));
        assert_eq!(of(b"PK\x05\x06"), Some(Format::Zip));
        assert_eq!(of(b"\x1f\x8b\x08\x00"), Some(Format::Gzip));
        for mut header in [Header::new_gnu(), Header::new_old(), Header::new_ustar()] {
            header.set_path("a").expect("short");
            header.set_size(0);
            assert_eq!(of(header.as_bytes()), None, "no sum yet");
            header.set_cksum();
            assert_eq!(of(header.as_bytes()), Some(Format::Tar));
        }
        assert_eq!(of(&[0; 1024]), None);
        assert_eq!(of(b"text"), None);
        assert_eq!(of(b""), None);
    }
}
