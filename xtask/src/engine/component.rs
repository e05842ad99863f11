//! What a built engine must look like from outside before anybody is asked to run it.

use anyhow::{Context, Result, bail};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

/// What an engine may import beside WASI: the contract.
const CONTRACT: &str = "filemill:engine/";

/// What components built for wasm32-wasip2 import. A host gives them one without files, network, environment and clock.
const WASI: &str = "wasi:";
const WASI_MINOR: &str = "@0.2.";

/// The majors of the contract that a host runs.
const MAJORS: [&str; 2] = ["1", "2"];

/// The interface every engine exports.
const ANALYZER: &str = "filemill:engine/analyzer@";

/// Checks that `bytes` are a valid component which exports the analyzer of a major that a host runs and imports nothing
/// beside the contract and WASI 0.2. Returns what it imports of WASI.
///
/// # Errors
///
/// When they are not; the error names what is imported or missing.
pub(super) fn check(bytes: &[u8]) -> Result<Vec<String>> {
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
    let (wasi, ours): (Vec<String>, Vec<String>) =
        imports.into_iter().partition(|name| name.starts_with(WASI) && name.contains(WASI_MINOR));
    if let Some(foreign) = ours.iter().find(|name| !name.starts_with(CONTRACT)) {
        bail!("it imports `{foreign}`\nhint: an engine is given nothing beside the contract");
    }
    let versions: Vec<&str> = exports.iter().filter_map(|name| name.strip_prefix(ANALYZER)).collect();
    let Some(version) = versions.first() else {
        bail!("it does not export `{ANALYZER}…`\nhint: docs/engines.md says what each language exports");
    };
    if !versions.iter().any(|version| version.split('.').next().is_some_and(|major| MAJORS.contains(&major))) {
        bail!("it is built for contract {version}\nhint: this tree has contracts {}", MAJORS.join(" and "));
    }
    // What is on by default covers component-model async, which contract 2 needs. The host has the last word.
    Validator::new_with_features(WasmFeatures::default()).validate_all(bytes).context("the component is not valid")?;
    Ok(wasi)
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
        for major in ["1.0.0", "1.3.0", "2.0.0"] {
            let (import, export) =
                (format!("filemill:engine/host@{major}"), format!("filemill:engine/analyzer@{major}"));
            assert_eq!(check(&component(&[&import], &[&export])).expect("sound"), [""; 0]);
        }
    }

    #[test]
    fn a_contract_that_no_host_runs_is_refused() {
        let refusal = refusal(&component(&[], &["filemill:engine/analyzer@3.0.0"]));
        assert!(refusal.contains("built for contract 3.0.0\nhint: this tree has contracts 1 and 2"), "{refusal}");
    }

    #[test]
    fn what_is_imported_of_wasi_is_told() {
        let bytes = component(&["wasi:clocks/wall-clock@0.2.6"], &["filemill:engine/analyzer@1.0.0"]);
        assert_eq!(check(&bytes).expect("sound"), ["wasi:clocks/wall-clock@0.2.6"]);
    }

    #[test]
    fn anything_imported_beside_the_contract_is_refused_by_name() {
        for foreign in ["wasi:clocks/wall-clock@0.3.0", "env:net/sockets@1.0.0"] {
            let refusal = refusal(&component(&[foreign], &["filemill:engine/analyzer@1.0.0"]));
            assert!(refusal.contains(&format!("imports `{foreign}`")), "{refusal}");
        }
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
