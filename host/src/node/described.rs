//! What a release says of itself, as the document that its users are given.

use filemill_seal::Digest;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Access, Description};

/// A release's description document. Every processor makes the same one of the same component.
pub(super) struct Described {
    /// JSON.
    pub(super) document: String,
    /// SHA-256 of it: every result of the release names it.
    pub(super) digest: Digest,
    /// How the engine wants its input.
    pub(super) access: Access,
    /// The engine's own version.
    pub(super) version: String,
}

/// The fields of the document, in its order. The schemas stand in it as the engine wrote them.
#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    version: &'a str,
    summary: &'a str,
    media_types: &'a [String],
    access: &'static str,
    parameter_schema: Option<&'a RawValue>,
    report_schema: Option<&'a RawValue>,
}

impl Described {
    pub(super) fn new(said: &Description) -> Self {
        // Each is empty or was checked to be a JSON object.
        let schema = |text: &'_ str| serde_json::from_str::<Box<RawValue>>(text).ok();
        let (parameters, report) = (schema(&said.parameter_schema), schema(&said.report_schema));
        let document = serde_json::to_string(&Document {
            name: &said.name,
            version: &said.version,
            summary: &said.summary,
            media_types: &said.media_types,
            access: said.access.as_str(),
            parameter_schema: parameters.as_deref(),
            report_schema: report.as_deref(),
        })
        // Strings and checked JSON always serialise.
        .unwrap_or_default();
        let digest = Digest::of(document.as_bytes());
        Self { document, digest, access: said.access, version: said.version.clone() }
    }
}
