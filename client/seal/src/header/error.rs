//! Why a header could not be sealed or was not opened.

use crate::bounds::{
    FILES_MAX, HEADER_MAX_BYTES, NAME_MAX_BYTES, PARAMETERS_MAX_BYTES, POOL_RECIPIENTS_MAX, RELEASES_MAX,
};
use crate::envelope::EnvelopeError;
use crate::identifiers::Digest;
use crate::identity::KeyError;
use crate::layout::LayoutError;

/// Why a header could not be sealed or was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// More than [`HEADER_MAX_BYTES`].
    #[error("header has {found} bytes, more than {HEADER_MAX_BYTES}")]
    TooLong {
        /// How many bytes, sealed.
        found: usize,
    },
    /// The age file around it does not open.
    #[error("header {0}")]
    Envelope(EnvelopeError),
    /// A format version that this one does not read.
    #[error("header has format version {found}, this program reads versions 1 and 2")]
    Version {
        /// The version.
        found: u64,
    },
    /// More or fewer fields than there are.
    #[error("header has {found} fields instead of {expected}")]
    Fields {
        /// How many.
        found: u64,
        /// How many its format has, at least.
        expected: u64,
    },
    /// An unknown key, one in place of another, or one that comes twice.
    #[error("header has field {found} in place of field {expected}")]
    Key {
        /// The field that must come here.
        expected: u64,
        /// The field that comes.
        found: u64,
    },
    /// A field behind those of its format with a number that a reader must know, that is out of order, or that comes twice.
    #[error("header has field {found} where only one from {least} on can be ignored")]
    Unknown {
        /// The field that comes.
        found: u64,
        /// The least that may come there.
        least: u64,
    },
    /// A field that ends too soon or is of another type.
    #[error("header is malformed: {field}")]
    Malformed {
        /// Which.
        field: &'static str,
    },
    /// Not the one encoding that such a header has.
    #[error("header is not in the deterministic encoding")]
    NotDeterministic,
    /// Bytes after the map.
    #[error("header is followed by {found} more bytes")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// The uploader's recipient is not a recipient.
    #[error("header's uploader: {0}")]
    Uploader(KeyError),
    /// No task.
    #[error("header names no task")]
    NoTask,
    /// More of something than a header may have.
    #[error("header has {found} {field}, more than {max}")]
    TooMany {
        /// Of what.
        field: &'static str,
        /// How many.
        found: u64,
        /// How many it may have.
        max: usize,
    },
    /// More files times tasks than an upload may have.
    #[error("header has {files} files for {tasks} tasks, which are more than {FILES_MAX} jobs")]
    TooManyJobs {
        /// Files.
        files: usize,
        /// Tasks.
        tasks: usize,
    },
    /// Several tasks, recipients of the organisation or accepted isolation in format 1, which has none of them.
    #[error("header of format 1 has what only format 2 can say")]
    NeedsFormatTwo,
    /// The same release with the same parameters twice.
    #[error("header names release `{release}` twice with the same parameters")]
    ReleaseTwice {
        /// The release.
        release: Digest,
    },
    /// One of the organisation's recipients is not a recipient.
    #[error("header's recipient of the organisation: {0}")]
    Organisation(KeyError),
    /// Results would be sealed for somebody twice.
    #[error("header names recipient `{recipient}` twice for results")]
    RecipientTwice {
        /// The recipient.
        recipient: String,
    },
    /// One of the organisation's recipients is the pool's.
    #[error("header's recipient of the organisation `{recipient}` is the pool's, which would read all results")]
    PoolReadsResults {
        /// The recipient.
        recipient: String,
    },
    /// Not 1 to 64 characters of `[a-z0-9-]`.
    #[error("`{found}` names no kind of isolation")]
    Isolation {
        /// The name, cut to 80 characters.
        found: String,
    },
    /// None, or more than [`RELEASES_MAX`].
    #[error("header names {found} releases for a task instead of 1 to {RELEASES_MAX}")]
    Releases {
        /// How many.
        found: u64,
    },
    /// Not a JSON object.
    #[error("header's engine parameters are not a JSON object")]
    Parameters,
    /// More than [`PARAMETERS_MAX_BYTES`].
    #[error("header's engine parameters have {found} bytes, more than {PARAMETERS_MAX_BYTES}")]
    ParametersTooLong {
        /// How many bytes.
        found: usize,
    },
    /// A name that is empty, or longer than [`NAME_MAX_BYTES`].
    #[error("the name of file {index} has {found} bytes instead of 1 to {NAME_MAX_BYTES}")]
    Name {
        /// Index of the file.
        index: usize,
        /// How many bytes.
        found: usize,
    },
    /// The files do not make an upload.
    #[error("header: {0}")]
    Layout(LayoutError),
    /// Asked to seal for no recipient of the pool, or for too many.
    #[error("header cannot be sealed for {found} recipients of a pool, only for 1 to {POOL_RECIPIENTS_MAX}")]
    PoolRecipients {
        /// How many.
        found: usize,
    },
}

impl HeaderError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "send fewer files in one upload",
            Self::Envelope(error) => error.hint(),
            Self::Uploader(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Version { .. } | Self::Fields { .. } | Self::Key { .. } | Self::Unknown { .. } => {
                "a newer client may have sealed it: update this processor"
            }
            Self::Malformed { .. } | Self::NotDeterministic | Self::Trailing { .. } => {
                "the client that sealed it is broken: update it, and send the files again"
            }
            Self::Organisation(error) => error.hint(),
            Self::NoTask => "say what is to be done with the files",
            Self::TooMany { .. } => "name fewer of them",
            Self::TooManyJobs { .. } => "send fewer files in one upload",
            Self::NeedsFormatTwo => "seal it in format 2, where a processor of the pool reads that",
            Self::ReleaseTwice { .. } => "name each release once, or with other parameters",
            Self::RecipientTwice { .. } => "name each recipient of the organisation once, and not the uploader's",
            Self::PoolReadsResults { .. } => "tell the organisation's administrator: its recipient must be its own",
            Self::Isolation { .. } => "`container` and `attached` are such names",
            Self::Releases { .. } => "choose the engine releases that may run",
            Self::Parameters => "write the parameters as {\"name\": value, …}",
            Self::ParametersTooLong { .. } => "shorten the engine parameters",
            Self::Name { .. } => "rename the file, or send it from a folder with a shorter path",
            Self::PoolRecipients { .. } => "fetch the pool's statements again",
        }
    }
}
