//! The names that needs and abilities are made of. What they mean is between whoever needs them and the nodes that have them; these are
//! those that Filemill itself gives.

use crate::limits::MAX_NAME_BYTES;

/// Takes engine parameters of up to [`crate::limits::MAX_PARAMETERS_BYTES`].
pub const LONG_PARAMETERS: &str = "long_parameters";
/// Reads headers of format 2.
pub const HEADER_2: &str = "header:2";

/// Runs releases that were built for this version of the engine contract.
#[must_use]
pub fn contract(major: u32, minor: u32) -> String {
    format!("contract:{major}.{minor}")
}

/// The version of the engine contract that a name stands for.
#[must_use]
pub fn contract_of(name: &str) -> Option<(u32, u32)> {
    let number = |text: &str| {
        let plain = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        plain.then(|| text.parse().ok()).flatten()
    };
    let (major, minor) = name.strip_prefix("contract:")?.split_once('.')?;
    Some((number(major)?, number(minor)?))
}

/// Runs releases of this kind: `component`, `container`, `attached`.
#[must_use]
pub fn backend(kind: &str) -> String {
    format!("backend:{kind}")
}

/// The kind that a name stands for.
#[must_use]
pub fn backend_of(name: &str) -> Option<&str> {
    name.strip_prefix("backend:")
}

/// Whether this can be a name: 1 to [`MAX_NAME_BYTES`] characters of `[a-z0-9.:_-]`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b':' | b'_' | b'-');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_has_one_name_and_a_name_one_contract() {
        assert_eq!(contract_of(&contract(12, 3)), Some((12, 3)));
        for other in
            ["contract:1", "contract:01.0", "contract:1.", "contract:.1", "contract:+1.0", "contract:1.0.0", "1.0"]
        {
            assert_eq!(contract_of(other), None, "{other}");
        }
        assert_eq!(backend_of(&backend("component")), Some("component"));
    }

    #[test]
    fn names_are_short_and_plain() {
        for name in ["gpu", LONG_PARAMETERS, HEADER_2, &contract(1, 0), &backend("component")] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "GPU", "g p", "g|p", "ü", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
