//! The tree is tidy, and `tidy` would notice if it were not.

use std::fs;
use std::path::Path;

use xtask::Tree;
use xtask::tidy::check;

#[test]
fn this_repository_is_tidy() {
    let findings = check(Tree::locate().expect("in a checkout").root()).expect("readable");
    let report: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(report.is_empty(), "\n{}\n", report.join("\n"));
}

#[test]
fn a_tree_with_one_fault_of_each_kind_has_each_found_at_its_place() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let registry = concat!("see https://static.crates", ".io\n");
    for (path, text) in [
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"host\", \"server\"]\nexclude = [\"engines\"]\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n",
        ),
        ("server/Cargo.toml", "[package]\nname = \"filemill-server\"\n"),
        ("server/src/lib.rs", "//! Server.\n\nmod routes;\n"),
        ("server/src/routes/mod.rs", "//! Routes.\n#![allow(unsafe_code)]\n"),
        (
            "host/Cargo.toml",
            "[package]\nname = \"filemill-client\"\n\n[dependencies]\nfilemill-server = { path = \"../server\" }\n\n[lints]\nworkspace = true\n",
        ),
        ("host/src/lib.rs", "// No front page.\nfn late() {}\nuse std::fs;\n"),
        (
            "engines/Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"size\"]\n\n[workspace.lints.rust]\nmissing_docs = \"warn\"\n",
        ),
        ("engines/size/Cargo.toml", "[package]\nname = \"size\"\n\n[lints]\nworkspace = true\n"),
        ("engines/size/src/lib.rs", "//! Size.\n"),
        ("ARCHITECTURE.md", "# Walk\n\nfirst `host/src/gone.rs`, [then](#talk)\n"),
        ("notes.txt", registry),
    ] {
        put(&dir.path().join(path), text);
    }
    let findings = check(dir.path()).expect("readable");
    let found: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}:{}: {}", finding.path.display(), finding.line, finding.what))
        .collect();
    let expected = [
        "ARCHITECTURE.md:3: link `#talk` names a heading that is not there",
        "ARCHITECTURE.md:3: there is no `host/src/gone.rs`",
        "engines/Cargo.toml:5: does not keep unsafe code out",
        "host/Cargo.toml:5: `filemill-client` depends on `filemill-server`",
        "host/src/lib.rs:1: does not begin with a `//!` line",
        "host/src/lib.rs:3: imports after the item on line 2",
        concat!("notes.txt:1: names the registry host `crates", ".io`"),
        "server/Cargo.toml:1: does not take over the workspace's lints",
        "server/src/routes/mod.rs:1: `routes` is a room of the server that has no place among the others",
        "server/src/routes/mod.rs:1: is a `mod.rs`",
        "server/src/routes/mod.rs:2: allows unsafe code",
    ];
    assert_eq!(found, expected);
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("folder");
    fs::write(path, text).expect("file");
}
