//! Reads from a component which contract it was built for. The server does not run it.

use std::fmt;

use wasmparser::{Parser, Payload, Validator};

/// Largest component, in bytes: what every processor takes.
pub use filemill_api::limits::MAX_COMPONENT_BYTES;
/// What an engine exports, before its version.
const EXPORT: &str = "filemill:engine/analyzer@";

/// Why a file is not an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// It is a core module.
    #[error("it is a core WebAssembly module, not a component (hint: build it with `cargo xtask engine build`)")]
    Module,
    /// It is something else.
    #[error("it is not WebAssembly: it does not begin with `\\0asm`")]
    NotWebAssembly,
    /// It is broken.
    #[error("it is not a valid WebAssembly component: {0}")]
    Invalid(String),
    /// It exports no analyzer.
    #[error("it does not export `{EXPORT}VERSION`, so it is not an engine")]
    NotAnEngine,
    /// It exports several.
    #[error("it exports an analyzer of contract {0} and one of contract {1}; an engine has one")]
    Ambiguous(Contract, Contract),
}

/// A version of the engine contract, without its patches, which change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// Which contract.
    pub major: u32,
    /// What it has more than the first of that major.
    pub minor: u32,
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The version of the engine contract that a component exports.
///
/// # Errors
/// It is not a valid component, or not an engine.
pub fn contract_of(component: &[u8]) -> Result<Contract, ComponentError> {
    if Parser::is_core_wasm(component) {
        return Err(ComponentError::Module);
    }
    if !component.starts_with(b"\0asm") {
        return Err(ComponentError::NotWebAssembly);
    }
    // Its own words go over several lines, and name the place in hex.
    let invalid = |error: wasmparser::BinaryReaderError| {
        ComponentError::Invalid(format!("{} (at byte {})", error.message(), error.offset()))
    };
    let mut found = None;
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(invalid)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            // Only what the outermost component exports: one inside may be an engine that this one wraps.
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let Some(contract) = contract_in(export.map_err(invalid)?.name.name) else {
                        continue;
                    };
                    match found {
                        Some(other) if other != contract => return Err(ComponentError::Ambiguous(other, contract)),
                        _ => found = Some(contract),
                    }
                }
            }
            _ => {}
        }
    }
    // Last, as it costs most: a file that was cut or altered is told here, not by every processor.
    Validator::new().validate_all(component).map_err(invalid)?;
    found.ok_or(ComponentError::NotAnEngine)
}

/// `filemill:engine/analyzer@1.2.3` → 1.2.
fn contract_in(name: &str) -> Option<Contract> {
    let mut numbers = name.strip_prefix(EXPORT)?.split('.').map(|number| number.parse().ok());
    Some(Contract { major: numbers.next()??, minor: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_exports_name() {
        assert_eq!(contract_in("filemill:engine/analyzer@1.0.0"), Some(Contract { major: 1, minor: 0 }));
        assert_eq!(contract_in("filemill:engine/analyzer@12.3.4-rc.1"), Some(Contract { major: 12, minor: 3 }));
        for name in [
            "filemill:engine/analyzer",
            "filemill:engine/analyzer@x.0.0",
            "filemill:engine/analyzer@1",
            "other:engine/analyzer@1.0.0",
            "analyzer@1.0.0",
        ] {
            assert_eq!(contract_in(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_component_is_refused_with_its_kind() {
        assert_eq!(contract_of(b"\0asm\x01\0\0\0"), Err(ComponentError::Module));
        assert_eq!(contract_of(b"\0asm\x0d\0\x01\0"), Err(ComponentError::NotAnEngine));
        assert_eq!(contract_of(b"PK\x03\x04"), Err(ComponentError::NotWebAssembly));
        assert_eq!(contract_of(b""), Err(ComponentError::NotWebAssembly));
        let cut = contract_of(b"\0asm\x0d\0\x01\0\x0b").expect_err("it is cut");
        assert!(matches!(cut, ComponentError::Invalid(_)) && !cut.to_string().contains('\n'), "{cut}");
    }
}
