//! Order and size of Rust files: the `//!` line, imports, items, tests; one thing a file.

use std::path::Path;

use super::rust_lines::{TopLine, top_lines};
use super::{Finding, Sources};

/// A file longer than this does more than one thing.
const MAX_LINES: usize = 600;

/// Files that may be longer, and why. One that is not longer any more is a finding too.
const LONG: [(&str, &str); 0] = [];

/// Checks every Rust file of the tree.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    check_with(sources, &LONG)
}

fn check_with(sources: &Sources, long: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in sources.with_extension("rs") {
        let excused = long.iter().any(|(excused, _)| path == Path::new(excused));
        findings.extend(check_file(path, text, excused));
    }
    for (excused, _) in long {
        let path = Path::new(excused);
        if sources.text(path).is_none_or(|text| text.lines().count() <= MAX_LINES) {
            findings.push(Finding {
                path: path.to_owned(),
                line: 1,
                what: "is listed as a long file, and is not long".into(),
                hint: "take it off the list in `xtask/src/tidy/order.rs`".into(),
            });
        }
    }
    findings
}

fn check_file(path: &Path, text: &str, may_be_long: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, what: &str, hint: &str| {
        findings.push(Finding { path: path.to_owned(), line, what: what.into(), hint: hint.into() });
    };
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        find(1, "is a `mod.rs`", "name it after its folder, beside it: `foo.rs` + `foo/`");
    }
    if !text.starts_with("//!") {
        find(1, "does not begin with a `//!` line", "say on the first line what the file is for");
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !may_be_long {
        let what = format!("has {lines} lines, more than {MAX_LINES}");
        find(MAX_LINES + 1, &what, "split it, or list it with a reason in `xtask/src/tidy/order.rs`");
    }

    let mut item = None;
    let mut tests = false;
    let mut only_tests = false;
    for TopLine { number, text } in top_lines(text) {
        match kind(text) {
            Kind::Other => {}
            Kind::OnlyTests => only_tests = true,
            Kind::Import => {
                if let (Some(item), false) = (item, only_tests) {
                    find(number, &format!("imports after the item on line {item}"), "imports come first");
                }
                only_tests = false;
            }
            Kind::Module { inline } => {
                tests |= only_tests && inline;
                only_tests = false;
            }
            Kind::Item => {
                if tests {
                    find(number, "has an item after its tests", "tests come last");
                    tests = false; // once is enough
                }
                item.get_or_insert(number);
                only_tests = false;
            }
        }
    }
    findings
}

/// What a line at the top level begins.
enum Kind {
    Import,
    /// `mod`; inline when its text follows.
    Module {
        inline: bool,
    },
    Item,
    /// `#[cfg(test)]` for what comes next.
    OnlyTests,
    /// A comment, another attribute, a macro, the rest of an item.
    Other,
}

fn kind(line: &str) -> Kind {
    if line.starts_with("#[cfg(test)]") {
        return Kind::OnlyTests;
    }
    let public = line.starts_with("pub");
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or(rest, |(_, rest)| rest).trim_start(),
        Some(rest) if rest.starts_with(' ') => rest.trim_start(),
        _ => line,
    };
    match line.split([' ', '<', '(']).next().unwrap_or_default() {
        // A macro can only be exported below the place that defines it: `pub(crate) use name;`, without a path.
        "use" if public && !line.contains("::") => Kind::Other,
        "use" => Kind::Import,
        "mod" => Kind::Module { inline: line.contains('{') },
        "extern" if line.starts_with("extern crate") => Kind::Import,
        "fn" | "struct" | "enum" | "union" | "trait" | "impl" | "type" | "const" | "static" | "async" | "unsafe"
        | "extern" => Kind::Item,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Sources::from([(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_macro_is_exported_below_its_definition() {
        let text = "//! A.\n\nfn before() {}\n\nmacro_rules! one {\n    () => {};\n}\npub(crate) use one;\n";
        assert_eq!(found("a.rs", text), Vec::<String>::new());
    }

    fn refused(path: &str, text: &str, start: &str) {
        let found = found(path, text);
        assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
    }

    #[test]
    fn a_tidy_file_passes() {
        let text = "//! What it is for.\n#![allow(missing_docs)]\n\nmod a;\n\nuse std::fs;\n\npub use a::B;\n\nconst C: u8 = 1;\n\n\
            pub(crate) fn d() {\n    use std::io;\n}\n\n#[cfg(test)]\nimpl E {}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
        assert_eq!(found("a/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn a_file_without_a_first_line_is_found() {
        refused("a/build.rs", "fn main() {}\n", "a/build.rs:1: does not begin");
    }

    #[test]
    fn a_mod_rs_is_found() {
        refused("a/src/b/mod.rs", "//! B.\n", "a/src/b/mod.rs:1: is a `mod.rs`");
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_excused_and_a_stale_excuse_too() {
        let text = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        refused("a.rs", &text, "a.rs:601: has 601 lines");
        let sources = Sources::from([("a.rs", text.as_str()), ("b.rs", "//! Short.\n")]);
        let findings = check_with(&sources, &[("a.rs", "a table"), ("b.rs", "was long"), ("c.rs", "is gone")]);
        let paths: Vec<_> = findings.iter().map(|finding| finding.path.to_str()).collect();
        assert_eq!(paths, [Some("b.rs"), Some("c.rs")]);
    }

    #[test]
    fn an_import_below_an_item_is_found() {
        refused("a.rs", "//! A.\nfn b() {}\n\nuse std::fs;\n", "a.rs:4: imports after the item on line 2");
    }

    #[test]
    fn an_item_below_the_tests_is_found() {
        let text = "//! A.\n#[cfg(test)]\nmod tests {\n}\n\npub(super) async fn b() {}\n";
        refused("a.rs", text, "a.rs:6: has an item after its tests");
    }
}
