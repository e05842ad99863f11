//! Which crate may depend on which: `client → server/api ← server`, `host/processor → server/api`, both ends → `client/seal` and `client/transport`, all → `text`.
//!
//! Only what a product is built from counts. Tests may use any crate: an end-to-end test of a client needs a server.

use std::path::Path;

use super::{Finding, Sources};
use crate::tree::{Metadata, Package};

/// Each crate of the workspaces but the engines, and those it may be built from. A crate that is not listed may depend on none; listing only
/// direct dependencies says all, since each of them has its own line.
const MAY_DEPEND: [(&str, &[&str]); 12] = [
    ("filemill-text", &[]),
    ("filemill-api", &[]),
    ("filemill-seal", &[]),
    ("filemill-transport", &["filemill-api", "filemill-text"]),
    ("filemill-client", &["filemill-api", "filemill-seal", "filemill-text", "filemill-transport"]),
    ("filemill-cli", &["filemill-client", "filemill-api", "filemill-seal", "filemill-text"]),
    ("filemill-runtime", &[]),
    (
        "filemill-processor",
        &["filemill-runtime", "filemill-api", "filemill-seal", "filemill-text", "filemill-transport"],
    ),
    ("filemill-server", &["filemill-api", "filemill-text"]),
    ("xtask", &["filemill-text"]),
    ("filemill-engine", &[]),
    ("filemill-plot", &[]),
];

/// What any engine, a crate in this folder that is not listed above, may be built from.
const ENGINES: (&str, &[&str]) = ("engines", &["filemill-engine", "filemill-plot"]);

/// Checks every crate of a workspace. Dependencies are those on a folder beside, wherever it is.
pub(super) fn check(root: &Path, metadata: &Metadata, sources: &Sources) -> Vec<Finding> {
    metadata.packages.iter().flat_map(|package| check_package(root, package, sources)).collect()
}

fn check_package(root: &Path, package: &Package, sources: &Sources) -> Vec<Finding> {
    let manifest = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
    let unlisted = if manifest.starts_with(ENGINES.0) { ENGINES.1 } else { &[] };
    let row = MAY_DEPEND.iter().find(|(name, _)| *name == package.name);
    let allowed = row.map_or(unlisted, |(_, allowed)| *allowed);
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let built_from = dependency.kind.as_deref() != Some("dev");
        if dependency.path.is_none() || !built_from || allowed.contains(&dependency.name.as_str()) {
            continue;
        }
        let key = dependency.rename.as_ref().unwrap_or(&dependency.name);
        let hint = if allowed.is_empty() {
            "it may be built from no crate of this repository (tests may use them: `[dev-dependencies]`)".to_owned()
        } else {
            format!("it may be built from {} (tests may use any: `[dev-dependencies]`)", allowed.join(", "))
        };
        findings.push(Finding {
            path: manifest.to_owned(),
            line: sources.line_of(manifest, |line| is_key(line, key)),
            what: format!("`{}` depends on `{}`", package.name, dependency.name),
            hint,
        });
    }
    findings
}

/// Whether a manifest's line sets `key`: `key = …`, `key.workspace = …` or `[dependencies.key]`.
fn is_key(line: &str, key: &str) -> bool {
    let line = line.trim();
    let table = line.strip_suffix(']').and_then(|table| table.rsplit_once('.')).is_some_and(|(_, last)| last == key);
    table || line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '=', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Dependency;

    fn findings(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        findings_in("some", package, dependency, kind)
    }

    fn findings_in(folder: &str, package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = Metadata {
            target_directory: "/r/target".into(),
            workspace_root: "/r".into(),
            packages: vec![Package {
                name: package.into(),
                version: "0.1.0".into(),
                manifest_path: Path::new("/r").join(folder).join("Cargo.toml"),
                dependencies: vec![Dependency {
                    name: dependency.into(),
                    rename: None,
                    kind: kind.map(str::to_owned),
                    path: Some("/r/other".into()),
                }],
                targets: Vec::new(),
            }],
        };
        let manifest = format!("[package]\n[dependencies]\n{dependency}.workspace = true\n");
        let sources = Sources::from([("some/Cargo.toml", manifest.as_str())]);
        check(Path::new("/r"), &metadata, &sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn no_client_is_built_from_host_or_server_and_no_host_from_the_server() {
        for (package, dependency) in [
            ("filemill-client", "filemill-runtime"),
            ("filemill-client", "filemill-processor"),
            ("filemill-client", "filemill-server"),
            ("filemill-cli", "filemill-server"),
            ("filemill-seal", "filemill-api"),
            ("filemill-processor", "filemill-server"),
            ("filemill-runtime", "filemill-api"),
            ("filemill-runtime", "filemill-seal"),
            ("filemill-runtime", "filemill-processor"),
            ("filemill-transport", "filemill-seal"),
            ("filemill-transport", "filemill-client"),
            ("filemill-api", "filemill-seal"),
            ("filemill-server", "filemill-seal"),
            ("xtask", "filemill-api"),
            ("a-new-crate", "filemill-api"),
        ] {
            for kind in [None, Some("build")] {
                let found = findings(package, dependency, kind);
                let expected = format!("some/Cargo.toml:3: `{package}` depends on `{dependency}`; hint:");
                assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
            }
        }
    }

    #[test]
    fn engines_are_built_from_what_is_made_for_engines_and_nothing_else() {
        assert_eq!(findings_in("engines/mine", "mine", "filemill-engine", None), [""; 0]);
        assert_eq!(findings_in("engines/size/v2", "size-v2", "filemill-plot", None), [""; 0]);
        for (package, dependency) in [("mine", "size"), ("mine", "filemill-seal"), ("filemill-engine", "filemill-plot")]
        {
            assert_eq!(findings_in("engines/mine", package, dependency, None).len(), 1, "{package} {dependency}");
        }
        assert_eq!(findings_in("client/mine", "mine", "filemill-engine", None).len(), 1);
    }

    #[test]
    fn the_designs_dependencies_and_those_of_tests_pass() {
        for (package, dependency, kind) in [
            ("filemill-client", "filemill-seal", None),
            ("filemill-processor", "filemill-api", None),
            ("filemill-processor", "filemill-runtime", None),
            ("filemill-server", "filemill-api", None),
            ("xtask", "filemill-server", Some("dev")),
        ] {
            assert_eq!(findings(package, dependency, kind), [""; 0]);
        }
    }
}
