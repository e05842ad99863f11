//! A header as deterministic CBOR (RFC 8949 §4.2.1).

use std::collections::BTreeSet;
use std::convert::Infallible;

use minicbor::decode::Error as CborError;
use minicbor::{Decoder, Encoder};
use zeroize::{Zeroize, Zeroizing};

use super::error::HeaderError;
use super::fields::{FileEntry, Header, Task};
use crate::bounds::{
    FILES_MAX, ISOLATION_MAX, NAME_MAX_BYTES, ORGANISATION_RECIPIENTS_MAX, PARAMETERS_MAX_BYTES, RELEASES_MAX,
    TASKS_MAX,
};
use crate::data_key::DataKey;
use crate::format::Format;
use crate::identifiers::{Digest, UploadId};
use crate::identity::Recipient;
use crate::layout::LayoutError;

/// From this key on a reader of format 2 ignores what it does not know.
const IGNORED_FROM: u64 = 100;

/// Fewest bytes of an encoded file: one for the array, one and one for a name, one for a length.
const FILE_MIN_BYTES: usize = 4;

/// A decoded header, and how it was written.
pub(super) struct Decoded {
    pub(super) header: Header,
    /// Number of its fields, those that were ignored among them.
    pub(super) fields: u64,
    /// Bytes before the fields that were ignored.
    pub(super) known_bytes: usize,
}

/// Encodes a header whose bounds were checked, as one with so many `fields`, of which those that it does not have are left out. The bytes
/// hold the data key; they are wiped when dropped.
pub(super) fn encode(header: &Header, fields: u64) -> Zeroizing<Vec<u8>> {
    // Room for all of it from the start, so that a growing vector leaves no copy of the key behind.
    let files: usize = header.files.iter().map(FileEntry::encoded_bytes).sum();
    let tasks: usize = header.tasks.iter().map(|task| 16 + task.releases.len() * 34 + task.parameters.len()).sum();
    let names: usize = header.isolation.iter().map(|name| 9 + name.len()).sum();
    let room = 256 + tasks + header.organisation.len() * 64 + names + files;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    write(header, fields, &mut Encoder::new(&mut *bytes)).expect("writing to memory does not fail");
    debug_assert!(bytes.len() <= room);
    bytes
}

/// The number of fields that a header has, without those that a reader may ignore.
pub(super) const fn fields(format: Format) -> u64 {
    match format {
        Format::One => 9,
        Format::Two => 10,
    }
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

fn write(header: &Header, fields: u64, e: &mut Encoder<&mut Vec<u8>>) -> Written {
    e.map(fields)?;
    e.u8(1)?.u64(header.format.number())?;
    e.u8(2)?.bytes(header.upload.as_bytes())?;
    e.u8(3)?.bytes(header.key.expose_bytes())?;
    e.u8(4)?.str(&header.uploader.to_string())?;
    if header.format == Format::One {
        // One that was not checked may have none.
        if let Some(task) = header.tasks.first() {
            e.u8(5)?;
            write_releases(&task.releases, e)?;
            e.u8(6)?.str(&task.parameters)?;
        }
    }
    e.u8(7)?.u32(header.chunk_size)?;
    e.u8(8)?.u64(header.not_after)?;
    e.u8(9)?.array(header.files.len() as u64)?;
    for file in &header.files {
        e.array(2)?.bytes(&file.name)?.u64(file.length)?;
    }
    if header.format == Format::Two {
        e.u8(10)?.array(header.tasks.len() as u64)?;
        for task in &header.tasks {
            e.array(2)?;
            write_releases(&task.releases, e)?;
            e.str(&task.parameters)?;
        }
        e.u8(11)?.array(header.organisation.len() as u64)?;
        for recipient in &header.organisation {
            e.str(&recipient.to_string())?;
        }
        e.u8(12)?.array(header.isolation.len() as u64)?;
        for name in &header.isolation {
            e.str(name)?;
        }
    }
    Ok(())
}

fn write_releases(releases: &[Digest], e: &mut Encoder<&mut Vec<u8>>) -> Written {
    e.array(releases.len() as u64)?;
    for release in releases {
        e.bytes(release.as_bytes())?;
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
pub(super) fn decode(plaintext: &[u8]) -> Result<Decoded, HeaderError> {
    let d = &mut Decoder::new(plaintext);
    let fields_found = d.map().map_err(malformed("map"))?.ok_or(HeaderError::NotDeterministic)?;
    key(d, 1)?;
    let version = d.u64().map_err(malformed("format version"))?;
    let format = Format::from_number(version).ok_or(HeaderError::Version { found: version })?;
    let expected = fields(format);
    let ignored = match format {
        Format::One if fields_found == expected => 0,
        Format::Two if fields_found >= expected => fields_found - expected,
        Format::One | Format::Two => return Err(HeaderError::Fields { found: fields_found, expected }),
    };
    key(d, 2)?;
    let upload = UploadId::from_bytes(fixed(d, "upload id")?);
    key(d, 3)?;
    let mut key_bytes = fixed(d, "data key")?;
    let data_key = DataKey::from_bytes(key_bytes);
    key_bytes.zeroize();
    key(d, 4)?;
    let uploader = recipient(d, "uploader's recipient")?.map_err(HeaderError::Uploader)?;
    let mut tasks = Vec::new();
    if format == Format::One {
        key(d, 5)?;
        let releases = releases(d)?;
        key(d, 6)?;
        tasks.push(Task { releases, parameters: parameters(d)? });
    }
    key(d, 7)?;
    let chunk_size = d.u32().map_err(malformed("chunk size"))?;
    key(d, 8)?;
    let not_after = d.u64().map_err(malformed("not_after"))?;
    key(d, 9)?;
    let files = files(d)?;
    let (mut organisation, mut isolation) = (Vec::new(), BTreeSet::new());
    if format == Format::Two {
        key(d, 10)?;
        tasks = read_tasks(d)?;
        key(d, 11)?;
        organisation = read_organisation(d)?;
        key(d, 12)?;
        isolation = read_isolation(d)?;
    }
    let known_bytes = d.position();
    skip(d, ignored)?;
    if d.position() != plaintext.len() {
        return Err(HeaderError::Trailing { found: plaintext.len() - d.position() });
    }
    let header = Header {
        format,
        upload,
        key: data_key,
        uploader,
        tasks,
        organisation,
        isolation,
        chunk_size,
        not_after,
        files,
    };
    Ok(Decoded { header, fields: fields_found, known_bytes })
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

/// Passes over `fields` that nobody needs to know: each with a key that nobody may use for others, in order, and once.
fn skip(d: &mut Decoder<'_>, fields: u64) -> Result<(), HeaderError> {
    let mut least = IGNORED_FROM;
    for _ in 0..fields {
        let begin = d.position();
        let found = d.u64().map_err(malformed("key of the map"))?;
        if found < least {
            return Err(HeaderError::Unknown { found, least });
        }
        if d.position() - begin != head_bytes(found) {
            return Err(HeaderError::NotDeterministic);
        }
        d.skip().map_err(malformed("a field that is ignored"))?;
        least = found.checked_add(1).ok_or(HeaderError::Malformed { field: "key of the map" })?;
    }
    Ok(())
}

fn fixed<const N: usize>(d: &mut Decoder<'_>, field: &'static str) -> Result<[u8; N], HeaderError> {
    d.bytes().map_err(malformed(field))?.try_into().map_err(|_| HeaderError::Malformed { field })
}

/// The number of elements of the array that comes next. One without a number is not deterministic.
fn count(d: &mut Decoder<'_>, field: &'static str) -> Result<u64, HeaderError> {
    d.array().map_err(malformed(field))?.ok_or(HeaderError::NotDeterministic)
}

/// The same, for one of at most `max` elements.
fn bounded(d: &mut Decoder<'_>, field: &'static str, max: usize) -> Result<usize, HeaderError> {
    let found = count(d, field)?;
    usize::try_from(found).ok().filter(|found| *found <= max).ok_or(HeaderError::TooMany { field, found, max })
}

fn recipient(
    d: &mut Decoder<'_>,
    field: &'static str,
) -> Result<Result<Recipient, crate::identity::KeyError>, HeaderError> {
    Ok(d.str().map_err(malformed(field))?.parse())
}

fn releases(d: &mut Decoder<'_>) -> Result<Vec<Digest>, HeaderError> {
    let found = count(d, "releases")?;
    if !(1..=RELEASES_MAX as u64).contains(&found) {
        return Err(HeaderError::Releases { found });
    }
    (0..found).map(|_| fixed(d, "release digest").map(Digest::from_bytes)).collect()
}

fn parameters(d: &mut Decoder<'_>) -> Result<String, HeaderError> {
    let parameters = d.str().map_err(malformed("parameters"))?;
    if parameters.len() > PARAMETERS_MAX_BYTES {
        return Err(HeaderError::ParametersTooLong { found: parameters.len() });
    }
    Ok(parameters.to_owned())
}

fn read_tasks(d: &mut Decoder<'_>) -> Result<Vec<Task>, HeaderError> {
    const FIELD: &str = "tasks";
    let tasks = bounded(d, FIELD, TASKS_MAX)?;
    (0..tasks)
        .map(|_| {
            if count(d, FIELD)? != 2 {
                return Err(HeaderError::Malformed { field: FIELD });
            }
            Ok(Task { releases: releases(d)?, parameters: parameters(d)? })
        })
        .collect()
}

fn read_organisation(d: &mut Decoder<'_>) -> Result<Vec<Recipient>, HeaderError> {
    const FIELD: &str = "recipients of the organisation";
    let recipients = bounded(d, FIELD, ORGANISATION_RECIPIENTS_MAX)?;
    (0..recipients).map(|_| recipient(d, FIELD)?.map_err(HeaderError::Organisation)).collect()
}

/// Reads the names of kinds of isolation. In another order, or twice, they are other bytes than the header is encoded to.
fn read_isolation(d: &mut Decoder<'_>) -> Result<BTreeSet<String>, HeaderError> {
    const FIELD: &str = "kinds of isolation";
    let names = bounded(d, FIELD, ISOLATION_MAX)?;
    (0..names).map(|_| Ok(d.str().map_err(malformed(FIELD))?.to_owned())).collect()
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
