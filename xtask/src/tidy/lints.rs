//! Every crate takes over its workspace's lints, and unsafe code is where it is known to be.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, Sources};
use crate::tree::Metadata;

/// Crates that cannot take the lints over as they are, since one file of theirs needs unsafe code and `forbid` allows no
/// exception: they repeat the workspace's lints with `unsafe_code = "deny"`.
const DENIES: [&str; 2] = ["filemill-client", "filemill-runtime"];

/// Files that may allow unsafe code, and why. `*` stands for one folder.
const UNSAFE: [(&str, &str); 3] = [
    ("client/core/src/watch/lease.rs", "asks the system for a file lease, which no crate does in safe code"),
    ("host/runtime/src/native.rs", "deserialises machine code that this host compiled and signed itself"),
    ("engines/*/src/bindings.rs", "generated at the border of a component"),
];

/// Checks that the workspace's `manifest` keeps unsafe code out and that each of its crates takes over its lints.
pub(super) fn check_manifests(root: &Path, manifest: &Path, metadata: &Metadata, sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |path: &Path, line: usize, what: &str, hint: &str| {
        findings.push(Finding { path: path.to_owned(), line, what: what.into(), hint: hint.into() });
    };
    let workspace = sources.text(manifest).unwrap_or_default();
    let guests = manifest.starts_with("engines");
    let level = if guests { "deny" } else { "forbid" };
    let unsafe_code = format!("unsafe_code = \"{level}\"");
    if !section(workspace, "workspace.lints.rust").contains(unsafe_code.as_str()) {
        let line = sources.line_of(manifest, |line| line.trim() == "[workspace.lints.rust]");
        let hint = format!("`[workspace.lints.rust]` must say `{unsafe_code}`");
        find(manifest, line, "does not keep unsafe code out", &hint);
    }
    for package in &metadata.packages {
        let path = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
        let text = sources.text(path).unwrap_or_default();
        if section(text, "lints").contains("workspace = true") {
            continue;
        }
        if !DENIES.contains(&package.name.as_str()) {
            find(path, 1, "does not take over the workspace's lints", "add `[lints]` with `workspace = true`");
            continue;
        }
        for table in ["rust", "clippy"] {
            let own = section(text, &format!("lints.{table}"));
            for lint in section(workspace, &format!("workspace.lints.{table}")) {
                let expected = lint.replace("\"forbid\"", "\"deny\"");
                if !own.contains(expected.as_str()) {
                    let line = sources.line_of(path, |line| line.trim() == format!("[lints.{table}]"));
                    let what = format!("lacks the workspace's lint `{expected}`");
                    find(path, line, &what, "repeat it: this crate has lints of its own");
                }
            }
        }
    }
    findings
}

/// Checks that only known files allow unsafe code.
pub(super) fn check_allowances(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in sources.with_extension("rs") {
        if UNSAFE.iter().any(|(pattern, _)| matches(path, pattern)) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let attribute = line.starts_with("#[") || line.starts_with("#![");
            if attribute && line.contains("unsafe_code") && !line.contains("forbid(") {
                findings.push(Finding {
                    path: path.to_owned(),
                    line: index + 1,
                    what: "allows unsafe code".into(),
                    hint: "do without, or list the file with a reason in `xtask/src/tidy/lints.rs`".into(),
                });
            }
        }
    }
    findings
}

/// The lines of a table of a manifest, without comments.
fn section<'a>(manifest: &'a str, table: &str) -> BTreeSet<&'a str> {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) != Some(table))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

fn matches(path: &Path, pattern: &str) -> bool {
    let pattern = Path::new(pattern);
    path.components().count() == pattern.components().count()
        && path.components().zip(pattern.components()).all(|(part, of)| of.as_os_str() == "*" || part == of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Package;

    const WORKSPACE: &str =
        "[workspace.lints.rust]\n# Why.\nunsafe_code = \"forbid\"\nmissing_docs = \"warn\"\n\n[profile.dev]\nx = 1\n";

    fn found(workspace: &str, name: &str, manifest: &str) -> Vec<String> {
        let package = Package {
            name: name.into(),
            version: "0.1.0".into(),
            manifest_path: "/r/a/Cargo.toml".into(),
            dependencies: Vec::new(),
            targets: Vec::new(),
        };
        let metadata =
            Metadata { target_directory: "/r/target".into(), workspace_root: "/r".into(), packages: vec![package] };
        let sources = Sources::from([("Cargo.toml", workspace), ("a/Cargo.toml", manifest)]);
        let findings = check_manifests(Path::new("/r"), Path::new("Cargo.toml"), &metadata, &sources);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_crate_without_the_workspaces_lints_is_found() {
        assert_eq!(found(WORKSPACE, "a", "[lints]\nworkspace = true\n"), [""; 0]);
        for manifest in ["[package]\n", "[lints.rust]\nunsafe_code = \"deny\"\n", "[lints]\n[x]\nworkspace = true\n"] {
            let found = found(WORKSPACE, "a", manifest);
            assert!(found.len() == 1 && found[0].starts_with("a/Cargo.toml:1: does not take over"), "{found:?}");
        }
    }

    #[test]
    fn a_workspace_that_permits_unsafe_code_is_found() {
        let found = found("[workspace.lints.rust]\nunsafe_code = \"warn\"\n", "a", "[lints]\nworkspace = true\n");
        assert!(found.len() == 1 && found[0].starts_with("Cargo.toml:1: does not keep"), "{found:?}");
    }

    #[test]
    fn a_crate_with_lints_of_its_own_repeats_the_workspaces() {
        let own = "[lints.rust]\nunsafe_code = \"deny\"\nmissing_docs = \"warn\"\n";
        assert_eq!(found(WORKSPACE, "filemill-runtime", own), [""; 0]);
        let found = found(WORKSPACE, "filemill-runtime", "[package]\n[lints.rust]\nunsafe_code = \"deny\"\n");
        assert!(found.len() == 1 && found[0].starts_with("a/Cargo.toml:2: lacks the workspace's lint `missing"));
    }

    #[test]
    fn unsafe_code_is_allowed_only_where_it_is_known_to_be() {
        let text = "//! A.\n#![allow(unsafe_code)]\n";
        let known = [("host/runtime/src/native.rs", text), ("engines/size/src/bindings.rs", text)];
        assert_eq!(check_allowances(&Sources::from(known)), []);
        let found = check_allowances(&Sources::from([("engines/size/src/lib.rs", text)]));
        assert!(found.len() == 1 && found[0].line == 2);
    }
}
