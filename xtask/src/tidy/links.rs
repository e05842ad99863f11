//! Relative links in Markdown lead somewhere, and so do the paths that ARCHITECTURE.md names: it is what a newcomer follows.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Sources, markdown};

/// The document whose paths in backticks must exist.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Endings by which a single word in backticks is taken for a file's name.
const ENDINGS: [&str; 8] = ["rs", "md", "toml", "wit", "sql", "yml", "yaml", "json"];

/// Checks every Markdown file of the tree.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in sources.with_extension("md") {
        for link in markdown::links(text) {
            if let Err((what, hint)) = follow(sources, path, &link.target) {
                findings.push(Finding { path: path.to_owned(), line: link.line, what, hint });
            }
        }
    }
    let path = Path::new(ARCHITECTURE);
    for code in markdown::inline_code(sources.text(path).unwrap_or_default()) {
        if names_nothing(sources, &code.text) {
            findings.push(Finding {
                path: path.to_owned(),
                line: code.line,
                what: format!("there is no `{}`", code.text),
                hint: "paths are written from the root of the repository".into(),
            });
        }
    }
    findings
}

/// Why the link `target` of the file at `from` leads nowhere, with what to do; fine when it leads elsewhere than into this tree.
fn follow(sources: &Sources, from: &Path, target: &str) -> Result<(), (String, String)> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let broken = |why: &str, hint: &str| Err((format!("link `{target}` {why}"), hint.to_owned()));
    if path.starts_with('/') {
        return broken("is absolute", "write it relative to the file it stands in");
    }
    let to = if path.is_empty() {
        Some(from.to_owned())
    } else {
        normal(&from.parent().unwrap_or(Path::new("")).join(decode(path)))
    };
    let Some(to) = to else {
        return broken("leads out of the repository", "name what it leads to in words");
    };
    if !sources.has(&to) {
        return broken("leads nowhere", "it is relative to the file it stands in");
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let text = sources.text(&to).unwrap_or_default();
    if to.extension().is_some_and(|extension| extension == "md") {
        if !markdown::anchors(text).contains(anchor) {
            return broken("names a heading that is not there", "an anchor is the heading in lower case, with hyphens");
        }
    } else {
        let lines = text.lines().count();
        let last = anchor.rsplit('L').next().and_then(|line| line.parse::<usize>().ok());
        if last.is_none_or(|last| last == 0 || last > lines) {
            return broken("names a line that is not there", "lines are `#L1`, `#L1-L9`");
        }
    }
    Ok(())
}

/// Whether `text` looks like a path in this tree, and there is nothing there.
fn names_nothing(sources: &Sources, text: &str) -> bool {
    let text = text.split_once("::").map_or(text, |(path, _)| path);
    let text = match text.rsplit_once(':') {
        Some((path, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => path,
        _ => text,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    if text.is_empty() || !text.bytes().all(plain) || text.starts_with(['/', '-']) {
        return false;
    }
    let path = Path::new(text);
    let ends_like_a_file = path.extension().is_some_and(|found| ENDINGS.iter().any(|ending| found == *ending));
    if !text.contains('/') {
        let named = |file: &Path| file.file_name() == path.file_name();
        return ends_like_a_file && !sources.paths().any(named);
    }
    let in_tree = path.components().next().is_some_and(|first| sources.has_folder(Path::new(&first)));
    (in_tree || ends_like_a_file) && !normal(path).is_some_and(|path| sources.has(&path))
}

/// `path` without `.` and `..`; nothing when it leads out of the tree.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => normal.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// `%20` and the like; what is no such thing stays.
fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        match (first, after.get(..2).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let sources = Sources::from([
            (path, text),
            ("docs/a b.md", "# A heading\n"),
            ("host/src/lib.rs", "//! Host.\n//! More.\n"),
            ("wit/engine.wit", ""),
        ]);
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "# Here\n[1](../docs/a%20b.md#a-heading) [2](#here) [3](../host/) [4](../host/src/lib.rs#L2) [5](https://example.org/x#y)\n";
        assert_eq!(found("docs/b.md", text), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for (target, why) in [
            ("c.md", "leads nowhere"),
            ("/docs/b.md", "is absolute"),
            ("../../x", "leads out of the repository"),
            ("#there", "names a heading that is not there"),
            ("a%20b.md#other", "names a heading that is not there"),
            ("../host/src/lib.rs#L3", "names a line that is not there"),
            ("../host/src/lib.rs#main", "names a line that is not there"),
        ] {
            let found = found("docs/b.md", &format!("# Here\n\n[x]({target})\n"));
            let expected = format!("docs/b.md:3: link `{target}` {why}; hint:");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        }
    }

    #[test]
    fn paths_that_the_architecture_names_must_exist() {
        let sound = "`host/src/lib.rs`, `host/src/lib.rs:2`, `host/`, `lib.rs`, `engine.wit`, `filemill:engine@1`, `/v1/uploads`, \
            `upload/sequence/sha256`, `DIR/client`, `engines/*`, `a.b`, `host::Engine`\n";
        assert_eq!(found(ARCHITECTURE, sound), [""; 0]);
        for gone in ["host/src/gone.rs", "gone.rs", "host/gone", "src/lib.rs", "wit/gone.wit"] {
            let found = found(ARCHITECTURE, &format!("\nsee `{gone}`\n"));
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("{ARCHITECTURE}:2: there is no `{gone}`")),
                "{found:?}"
            );
        }
        assert_eq!(found("docs/other.md", "`host/gone`\n"), [""; 0]);
    }
}
