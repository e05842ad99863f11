//! A result as text: its authenticator on the first line, its fields on the second.

use std::io;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use super::error::ResultError;
use super::wire::{Place, Written};
use super::{ResultBody, body};
use crate::bounds::RESULT_MAX_BYTES;
use crate::format::Format;

/// First line: this, 64 hex characters, a line feed.
const fn magic(format: Format) -> &'static [u8; MAGIC_BYTES] {
    match format {
        Format::One => b"filemill-result/1 ",
        Format::Two => b"filemill-result/2 ",
    }
}

const MAGIC_BYTES: usize = 18;
const TAG_CHARACTERS: usize = 64;

/// Bytes of the first line, its line feed among them.
pub(super) const FIRST_LINE_BYTES: usize = MAGIC_BYTES + TAG_CHARACTERS + 1;

/// The text of a result: of format 2 where it has a place in a batch.
pub(super) fn write(body: &ResultBody, place: Option<Place>, key: &hmac::Key) -> Result<Vec<u8>, ResultError> {
    body::check(body)?;
    let format = if place.is_some() { Format::Two } else { Format::One };
    // Room for the first line, which is written last.
    let mut text = vec![0; FIRST_LINE_BYTES];
    serde_json::to_writer(&mut text, &Written::of(body, place)).map_err(ResultError::malformed)?;
    if text.len() > RESULT_MAX_BYTES {
        return Err(ResultError::TooLong { found: text.len() });
    }
    let first_line = first_line(&text[FIRST_LINE_BYTES..], key, format);
    text[..FIRST_LINE_BYTES].copy_from_slice(&first_line);
    Ok(text)
}

/// Bytes of the text of a result of format 1, whether or not it can be one.
pub(super) fn bytes(body: &ResultBody) -> usize {
    let mut counted = Counted(FIRST_LINE_BYTES);
    // What cannot be written `write` refuses.
    let _ = serde_json::to_writer(&mut counted, &Written::of(body, None));
    counted.0
}

/// Counts what is written, and keeps none of it.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first line of a result whose JSON is `body`, with its line feed: [`FIRST_LINE_BYTES`] bytes.
pub(super) fn first_line(body: &[u8], key: &hmac::Key, format: Format) -> Vec<u8> {
    let tag = hmac::sign(key, body);
    [magic(format), HEXLOWER.encode(tag.as_ref()).as_bytes(), b"\n"].concat()
}

/// The format and the authenticator on the first line; `None` if the text does not start as a result does.
pub(super) fn read_first_line(text: &[u8]) -> Option<(Format, [u8; 32])> {
    let (first_line, _) = text.split_at_checked(FIRST_LINE_BYTES)?;
    let format = Format::ALL.into_iter().find(|format| first_line.starts_with(magic(*format)))?;
    let hex = first_line[MAGIC_BYTES..].strip_suffix(b"\n")?;
    let mut tag = [0; 32];
    HEXLOWER.decode_mut(hex, &mut tag).ok()?;
    Some((format, tag))
}
