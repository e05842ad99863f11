//! From bytes to text: which encoding it is, and the text piece by piece.

use std::io::Read;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use filemill_engine::Failure;

/// How many bytes are held at once.
const PIECE_BYTES: usize = 128 * 1024;

/// How many bytes an encoding is guessed from at most: from the first byte on that is not ASCII.
const SAMPLE_BYTES: usize = 64 * 1024;

/// How many bytes decide whether a file is text at all.
const HEAD_BYTES: usize = 16 * 1024;

/// What was found out about the encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Its name in the WHATWG Encoding Standard, or `ASCII` where no other byte came.
    pub(crate) encoding: &'static str,
    /// Whether the file begins with a byte order mark.
    pub(crate) byte_order_mark: bool,
    /// How many bytes were read.
    pub(crate) bytes: u64,
    /// How many sequences do not stand for a character in that encoding. Each became U+FFFD.
    pub(crate) malformed: u64,
}

/// Reads `input` to its end, and gives its text to `text`, in pieces that end anywhere between two characters.
///
/// A byte order mark decides the encoding; else UTF-16 is known by its zero bytes. What is left is ASCII until another byte
/// comes; the 64 KiB from there on are UTF-8, if they are valid as such, or what `chardetng` makes of them.
///
/// # Errors
///
/// [`Failure::Unsupported`] when the file is not text: zero bytes, or many control characters, in its first 16 KiB. Else
/// the input's.
pub(crate) fn decode(input: &mut impl Read, mut text: impl FnMut(&str)) -> Result<Decoded, Failure> {
    let mut bytes = Piece::new();
    bytes.fill(input)?;
    let head = &bytes.held()[..bytes.held().len().min(HEAD_BYTES)];
    let is_whole = bytes.at_end && head.len() == bytes.held().len();
    let marked = Encoding::for_bom(bytes.held());
    if bytes.held().starts_with(&[0xff, 0xfe, 0, 0]) || bytes.held().starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(Failure::unsupported("this is text in UTF-32, which is not read here"));
    }
    let known = marked.map(|(encoding, _)| encoding).or_else(|| utf16_without_mark(head));
    if known.is_none() && is_binary(head) {
        return Err(Failure::unsupported("this is no text: it holds zero bytes or many control characters"));
    }
    let mut decoded = Decoded { encoding: "ASCII", byte_order_mark: marked.is_some(), bytes: 0, malformed: 0 };
    let mut decoder = known.map(Transcoder::new);
    if known.is_none() && is_whole && head.is_empty() {
        return Ok(decoded);
    }
    loop {
        if decoder.is_none() {
            // As long as all is ASCII, no decoder is needed, and no encoding known.
            let ascii = Encoding::ascii_valid_up_to(bytes.held());
            let (start, rest) = bytes.held().split_at(ascii);
            text(&String::from_utf8_lossy(start));
            if !rest.is_empty() && (rest.len() >= SAMPLE_BYTES || bytes.at_end) {
                let sample = &rest[..rest.len().min(SAMPLE_BYTES)];
                decoder = Some(Transcoder::new(guess(sample, bytes.at_end && sample.len() == rest.len())));
            }
            decoded.bytes += ascii as u64;
            bytes.take(ascii);
        }
        if let Some(decoder) = &mut decoder {
            decoded.malformed += decoder.decode(bytes.held(), bytes.at_end, &mut text);
            decoded.encoding = decoder.encoding.name();
            decoded.bytes += bytes.held().len() as u64;
            bytes.take(bytes.held().len());
        }
        if bytes.at_end {
            return Ok(decoded);
        }
        bytes.fill(input)?;
    }
}

/// The bytes that were read and not yet decoded.
struct Piece {
    bytes: Vec<u8>,
    len: usize,
    at_end: bool,
}

impl Piece {
    fn new() -> Self {
        Self { bytes: vec![0; PIECE_BYTES], len: 0, at_end: false }
    }

    fn held(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Reads until there is no room, or no more to read.
    fn fill(&mut self, input: &mut impl Read) -> Result<(), Failure> {
        while self.len < self.bytes.len() {
            match input.read(&mut self.bytes[self.len..])? {
                0 => {
                    self.at_end = true;
                    break;
                }
                read => self.len += read,
            }
        }
        Ok(())
    }

    /// Lets go of the first `count` bytes.
    fn take(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
    }
}

/// A decoder, and room for what it gives.
struct Transcoder {
    encoding: &'static Encoding,
    decoder: Decoder,
    room: String,
}

impl Transcoder {
    fn new(encoding: &'static Encoding) -> Self {
        Self { encoding, decoder: encoding.new_decoder_with_bom_removal(), room: String::with_capacity(PIECE_BYTES) }
    }

    /// Decodes all of `bytes`, and says how many sequences were malformed.
    fn decode(&mut self, mut bytes: &[u8], last: bool, text: &mut impl FnMut(&str)) -> u64 {
        let mut malformed = 0;
        loop {
            self.room.clear();
            let (result, read, had_errors) = self.decoder.decode_to_string(bytes, &mut self.room, last);
            if had_errors {
                malformed += self.room.matches(char::REPLACEMENT_CHARACTER).count() as u64;
            }
            text(&self.room);
            bytes = &bytes[read..];
            if result == encoding_rs::CoderResult::InputEmpty {
                return malformed;
            }
        }
    }
}

/// Which encoding `sample` is in, which begins with a byte that is not ASCII. `last`: it ends where the file does.
fn guess(sample: &[u8], last: bool) -> &'static Encoding {
    match std::str::from_utf8(sample) {
        Ok(_) => return UTF_8,
        // A character may be cut by the sample's end.
        Err(error) if error.error_len().is_none() && !last => return UTF_8,
        Err(_) => {}
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, last);
    detector.guess(None, Utf8Detection::Allow)
}

/// UTF-16 without a byte order mark, known by its zero bytes: in text with any ASCII (spaces, at least) there are many, and
/// nearly all in the same half of the units. What is found must decode.
fn utf16_without_mark(head: &[u8]) -> Option<&'static Encoding> {
    let units = head.len() / 2;
    let zeros = |odd: usize| head.chunks_exact(2).filter(|unit| unit[odd] == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let encoding = match (even, odd) {
        _ if units < 8 => return None,
        (even, odd) if odd * 5 >= units && even * 20 <= units => UTF_16LE,
        (even, odd) if even * 5 >= units && odd * 20 <= units => UTF_16BE,
        _ => return None,
    };
    let text = encoding.decode_without_bom_handling_and_without_replacement(&head[..units / 2 * 4])?;
    (!text.contains('\0') && !many_controls(text.chars().filter(|letter| letter.is_control()), text.len()))
        .then_some(encoding)
}

/// Whether this is no text in an encoding that keeps ASCII: there is a zero byte, or every tenth byte is a control character
/// that no text has.
fn is_binary(head: &[u8]) -> bool {
    let odd = head.iter().filter(|byte| byte.is_ascii_control()).map(|&byte| char::from(byte));
    head.contains(&0) || many_controls(odd, head.len())
}

/// Whether more than a tenth of `len` are control characters beside white space, backspace and escape (of terminals).
fn many_controls(controls: impl Iterator<Item = char>, len: usize) -> bool {
    let odd = controls.filter(|letter| !matches!(letter, '\t' | '\n' | '\r' | '\u{c}' | '\u{8}' | '\u{1b}')).count();
    odd * 10 > len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (Decoded, String) {
        let mut text = String::new();
        let mut input = bytes;
        let decoded = decode(&mut input, |piece| text.push_str(piece)).expect("text");
        assert_eq!(decoded.bytes, bytes.len() as u64);
        (decoded, text)
    }

    fn encoding(bytes: &[u8]) -> &'static str {
        decoded(bytes).0.encoding
    }

    fn utf16(text: &str, to: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to).collect()
    }

    #[test]
    fn a_byte_order_mark_decides_and_is_no_text() {
        let text = "Grüße\n";
        let marked = [b"\xef\xbb\xbf".to_vec(), text.as_bytes().to_vec()].concat();
        let (found, read) = decoded(&marked);
        assert_eq!((found.encoding, found.byte_order_mark, read.as_str()), ("UTF-8", true, text));
        for (name, to) in [("UTF-16LE", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("UTF-16BE", u16::to_be_bytes)] {
            let (found, read) = decoded(&utf16("\u{feff}Grüße\n", to));
            assert_eq!((found.encoding, found.byte_order_mark, read.as_str()), (name, true, text));
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_known_by_its_zero_bytes() {
        let text = "Das ist ein längerer Satz. Это тоже. これも、です。\r\n";
        assert_eq!(encoding(&utf16(text, u16::to_le_bytes)), "UTF-16LE");
        assert_eq!(encoding(&utf16(text, u16::to_be_bytes)), "UTF-16BE");
        assert_eq!(decoded(&utf16(text, u16::to_le_bytes)).1, text);
    }

    #[test]
    fn ascii_is_ascii_until_another_byte_comes_however_late() {
        assert_eq!(encoding(b"only this\n"), "ASCII");
        assert_eq!(encoding(b""), "ASCII");
        let late = [vec![b'a'; 3 * PIECE_BYTES - 1], "é und ü\n".as_bytes().to_vec()].concat();
        let (found, text) = decoded(&late);
        assert_eq!((found.encoding, found.malformed), ("UTF-8", 0));
        assert!(text.ends_with("aé und ü\n"));
        let late = [vec![b'a'; PIECE_BYTES - 3], b"\xe9t\xe9 fran\xe7ais, d\xe9j\xe0 vu\n".to_vec()].concat();
        let (found, text) = decoded(&late);
        assert_eq!(found.encoding, "windows-1252");
        assert!(text.ends_with("aété français, déjà vu\n"));
    }

    #[test]
    fn other_encodings_are_guessed() {
        assert_eq!(encoding(b"\x82\xb1\x82\xf1\x82\xc9\x82\xbf\x82\xcd\x81A\x90\xa2\x8aE\n"), "Shift_JIS");
        assert_eq!(
            encoding(b"\xcf\xf0\xe8\xe2\xe5\xf2, \xec\xe8\xf0! \xca\xe0\xea \xe4\xe5\xeb\xe0?\n"),
            "windows-1251"
        );
    }

    #[test]
    fn a_character_may_be_cut_by_a_piece_and_by_the_end() {
        let text = "ä".repeat(PIECE_BYTES);
        let shifted = format!("a{text}");
        assert_eq!(
            decoded(shifted.as_bytes()),
            (Decoded { encoding: "UTF-8", byte_order_mark: false, bytes: shifted.len() as u64, malformed: 0 }, shifted)
        );
        let mut long = "ä".repeat(PIECE_BYTES).into_bytes();
        long.pop();
        let (found, text) = decoded(&long);
        assert_eq!((found.encoding, found.malformed), ("UTF-8", 1));
        assert!(text.ends_with("ä\u{fffd}"));
    }

    #[test]
    fn what_is_no_text_is_unsupported() {
        let all: Vec<u8> = (1..=255).cycle().take(5000).collect();
        for binary in [b"\x7fELF\x02\x01\x01\0\0\0\0".as_slice(), b"\xff\xfe\0\0a\0\0\0", &all, b"abc\0def"] {
            let mut input = binary;
            assert!(matches!(decode(&mut input, |_| ()), Err(Failure::Unsupported(_))), "{binary:x?}");
        }
    }
}
