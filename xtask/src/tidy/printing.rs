//! Only `text` writes to standard output and standard error: it escapes what strangers said, and nobody else has to think of it.

use std::path::Path;

use super::{Finding, Sources};

/// What writes to either, or hands it on to somebody who does.
const WAYS: [&str; 7] = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "stdout()", "stderr()"];
/// The same without being called: as a function that is handed on.
const HANDED_ON: [&str; 2] = ["io::stdout", "io::stderr"];
/// The same as files.
const FILES: [&str; 5] = ["/dev/stdout", "/dev/stderr", "/dev/tty", "/proc/self/fd/1", "/proc/self/fd/2"];

/// Files that may, and why.
const ALLOWED: [(&str, &str); 6] = [
    ("text/src/print.rs", "it is the one place"),
    ("text/src/log.rs", "it is the one place for logs"),
    (
        "host/runtime/src/compile/child.rs",
        "machine code and an error for the process that started it, which escapes it",
    ),
    ("host/guests/build.rs", "what cargo reads from a build script"),
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
        for (index, line) in code(text).filter(|(_, line)| writes(line)) {
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

/// The numbered lines before the tests, which come last. Something else may be for tests, too, anywhere.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        let begins_tests =
            |next: &str| line.1.starts_with("#[cfg(") && line.1.contains("test") && next.starts_with("mod ");
        if lines.peek().is_some_and(|(_, next)| begins_tests(next) && next.ends_with('{')) { None } else { Some(line) }
    })
}

fn is_allowed(path: &Path) -> bool {
    ALLOWED.iter().any(|(allowed, _)| path == Path::new(allowed))
}

/// Whether a line of code writes to standard output or standard error, or may. To ask whether they are a terminal writes nothing.
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
        || FILES.into_iter().any(|file| rest.contains(&format!("\"{file}\"")))
        || imports(&rest)
}

/// Whether either is imported among others, to be called or handed on by its bare name.
fn imports(line: &str) -> bool {
    let imported = line.strip_prefix("use std::io::").and_then(|rest| rest.strip_prefix('{'));
    let mut names = imported.into_iter().flat_map(|rest| rest.split(|byte: char| !byte.is_alphanumeric()));
    names.any(|name| ["stdout", "stderr"].contains(&name))
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
            "use std::io::{self, stderr};",
            "File::create(\"/dev/stderr\")?",
            "#[cfg(test)]\nuse std::fs;\n\nprintln!()",
        ] {
            let found = check(&Sources::from([("host/src/x.rs", &*format!("//! X.\n{line}\n"))]));
            assert!(found.len() == 1 && found[0].line == 1 + line.lines().count(), "{line}: {found:?}");
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
            "#[cfg(test)]\nmod tests {\n    println!()\n}",
            "#[cfg(all(test, unix))]\nmod tests {\n    println!()\n}",
        ] {
            assert_eq!(check(&Sources::from([("host/src/x.rs", line)])), [], "{line}");
        }
    }
}
