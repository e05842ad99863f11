//! A header as deterministic CBOR (RFC 8949 §4.2.1).

use minicbor::decode::Error as CborError;
use minicbor::{Decoder, Encoder};
use zeroize::{Zeroize, Zeroizing};

use super::error::HeaderError;
use super::fields::{FileEntry, Header};
use crate::bounds::{FILES_MAX, NAME_MAX_BYTES, PARAMETERS_MAX_BYTES, RELEASES_MAX};
use crate::data_key::DataKey;
use crate::identifiers::{Digest, UploadId};
use crate::layout::LayoutError;

const VERSION: u64 = 1;
const FIELDS: u64 = 9;

/// Fewest bytes of an encoded file: one for the array, one and one for a name, one for a length.
const FILE_MIN_BYTES: usize = 4;

/// Encodes a header whose bounds were checked. The bytes hold the data key; they are wiped when dropped.
pub(super) fn encode(header: &Header) -> Zeroizing<Vec<u8>> {
    // Room for all of it from the start, so that a growing vector leaves no copy of the key behind.
    let files: usize = header.files.iter().map(FileEntry::encoded_bytes).sum();
    let room = 256 + header.releases.len() * 34 + header.parameters.len() + files;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    write(header, &mut Encoder::new(&mut *bytes)).expect("writing to memory does not fail");
    debug_assert!(bytes.len() <= room);
    bytes
}

fn write(
    header: &Header,
    e: &mut Encoder<&mut Vec<u8>>,
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    e.map(FIELDS)?;
    e.u8(1)?.u64(VERSION)?;
    e.u8(2)?.bytes(header.upload.as_bytes())?;
    e.u8(3)?.bytes(header.key.expose_bytes())?;
    e.u8(4)?.str(&header.uploader.to_string())?;
    e.u8(5)?.array(header.releases.len() as u64)?;
    for release in &header.releases {
        e.bytes(release.as_bytes())?;
    }
    e.u8(6)?.str(&header.parameters)?;
    e.u8(7)?.u32(header.chunk_size)?;
    e.u8(8)?.u64(header.not_after)?;
    e.u8(9)?.array(header.files.len() as u64)?;
    for file in &header.files {
        e.array(2)?.bytes(&file.name)?.u64(file.length)?;
    }
    Ok(())
}

/// Bytes of a CBOR head with this argument: an unsigned integer, or what precedes so many bytes.
pub(super) fn head_bytes(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Decodes a header. What it returns is well-formed; bounds that need more than one field are checked by the caller.
pub(super) fn decode(plaintext: &[u8]) -> Result<Header, HeaderError> {
    let d = &mut Decoder::new(plaintext);
    match d.map().map_err(malformed("map"))? {
        Some(FIELDS) => {}
        Some(found) => return Err(HeaderError::Fields { found }),
        None => return Err(HeaderError::NotDeterministic),
    }
    key(d, 1)?;
    match d.u64().map_err(malformed("format version"))? {
        VERSION => {}
        found => return Err(HeaderError::Version { found }),
    }
    key(d, 2)?;
    let upload = UploadId::from_bytes(fixed(d, "upload id")?);
    key(d, 3)?;
    let mut key_bytes = fixed(d, "data key")?;
    let data_key = DataKey::from_bytes(key_bytes);
    key_bytes.zeroize();
    key(d, 4)?;
    let uploader = d.str().map_err(malformed("uploader's recipient"))?.parse().map_err(HeaderError::Uploader)?;
    key(d, 5)?;
    let releases = releases(d)?;
    key(d, 6)?;
    let parameters = d.str().map_err(malformed("parameters"))?;
    if parameters.len() > PARAMETERS_MAX_BYTES {
        return Err(HeaderError::ParametersTooLong { found: parameters.len() });
    }
    key(d, 7)?;
    let chunk_size = d.u32().map_err(malformed("chunk size"))?;
    key(d, 8)?;
    let not_after = d.u64().map_err(malformed("not_after"))?;
    key(d, 9)?;
    let files = files(d)?;
    if d.position() != plaintext.len() {
        return Err(HeaderError::Trailing { found: plaintext.len() - d.position() });
    }
    let parameters = parameters.to_owned();
    Ok(Header { upload, key: data_key, uploader, releases, parameters, chunk_size, not_after, files })
}

fn malformed(field: &'static str) -> impl FnOnce(CborError) -> HeaderError {
    move |_| HeaderError::Malformed { field }
}

/// Reads the next key of the map, which must be `expected`.
fn key(d: &mut Decoder<'_>, expected: u64) -> Result<(), HeaderError> {
    match d.u64().map_err(malformed("key of the map"))? {
        found if found == expected => Ok(()),
        found => Err(HeaderError::Key { expected, found }),
    }
}

fn fixed<const N: usize>(d: &mut Decoder<'_>, field: &'static str) -> Result<[u8; N], HeaderError> {
    d.bytes().map_err(malformed(field))?.try_into().map_err(|_| HeaderError::Malformed { field })
}

/// The number of elements of the array that comes next. One without a number is not deterministic.
fn count(d: &mut Decoder<'_>, field: &'static str) -> Result<u64, HeaderError> {
    d.array().map_err(malformed(field))?.ok_or(HeaderError::NotDeterministic)
}

fn releases(d: &mut Decoder<'_>) -> Result<Vec<Digest>, HeaderError> {
    let found = count(d, "releases")?;
    if !(1..=RELEASES_MAX as u64).contains(&found) {
        return Err(HeaderError::Releases { found });
    }
    (0..found).map(|_| fixed(d, "release digest").map(Digest::from_bytes)).collect()
}

fn files(d: &mut Decoder<'_>) -> Result<Vec<FileEntry>, HeaderError> {
    const FIELD: &str = "files";
    let announced = count(d, FIELD)?;
    let files = usize::try_from(announced).unwrap_or(usize::MAX);
    if files > FILES_MAX {
        return Err(HeaderError::Layout(LayoutError::TooManyFiles));
    }
    // A number alone allocates nothing: there must be bytes for so many.
    if files > (d.input().len() - d.position()) / FILE_MIN_BYTES {
        return Err(HeaderError::Malformed { field: FIELD });
    }
    let mut entries = Vec::with_capacity(files);
    for index in 0..files {
        if count(d, FIELD)? != 2 {
            return Err(HeaderError::Malformed { field: FIELD });
        }
        let name = d.bytes().map_err(malformed("file name"))?;
        if !(1..=NAME_MAX_BYTES).contains(&name.len()) {
            return Err(HeaderError::Name { index, found: name.len() });
        }
        let length = d.u64().map_err(malformed("file length"))?;
        entries.push(FileEntry { name: name.to_owned(), length });
    }
    Ok(entries)
}
