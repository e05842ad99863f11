//! What a built engine must look like from outside before anybody is asked to run it.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

/// What an engine may import: nothing beside the contract. In particular no WASI, which would hand it a clock and random
/// numbers.
const CONTRACT: &str = "filemill:engine/";

/// The interface every engine exports.
const ANALYZER: &str = "filemill:engine/analyzer@";

/// Checks that `bytes` are a valid component which exports the analyzer and imports nothing beside the contract.
///
/// # Errors
///
/// When they are not; the error names what is imported or missing.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let mut encoding = None;
    let mut depth = 0_u32;
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.context("what was built is not WebAssembly")? {
            Payload::Version { encoding: of, .. } if encoding.is_none() => encoding = Some(of),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    if encoding != Some(Encoding::Component) {
        bail!("what was built is a core module, not a component\nhint: the linker must be `wasm-component-ld`");
    }
    if let Some(foreign) = imports.iter().find(|name| !name.starts_with(CONTRACT)) {
        let mut hint = String::from("an engine is given nothing beside the contract");
        if foreign.starts_with("wasi:") {
            write!(hint, "; a crate that reads files, time or random numbers brings this in")?;
        }
        bail!("it imports `{foreign}`\nhint: {hint}");
    }
    if !exports.iter().any(|name| name.starts_with(ANALYZER)) {
        bail!("it does not export `{ANALYZER}…`\nhint: `export!` the type that implements `Guest`");
    }
    Validator::new_with_features(WasmFeatures::default()).validate_all(bytes).context("the component is not valid")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of nothing but empty instances, named so.
    fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
        let name = |out: &mut Vec<u8>, name: &str| {
            out.push(0);
            out.push(u8::try_from(name.len()).expect("short"));
            out.extend(name.as_bytes());
        };
        let section = |out: &mut Vec<u8>, id: u8, body: Vec<u8>| {
            out.extend([id, u8::try_from(body.len()).expect("short")]);
            out.extend(body);
        };
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        section(&mut bytes, 7, vec![1, 0x42, 0]); // one type: an instance without exports
        let mut body = vec![u8::try_from(imports.len()).expect("few")];
        for import in imports {
            name(&mut body, import);
            body.extend([5, 0]); // an instance of type 0
        }
        section(&mut bytes, 10, body);
        section(&mut bytes, 5, vec![1, 1, 0]); // one instance, of inline exports: none
        let instance = u8::try_from(imports.len()).expect("few");
        let mut body = vec![u8::try_from(exports.len()).expect("few")];
        for export in exports {
            name(&mut body, export);
            body.extend([5, instance, 0]);
        }
        section(&mut bytes, 11, body);
        bytes
    }

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", check(bytes).expect_err("refused"))
    }

    #[test]
    fn an_engine_passes() {
        check(&component(&["filemill:engine/host@1.0.0"], &["filemill:engine/analyzer@1.0.0"])).expect("sound");
    }

    #[test]
    fn anything_imported_beside_the_contract_is_refused_by_name() {
        let bytes = component(&["wasi:clocks/wall-clock@0.2.6"], &["filemill:engine/analyzer@1.0.0"]);
        let refusal = refusal(&bytes);
        assert!(refusal.contains("imports `wasi:clocks/wall-clock@0.2.6`"), "{refusal}");
    }

    #[test]
    fn a_component_that_is_no_engine_is_refused() {
        assert!(refusal(&component(&[], &["other:thing/api@1.0.0"])).contains("does not export"));
    }

    #[test]
    fn a_core_module_and_garbage_are_refused() {
        assert!(refusal(b"\0asm\x01\0\0\0").contains("core module"));
        assert!(refusal(b"#!/bin/sh").contains("not WebAssembly"));
    }
}
