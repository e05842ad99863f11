//! Reads from a component's bytes what it is and what it wants, before any of it is compiled.

use wasmparser::{Parser, Payload};

use crate::contract::{Contract, ContractVersion, contracts};
use crate::error::InstallError;
use crate::wasi;

const PACKAGE: &str = "filemill:engine/";
const ANALYZER: &str = "filemill:engine/analyzer";

/// The contract that a component was built for, with the adapter for it.
pub(crate) struct Wanted {
    pub(crate) version: ContractVersion,
    pub(crate) contract: &'static dyn Contract,
}

/// Finds the contract of a component, and checks that it imports nothing beside it and an empty WASI.
pub(crate) fn inspect(component: &[u8]) -> Result<Wanted, InstallError> {
    check_preamble(component)?;
    let (imports, exports) = interfaces(component)?;
    let wanted = contract(&exports)?;
    let foreign: Vec<String> =
        imports.into_iter().filter(|import| !is_offered(import, &wanted)).map(str::to_owned).collect();
    if foreign.is_empty() { Ok(wanted) } else { Err(InstallError::ForeignImports { imports: foreign }) }
}

/// What a component imports, in its order.
///
/// # Errors
///
/// [`InstallError`] where it is not a component.
pub fn imports(component: &[u8]) -> Result<Vec<String>, InstallError> {
    check_preamble(component)?;
    let (imports, _) = interfaces(component)?;
    Ok(imports.into_iter().map(str::to_owned).collect())
}

/// Whether these bytes begin like WebAssembly, of whichever kind.
pub(crate) fn is_wasm(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm")
}

/// The first eight bytes tell a component from a core module and from anything else.
fn check_preamble(bytes: &[u8]) -> Result<(), InstallError> {
    match bytes.get(..8) {
        _ if !is_wasm(bytes) => Err(InstallError::NotWasm),
        None => Err(InstallError::Truncated { at: bytes.len() as u64 }),
        Some(_) if Parser::is_core_wasm(bytes) => Err(InstallError::CoreModule),
        Some(_) if Parser::is_component(bytes) => Ok(()),
        Some(preamble) => {
            Err(InstallError::Malformed { reason: format!("its version bytes are {:02x?}", &preamble[4..]) })
        }
    }
}

/// Names of the component's own imports and exports, not those of what is nested in it.
fn interfaces(component: &[u8]) -> Result<(Vec<&str>, Vec<&str>), InstallError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|e| broken(&e, component))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(|e| broken(&e, component))?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(|e| broken(&e, component))?.name.name);
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn broken(error: &wasmparser::BinaryReaderError, component: &[u8]) -> InstallError {
    // wasmparser has no kind for it; were its text to change, a cut file would be called malformed.
    let at_end = error.offset() >= component.len();
    if at_end || error.message().starts_with("unexpected end") {
        return InstallError::Truncated { at: component.len() as u64 };
    }
    InstallError::Malformed { reason: error.to_string() }
}

/// The newest contract that the component exports an analyzer for and this host runs.
fn contract(exports: &[&str]) -> Result<Wanted, InstallError> {
    let mut unknown = None;
    let mut best: Option<Wanted> = None;
    for export in exports {
        let Some(text) = export.strip_prefix(ANALYZER).and_then(|rest| rest.strip_prefix('@')) else {
            continue;
        };
        let Some(version) = ContractVersion::parse(text) else {
            unknown = Some(text.to_owned());
            continue;
        };
        match contracts().iter().find(|known| known.major() == version.major()) {
            Some(_) if best.as_ref().is_some_and(|best| best.version.major() >= version.major()) => {}
            Some(&contract) => best = Some(Wanted { version, contract }),
            None => unknown = Some(version.to_string()),
        }
    }
    match (best, unknown) {
        (Some(wanted), _) => Ok(wanted),
        (None, Some(wants)) => Err(InstallError::UnknownContract { wants }),
        (None, None) => {
            Err(InstallError::NoContract { exports: exports.iter().map(|&export| export.to_owned()).collect() })
        }
    }
}

/// Whether an import is an interface of the contract's own major. Whether this host's minor has all its functions is
/// found when it is linked.
fn is_offered(import: &str, wanted: &Wanted) -> bool {
    if wasi::is_offered(import) {
        return true;
    }
    let Some((interface, version)) = import.split_once('@') else {
        return false;
    };
    interface.starts_with(PACKAGE)
        && wanted.contract.imports().contains(&interface)
        && ContractVersion::parse(version).is_some_and(|v| v.major() == wanted.contract.major())
}
