//! What a person should know of a picture.

use schemars::JsonSchema;
use serde::Serialize;

/// Something that a person should know.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Warning {
    /// What kind of thing: `gps`, `damaged`, `too-large`.
    #[schemars(title = "Kind")]
    pub(crate) kind: &'static str,
    /// It in a sentence.
    #[schemars(title = "Warning", extend("x-format" = "text"))]
    pub(crate) message: String,
}

impl Warning {
    /// Something in the file is broken.
    pub(crate) fn damaged(message: String) -> Self {
        Self { kind: "damaged", message }
    }
}
