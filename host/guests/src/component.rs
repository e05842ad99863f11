//! Turns the texts of guests into components.
//!
//! A guest is a few fields of a core module. What it does not define itself it gets from here (`component/v1.wat` and
//! `component/v2.wat` around it, `component/v1.helpers.wat` and `component/v2.helpers.wat` before it): a good `describe`, an `analyze` that gives up, and
//! names for what the host offers. Memory and allocator are in a module of their own, since the host's functions need them
//! before the guest's module can have those functions.
//!
//! Its first lines may ask for something else:
//!
//! - `;; contract: 2` (otherwise 1),
//! - `;; memory: 64` (pages of 64 KiB; otherwise 32),
//! - `;; allocator: forged` or `loops`, for one that gives the host no place to write to,
//! - `;; access: seekable` in its description,
//! - `;; version: 3.0.0` of its contract, whatever that is (otherwise the major's first),
//! - `;; analyze: $engine`, for a component instance to be called in the guest's place.
//!
//! What comes after a line `;; beside:` goes into the component itself, before the guest's module; it defines the core
//! instance `$beside`, from which the guest may import.

/// Gives the next bytes of the memory, and gives up beyond its end.
const BUMP: &str = "
  (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
  (global.set $heap (i32.add (local.get $at) (local.get 3)))
  (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))) (then unreachable))
  (local.get $at)";

/// Gives the host a place to write to that is not in the memory.
const FORGED: &str = "(i32.const 0x7ffffff0)";

/// Never gives the host anything.
const LOOPS: &str = "(loop $for_ever (br $for_ever)) unreachable";

/// One major of the contract, as a component's text.
struct Contract {
    component: &'static str,
    helpers: &'static str,
    /// What a guest that does not define them exports.
    defaults: &'static [(&'static str, &'static str)],
}

const DESCRIBE: (&str, &str) = ("describe", r#"(func (export "describe") (result i32) (i32.const 64))"#);

const V1: Contract = Contract {
    component: include_str!("component/v1.wat"),
    helpers: include_str!("component/v1.helpers.wat"),
    defaults: &[
        DESCRIBE,
        ("analyze", r#"(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32) unreachable)"#),
    ],
};

const V2: Contract = Contract {
    component: include_str!("component/v2.wat"),
    helpers: include_str!("component/v2.helpers.wat"),
    defaults: &[
        DESCRIBE,
        ("analyze", r#"(func (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) unreachable)"#),
        ("callback", r#"(func (export "callback") (param i32 i32 i32) (result i32) unreachable)"#),
    ],
};

/// A component around the text of a guest.
///
/// # Panics
///
/// Where the text is not valid.
pub fn component(guest: &str) -> Vec<u8> {
    text(&component_text(guest))
}

/// The same, built for another version of contract 1.
///
/// # Panics
///
/// Where the text is not valid.
pub fn component_for(contract: &str, guest: &str) -> Vec<u8> {
    component(&format!(";; version: {contract}\n{guest}"))
}

fn component_text(guest: &str) -> String {
    let (guest, beside) = guest.split_once("\n;; beside:\n").unwrap_or((guest, "(core instance $beside)"));
    let directive =
        |name: &str| guest.lines().find_map(|line| line.strip_prefix(";; ")?.strip_prefix(name)?.strip_prefix(": "));
    let contract = match directive("contract") {
        None => V1,
        Some("2") => V2,
        Some(other) => panic!("there is no contract `{other}`"),
    };
    let realloc = match directive("allocator") {
        None => BUMP,
        Some("forged") => FORGED,
        Some("loops") => LOOPS,
        Some(other) => panic!("there is no allocator `{other}`"),
    };
    let access = match directive("access") {
        None => "",
        Some("seekable") => r#"(data (i32.const 96) "\01")"#,
        Some(other) => panic!("there is no access `{other}`"),
    };
    let defaults: String = contract
        .defaults
        .iter()
        .filter(|(name, _)| !guest.contains(&format!("(export \"{name}\")")))
        .map(|(_, field)| *field)
        .collect();
    let helpers = contract.helpers.replace("{access}", access);
    // A module's imports come before everything else.
    let (imports, fields): (Vec<&str>, Vec<&str>) = guest.lines().partition(|line| line.starts_with("(import "));
    let (imports, fields) = (imports.join("\n"), fields.join("\n"));
    let component = match directive("version") {
        None => contract.component.to_owned(),
        Some(version) => contract.component.replace("@1.0.0\"", &format!("@{version}\"")),
    };
    let component = match directive("analyze") {
        None => component,
        Some(instance) => component.replace(
            r#"(export "analyze" (func $analyze))"#,
            &format!(r#"(export "analyze" (func {instance} "analyze"))"#),
        ),
    };
    component
        .replace("{pages}", directive("memory").unwrap_or("32"))
        .replace("{realloc}", realloc)
        .replace("{beside}", beside)
        .replace("{guest}", &format!("{imports} {helpers} {defaults} {fields}\n"))
}

/// A component from its own text.
///
/// # Panics
///
/// Where the text is not valid.
pub fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).unwrap_or_else(|error| panic!("the text is not valid: {error}"))
}
