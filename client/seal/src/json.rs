//! The little that is checked of JSON that others wrote and others read.

use serde::de::IgnoredAny;

/// Whether `text` is one JSON object. Keeps nothing of it, and does not recurse into it.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{')
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}
