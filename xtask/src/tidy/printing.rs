//! Only `text` writes to standard output and standard error: it escapes what strangers said, and nobody else has to think of it.

use std::path::Path;

use super::{Finding, Sources};

/// What writes to either, or hands it on to somebody who does.
const WAYS: [&str; 7] = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "stdout()", "stderr()"];
/// The same without being called: as a function that is handed on.
const HANDED_ON: [&str; 2] = ["io::stdout", "io::stderr"];

/// Files that may, and why.
const ALLOWED: [(&str, &str); 5] = [
    ("text/src/print.rs", "it is the one place"),
    ("text/src/log.rs", "it is the one place for logs"),
    ("host/src/compile/child.rs", "machine code and an error for the process that started it, which escapes it"),
    ("xtask/src/tidy/printing.rs", "it names them"),
    ("xtask/src/program.rs", "where other programs write, which escape by themselves"),
];

/// Folders whose programs are not ours to print for, or that no user runs.
const ELSEWHERE: [&str; 4] = ["tests", "benches", "examples", "fuzz"];

/// Checks every source of the workspace but engines, which have no terminal, and tests.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in sources.with_extension("rs") {
        let elsewhere = path.components().any(|part| ELSEWHERE.iter().any(|name| part.as_os_str() == *name));
        if elsewhere || path.starts_with("engines") || path.starts_with("xtask/templates") || is_allowed(path) {
            continue;
        }
        let code = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
        for (index, line) in code.filter(|(_, line)| writes(line)) {
            findings.push(Finding {
                path: path.to_owned(),
                line: index + 1,
                what: format!("writes to a terminal by itself: `{}`", line.trim()),
                hint: "use `filemill_text::tell!`, `Lines` or `LogLine`, which escape what strangers said".into(),
            });
        }
    }
    findings
}

fn is_allowed(path: &Path) -> bool {
    ALLOWED.iter().any(|(allowed, _)| path == Path::new(allowed))
}

/// Whether a line of code writes to standard output or standard error, or may. To ask whether they are a terminal is none.
fn writes(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with("//") {
        return false;
    }
    let mut rest = line.to_owned();
    for asked in ["stdout().is_terminal()", "stderr().is_terminal()", "is_terminal(&io::stderr())"] {
        for path in ["std::io::", "io::", ""] {
            rest = rest.replace(&format!("{path}{asked}"), "");
        }
    }
    let begins_there = |at: usize| !rest[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    let has = |way: &str| rest.match_indices(way).any(|(at, _)| begins_there(at) && !rest[..at].ends_with('.'));
    WAYS.into_iter().chain(HANDED_ON).any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_prints_by_themselves_is_found() {
        for line in [
            "    println!(\"{name}\");",
            "eprint!(\"{error}\")",
            "let mut out = std::io::stdout().lock();",
            "writeln!(io::stderr(), \"{line}\")",
            ".with_writer(io::stderr)",
            "let x = stderr();",
        ] {
            let found = check(&Sources::from([("host/src/x.rs", &*format!("//! X.\n{line}\n"))]));
            assert!(found.len() == 1 && found[0].line == 2, "{line}: {found:?}");
            assert_eq!(check(&Sources::from([("text/src/print.rs", line)])), [], "{line}");
            assert_eq!(check(&Sources::from([("host/tests/it/x.rs", line)])), [], "{line}");
        }
        for line in [
            "// println!(\"{name}\")",
            "filemill_text::tell!(\"{name}\");",
            "let bars = std::io::stderr().is_terminal();",
            "let out = command.stdout(Stdio::piped());",
            "child.stderr.take()",
            "my_println!(1)",
        ] {
            assert_eq!(check(&Sources::from([("host/src/x.rs", line)])), [], "{line}");
        }
    }
}
