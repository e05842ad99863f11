//! Presigned requests: one method on one object, for a short time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A presigned PUT. Storage refuses it without exactly these headers, and any other length or content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedPut {
    /// Where to.
    pub url: String,
    /// Headers to send, all of them signed (`content-length`, `x-amz-checksum-sha256`).
    pub headers: BTreeMap<String, String>,
    /// For how long it is good, in seconds from the answer.
    pub expires_in_s: u32,
}

/// A presigned GET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedGet {
    /// Where from.
    pub url: String,
    /// Length of the object in bytes.
    pub length: u64,
    /// SHA-256 of the object, hex.
    pub sha256: String,
    /// For how long it is good, in seconds from the answer.
    pub expires_in_s: u32,
}
