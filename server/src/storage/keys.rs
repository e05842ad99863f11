//! Object keys: content-addressed, and built only from parts that were checked.

use std::fmt;

/// The key of one object.
///
/// There is no way to make one from a free text, so that no identifier that came from outside can name an object of
/// another upload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// The keys that uploads leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Headers and chunks.
    Uploads,
    /// Results that were too large for a row.
    Results,
}

impl Area {
    /// Every key of the area starts with this.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Uploads => "uploads/",
            Self::Results => "results/",
        }
    }
}

/// An identifier that may not stand in a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}")]
pub struct InvalidKey {
    value: String,
    expected: &'static str,
}

impl InvalidKey {
    /// Shown to whoever sent it: cut, so that an answer does not grow with what was sent.
    fn new(value: &str, expected: &'static str) -> Self {
        Self { value: crate::shown::shown(value), expected }
    }
}

impl ObjectKey {
    /// `uploads/{upload}/header/{sha256}`: a sealed header.
    ///
    /// # Errors
    /// The id is not 32, or the digest not 64, lower-case hex characters.
    pub fn header(upload: &str, sha256: &str) -> Result<Self, InvalidKey> {
        Ok(Self(format!("uploads/{}/header/{}", upload_id(upload)?, digest(sha256)?)))
    }

    /// `uploads/{upload}/{sequence}/{sha256}`: a sealed chunk.
    ///
    /// # Errors
    /// The id is not 32, or the digest not 64, lower-case hex characters.
    pub fn chunk(upload: &str, sequence: u32, sha256: &str) -> Result<Self, InvalidKey> {
        Ok(Self(format!("uploads/{}/{sequence}/{}", upload_id(upload)?, digest(sha256)?)))
    }

    /// `results/{upload}/{index}/{fence}/{sha256}`: a sealed result. The fence keeps what a processor with a lost lease
    /// stores apart from what counts.
    ///
    /// # Errors
    /// The id is not 32, or the digest not 64, lower-case hex characters; or the fence is negative.
    pub fn result(upload: &str, index: u32, fence: i64, sha256: &str) -> Result<Self, InvalidKey> {
        let fence =
            u64::try_from(fence).map_err(|_| InvalidKey::new(&fence.to_string(), "a fence, which is not negative"))?;
        Ok(Self(format!("results/{}/{index}/{fence}/{}", upload_id(upload)?, digest(sha256)?)))
    }

    /// `releases/{digest}`: the component of a release.
    ///
    /// # Errors
    /// The digest is not 64 lower-case hex characters.
    pub fn release(sha256: &str) -> Result<Self, InvalidKey> {
        Ok(Self(format!("releases/{}", digest(sha256)?)))
    }

    /// `components/{digest}.{pool}`: a component that a node of the pool brought. Each pool has its own, so that to name a digest
    /// is not to have the component of another pool.
    ///
    /// # Errors
    /// The digest is not 64 lower-case hex characters, or the pool's name not 1 to 64 of `[A-Za-z0-9._-]`.
    pub fn component(pool: &str, sha256: &str) -> Result<Self, InvalidKey> {
        let is_name = (1..=64).contains(&pool.len())
            && pool.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_name {
            return Err(InvalidKey::new(pool, "a pool's name, which is 1 to 64 characters of [A-Za-z0-9._-]"));
        }
        Ok(Self(format!("components/{}.{pool}", digest(sha256)?)))
    }

    /// Reads a key that storage listed, or that was written down before.
    ///
    /// # Errors
    /// It is not of one of the forms above.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let foreign = || InvalidKey::new(text, "a key of filemill's");
        let number = |part: &str| part.parse::<u32>().map_err(|_| foreign());
        let key = match *text.split('/').collect::<Vec<_>>().as_slice() {
            ["uploads", upload, "header", sha256] => Self::header(upload, sha256),
            ["uploads", upload, sequence, sha256] => Self::chunk(upload, number(sequence)?, sha256),
            ["results", upload, index, fence, sha256] => {
                Self::result(upload, number(index)?, fence.parse().map_err(|_| foreign())?, sha256)
            }
            ["releases", sha256] => Self::release(sha256),
            ["components", name] => {
                let (sha256, pool) = name.split_once('.').ok_or_else(foreign)?;
                Self::component(pool, sha256)
            }
            _ => return Err(foreign()),
        }?;
        // One key has one text: no leading zeros, no signs.
        if key.0 == text { Ok(key) } else { Err(foreign()) }
    }

    /// As storage knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is exactly `length` lower-case hex characters.
fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn upload_id(text: &str) -> Result<&str, InvalidKey> {
    check(text, 32, "an upload id, which is 32 lower-case hex characters")
}

fn digest(text: &str) -> Result<&str, InvalidKey> {
    check(text, 64, "a SHA-256, which is 64 lower-case hex characters")
}

fn check<'a>(text: &'a str, length: usize, expected: &'static str) -> Result<&'a str, InvalidKey> {
    if is_lower_hex(text, length) {
        return Ok(text);
    }
    Err(InvalidKey::new(text, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOAD: &str = "00112233445566778899aabbccddeeff";
    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn keys_have_the_documented_form() -> Result<(), InvalidKey> {
        assert_eq!(ObjectKey::header(UPLOAD, DIGEST)?.as_str(), format!("uploads/{UPLOAD}/header/{DIGEST}"));
        assert_eq!(ObjectKey::chunk(UPLOAD, 7, DIGEST)?.as_str(), format!("uploads/{UPLOAD}/7/{DIGEST}"));
        assert_eq!(ObjectKey::result(UPLOAD, 3, 9, DIGEST)?.as_str(), format!("results/{UPLOAD}/3/9/{DIGEST}"));
        assert_eq!(ObjectKey::release(DIGEST)?.as_str(), format!("releases/{DIGEST}"));
        assert_eq!(ObjectKey::component("a.b", DIGEST)?.as_str(), format!("components/{DIGEST}.a.b"));
        Ok(())
    }

    #[test]
    fn nothing_but_lower_hex_enters_a_key() {
        for id in [
            "",
            "..",
            "../../../../../../../../../../..",
            "00112233445566778899AABBCCDDEEFF",
            "0011",
            "00112233445566778899aabbccddee\0f",
        ] {
            assert!(ObjectKey::header(id, DIGEST).is_err(), "{id}");
        }
        assert!(ObjectKey::release("../secret").is_err());
        for pool in ["", "a/b", "a b", "\0", "ä"] {
            assert!(ObjectKey::component(pool, DIGEST).is_err(), "{pool}");
        }
        assert!(ObjectKey::result(UPLOAD, 0, -1, DIGEST).is_err());
    }

    #[test]
    fn a_key_is_read_back_from_its_text_and_nothing_else_is() -> Result<(), InvalidKey> {
        for key in [
            ObjectKey::header(UPLOAD, DIGEST)?,
            ObjectKey::chunk(UPLOAD, 0, DIGEST)?,
            ObjectKey::result(UPLOAD, 3, 9, DIGEST)?,
            ObjectKey::release(DIGEST)?,
            ObjectKey::component("..", DIGEST)?,
        ] {
            assert_eq!(ObjectKey::parse(key.as_str())?, key);
        }
        for text in [
            String::new(),
            format!("uploads/{UPLOAD}/007/{DIGEST}"),
            format!("uploads/{UPLOAD}/+7/{DIGEST}"),
            format!("uploads/{UPLOAD}/7/{DIGEST}/"),
            format!("uploads//{UPLOAD}/7/{DIGEST}"),
            format!("releases/../{DIGEST}"),
        ] {
            assert!(ObjectKey::parse(&text).is_err(), "{text}");
        }
        Ok(())
    }
}
