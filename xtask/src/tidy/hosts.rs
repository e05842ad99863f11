//! No registry is named: where packages come from is each machine's own matter, and a name in a file outlives it.

use std::borrow::Cow;
use std::path::Path;

use super::{Finding, Sources};

/// Hosts that hand out packages or images, and what betrays a private mirror. Written in two parts each, so that this file
/// does not name them either.
const HOSTS: [&str; 27] = [
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("yarnpkg", ".com"),
    concat!("jsr", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("anaconda", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("snapshot.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
    concat!("security.ubuntu", ".com"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("repo.maven.apache", ".org"),
    concat!("repo1.maven", ".org"),
    concat!("rubygems", ".org"),
    concat!("nuget", ".org"),
    concat!("docker", ".io/"),
    concat!("registry-1.docker", ".io"),
    concat!("ghcr", ".io"),
    concat!("quay", ".io"),
    concat!("gcr", ".io"),
    concat!("mcr.microsoft", ".com"),
    concat!("registry.k8s", ".io"),
    concat!("/artifact", "ory/"),
];

/// How cargo names its own registry in every lock file, wherever the packages came from.
const CARGO_DEFAULT: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Checks every text of the tree.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in sources.texts() {
        for (index, line) in text.lines().enumerate() {
            let line = without_default(path, line);
            let Some(host) = HOSTS.iter().find(|host| names(&line, host)) else {
                continue;
            };
            findings.push(Finding {
                path: path.to_owned(),
                line: index + 1,
                what: format!("names the registry host `{host}`"),
                hint: "leave it to the package manager's own configuration".into(),
            });
        }
    }
    findings
}

fn without_default<'a>(path: &Path, line: &'a str) -> Cow<'a, str> {
    if path.file_name().is_some_and(|name| name == "Cargo.lock") {
        line.replace(CARGO_DEFAULT, "").into()
    } else {
        line.into()
    }
}

/// Whether `line` has `host`, itself or as the end of a longer one, in whatever case.
fn names(line: &str, host: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let part_of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    line.match_indices(host).any(|(at, _)| {
        let before = at.checked_sub(1).map(|before| line.as_bytes()[before]);
        let after = line.as_bytes().get(at + host.len()).copied();
        (host.starts_with('/') || !before.is_some_and(part_of_word))
            && (host.ends_with('/') || !after.is_some_and(|byte| byte.is_ascii_alphanumeric()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_found_in_any_kind_of_file() {
        let url = concat!("resolved \"https://Registry.npmjs", ".org/x.tgz\"");
        let image = concat!("image: docker", ".io/library/postgres");
        let sources = Sources::from([("web/lock.yaml", "a\nb\n"), ("web/package.json", url), ("compose.yml", image)]);
        let found: Vec<_> = check(&sources).into_iter().map(|finding| (finding.path, finding.line)).collect();
        assert_eq!(found, [("compose.yml".into(), 1), ("web/package.json".into(), 1)]);
    }

    #[test]
    fn cargos_default_registry_may_stand_in_its_lock_file_and_a_mirror_may_not() {
        let standard = format!("source = \"{CARGO_DEFAULT}\"");
        let mirror = concat!("source = \"registry+https://mirror.example/artifact", "ory/index\"");
        assert_eq!(check(&Sources::from([("Cargo.lock", standard.as_str())])), []);
        assert_eq!(check(&Sources::from([("Cargo.lock", mirror)])).len(), 1);
        assert_eq!(check(&Sources::from([("notes.md", standard.as_str())])).len(), 1);
    }

    #[test]
    fn a_word_that_merely_contains_a_name_is_none() {
        assert!(!names("the package docker.io-compat is installed", HOSTS[19]));
        assert!(!names(concat!("mygcr", ".io"), concat!("gcr", ".io")));
        assert!(names(concat!("eu.gcr", ".io/x"), concat!("gcr", ".io")));
    }
}
