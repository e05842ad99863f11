//! Tar, block by block as the bytes come. Headers and extensions are read by the crate `tar`; it reads whole archives too, but
//! pulls its bytes, and holds a long name whatever its length.

use filemill_engine::v2::Severity;
use tar::{EntryType, GnuExtSparseHeader, Header, PaxExtensions};

use crate::capture::Capture;
use crate::contents::{Contents, Entry, Kind};
use crate::date;
use crate::format;

/// Everything in a tar is a multiple of this.
const BLOCK: usize = 512;

/// The longest extension that is held, in bytes: a path, or what PAX says about one entry.
const EXTENSION_BYTES: usize = 64 * 1024;

/// What extensions say about the entry that follows.
#[derive(Debug, Default)]
struct Extended {
    path: Option<String>,
    target: Option<String>,
    size: Option<u64>,
    modified: Option<String>,
}

/// What the bytes that come next are.
#[derive(Debug)]
enum State {
    /// A header, or the end.
    Header,
    /// More of a sparse file's map.
    SparseMap { path: String, size: u64 },
    /// Contents: how many bytes are left, and how many to the next block.
    Data { left: u64, padding: u64, what: What },
    /// Nothing of interest.
    End,
}

/// What contents are of.
#[derive(Debug)]
enum What {
    LongPath(Vec<u8>),
    LongTarget(Vec<u8>),
    Pax(Vec<u8>),
    File { path: String, capture: Capture },
    Other,
}

/// Reads a tar as it comes.
#[derive(Debug)]
pub(crate) struct Tar {
    state: State,
    block: Vec<u8>,
    extended: Extended,
    /// Blocks of zeros in a row: two are the end.
    zeros: u32,
    /// Whether there was any entry.
    pub(crate) entries: u64,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Header,
            block: Vec::with_capacity(BLOCK),
            extended: Extended::default(),
            zeros: 0,
            entries: 0,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn take(&mut self, mut bytes: &[u8], contents: &mut Contents<'_>) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::End => return,
                State::Data { left, padding, what } => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    what.take(&bytes[..take]);
                    *left -= take as u64;
                    bytes = &bytes[take..];
                    if *left == 0 {
                        let skip = usize::try_from(*padding).unwrap_or(usize::MAX).min(bytes.len());
                        *padding -= skip as u64;
                        bytes = &bytes[skip..];
                        if *padding == 0 {
                            self.end_data(contents);
                        }
                    }
                }
                State::Header | State::SparseMap { .. } => {
                    let take = (BLOCK - self.block.len()).min(bytes.len());
                    self.block.extend_from_slice(&bytes[..take]);
                    bytes = &bytes[take..];
                    if self.block.len() == BLOCK {
                        let block = std::mem::take(&mut self.block);
                        self.end_block(&block, contents);
                        self.block = block;
                        self.block.clear();
                    }
                }
            }
        }
    }

    /// The bytes have ended.
    pub(crate) fn finish(mut self, contents: &mut Contents<'_>) {
        match &self.state {
            State::Data { left: 0, .. } => self.end_data(contents),
            State::Data { what, .. } => {
                let path = if let What::File { path, .. } = what { path.clone() } else { String::new() };
                contents.warn("corrupt", Severity::Medium, &path, "ends with the archive, in its middle");
            }
            State::SparseMap { path, .. } => {
                contents.warn("corrupt", Severity::Medium, path, "ends with the archive, in its middle");
            }
            State::Header if !self.block.is_empty() => {
                contents.warn("corrupt", Severity::Medium, "", "ends in the middle of a header");
            }
            State::Header | State::End => {}
        }
    }

    fn end_block(&mut self, block: &[u8], contents: &mut Contents<'_>) {
        if let State::SparseMap { path, size } = &mut self.state {
            let mut map = GnuExtSparseHeader::new();
            map.as_mut_bytes().copy_from_slice(block);
            if !map.is_extended() {
                let (path, size) = (std::mem::take(path), *size);
                self.begin_data(size, What::File { path, capture: Capture::default() }, contents);
            }
            return;
        }
        if block.iter().all(|&byte| byte == 0) {
            self.zeros += 1;
            if self.zeros == 2 {
                self.state = State::End;
            }
            return;
        }
        self.zeros = 0;
        if format::is_tar_header(block).is_none() {
            contents.warn(
                "corrupt",
                Severity::Medium,
                "",
                "has a header whose sum is wrong; what follows was not read",
            );
            self.state = State::End;
            return;
        }
        self.header(Header::from_byte_slice(block), contents);
    }

    fn header(&mut self, header: &Header, contents: &mut Contents<'_>) {
        let Ok(size) = header.entry_size() else {
            contents.warn("corrupt", Severity::Medium, "", "has a header without a size; what follows was not read");
            self.state = State::End;
            return;
        };
        let entry_type = header.entry_type();
        match entry_type {
            EntryType::GNULongName => return self.begin_data(size, What::LongPath(Vec::new()), contents),
            EntryType::GNULongLink => return self.begin_data(size, What::LongTarget(Vec::new()), contents),
            EntryType::XHeader => return self.begin_data(size, What::Pax(Vec::new()), contents),
            EntryType::XGlobalHeader => return self.begin_data(size, What::Other, contents),
            _ => {}
        }
        let extended = std::mem::take(&mut self.extended);
        let size = extended.size.unwrap_or(size);
        let path = extended.path.unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
        let kind = kind(entry_type, &path);
        let target = extended
            .target
            .or_else(|| header.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned()))
            .filter(|_| matches!(kind, Kind::SymbolicLink | Kind::HardLink));
        let sparse = header.as_gnu().filter(|_| entry_type == EntryType::GNUSparse);
        let announced = sparse.and_then(|gnu| gnu.real_size().ok()).unwrap_or(size);
        self.entries += 1;
        contents.entry(&Entry {
            modified: extended.modified.or_else(|| header.mtime().ok().and_then(date::of_seconds)),
            target,
            sets_user: kind == Kind::File && header.mode().is_ok_and(|mode| mode & 0o6000 != 0),
            ..Entry::new(path.clone(), kind, if kind == Kind::File { announced } else { 0 })
        });
        // Only a file has contents; a link may announce those of what it links to.
        if kind != Kind::File {
            let size = if kind == Kind::Special { size } else { 0 };
            return self.begin_data(size, What::Other, contents);
        }
        if sparse.is_some_and(|gnu| gnu.is_extended()) {
            self.state = State::SparseMap { path, size };
            return;
        }
        self.begin_data(size, What::File { path, capture: Capture::default() }, contents);
    }

    fn begin_data(&mut self, size: u64, what: What, contents: &mut Contents<'_>) {
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        self.state = State::Data { left: size, padding, what };
        if size == 0 {
            self.end_data(contents);
        }
    }

    fn end_data(&mut self, contents: &mut Contents<'_>) {
        let State::Data { what, .. } = std::mem::replace(&mut self.state, State::Header) else { return };
        match what {
            What::LongPath(path) => self.extended.path = Some(text(&path)),
            What::LongTarget(target) => self.extended.target = Some(text(&target)),
            What::Pax(records) => self.pax(&records),
            What::File { path, capture } => contents.nested(&path, capture.finish()),
            What::Other => {}
        }
    }

    fn pax(&mut self, records: &[u8]) {
        for record in PaxExtensions::new(records).flatten() {
            let (Ok(key), Ok(value)) = (record.key(), record.value()) else { continue };
            match key {
                "path" => self.extended.path = Some(value.to_owned()),
                "linkpath" => self.extended.target = Some(value.to_owned()),
                "size" => self.extended.size = value.parse().ok(),
                "mtime" => {
                    let seconds = value.split('.').next().and_then(|whole| whole.parse().ok());
                    self.extended.modified = seconds.and_then(date::of_seconds);
                }
                _ => {}
            }
        }
    }
}

impl What {
    fn take(&mut self, bytes: &[u8]) {
        match self {
            Self::LongPath(held) | Self::LongTarget(held) | Self::Pax(held) => {
                let room = EXTENSION_BYTES.saturating_sub(held.len()).min(bytes.len());
                held.extend_from_slice(&bytes[..room]);
            }
            Self::File { capture, .. } => capture.take(bytes),
            Self::Other => {}
        }
    }
}

fn kind(entry_type: EntryType, path: &str) -> Kind {
    match entry_type {
        // In old tars a folder is a file whose name ends so.
        EntryType::Regular if path.ends_with('/') => Kind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::SymbolicLink,
        EntryType::Link => Kind::HardLink,
        _ => Kind::Special,
    }
}

/// A path without the zero that ends it.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
