//! Engine releases, pools, and who is asking.

use serde::{Deserialize, Serialize};

use crate::SignedGet;

/// One immutable version of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    /// Name of the engine; `local/FILE` for one that processors of the pool bring themselves.
    pub engine: String,
    /// The release's version, SemVer. That of a `local/` one is what the component says of itself.
    pub version: String,
    /// SHA-256 of the component, hex: what a header names.
    pub digest: String,
    /// Major of the engine contract it was built for.
    pub contract: u32,
    /// Length of the component in bytes.
    pub length: u64,
    /// Whether this is the release that the caller's organisation uses now.
    pub current: bool,
    /// Media types that the engine says it understands, such as `image/png` or `text/*`; empty: any. Absent while neither its
    /// publisher nor a processor has described the release. A claim: it decides nothing but where a file is worth sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_types: Option<Vec<String>>,
    /// Ends of file names that the engine says it reads, without the dot and in lower case, such as `tar.gz`; absent where it
    /// says none. A claim, as above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// One sentence that the engine says of itself; absent while no processor has described the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// A processor that can run the release (of the pool asked about) is being asked to describe it, and may still do so: what is
    /// absent above is worth a wait of seconds. False once it is described, nobody asked has done so in time, or nobody can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub describing: bool,
    /// Names of what a processor has to have to run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Processors (of the pool asked about) were asked to describe the release, and none did in time: there is nothing to wait for
    /// until another processor comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undescribable: bool,
}

/// Which description of a release to read: the newest that anybody sent of those that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub struct DescriptionQuery {
    /// SHA-256 of the document, hex: the one that a result names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Only what processors of this pool sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Which releases to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
pub struct ReleasesQuery {
    /// Also those that processors of this pool bring themselves, and of all what its processors said of them; otherwise what was
    /// said last by those of any pool.
    pub pool: Option<String>,
}

/// The releases an organisation may use, newest first within an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Releases {
    /// All of them.
    pub releases: Vec<Release>,
    /// The longest engine parameters that a processor of the pool asked about takes, in bytes of JSON; absent where none is known
    /// to take more than [`crate::limits::USUAL_PARAMETERS_BYTES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_bytes: Option<u32>,
    /// Formats of headers that processors of the pool asked about read: of those that are there now, or where none is, of those that were
    /// heard last. Ascending; empty where none is known, and from a server that knows format 1 only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<u8>,
}

/// Where a component's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComponentUrl {
    /// Where to fetch it; check the digest.
    pub get: SignedGet,
}

/// A pool's statement about its recipient, as it was signed. The server passes it on, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedStatement {
    /// The signed bytes, a JSON object.
    pub statement: String,
    /// Ed25519 signature, hex.
    pub signature: String,
}

/// The statements the server was given, newest first for each pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pools {
    /// All of them.
    pub pools: Vec<SignedStatement>,
}

/// A processor announces its pool's recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishPool {
    /// What the pool's root signed.
    pub pool: SignedStatement,
    /// Public key of that root, hex, by which a server takes the first statement of a new pool, where it does that at all. It changes
    /// nothing for a pool whose root is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// Who the token stands for, and where it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the user or node the token was made for.
    pub user: String,
    /// `user`, `processor` or `operator`.
    pub scope: String,
    /// The pool that a processor's token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Version of the server.
    pub server: String,
    /// Origins that presigned URLs point to.
    pub storage_origins: Vec<String>,
}
