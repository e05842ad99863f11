#!/bin/sh
# serde_json 1.0.154 (Rust): the error about a text where none is expected holds ALL of that text, escaped as Rust's `{:?}` does.
#
# Guess before it was run: an error names what was expected, line and column, and at most an excerpt of what was found, as parsers'
# messages do; its size does not depend on the input's.
#
# Seen: a list is expected, and a text of 65,536 letters found: the error's message has 65,6xx bytes. With a text of as many DEL
# characters (U+007F, allowed as they are in JSON by RFC 8259) it has 393,2xx bytes, six for each one, as each becomes `\u{7f}`. The
# message is made when the error is made, whether anybody looks at it or not, in a string that doubles as it grows. Asking
# for an error's `line()`, `column()` or `classify()` alone does not help.
# An error about a text that IS expected, but is not a valid value of an enumeration, holds all of it too.
#
# Why it matters: a service that bounds its request bodies and then parses them takes a multiple of the bound for a moment, and
# writes as much into its answer or log where it hands on the message. Cutting the message comes too late for the memory. What
# bounds it is to look at the length of the texts before they are parsed, or to take the body in small pieces.
#
# Needs: cargo.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/src"
cat > "$dir/Cargo.toml" <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
serde_json = "=1.0.154"
[workspace]
TOML
cat > "$dir/src/main.rs" <<'RUST'
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Request {
    items: Vec<u32>,
}

#[derive(Debug, Deserialize)]
enum Mode {
    Fast,
    Slow,
}

const LENGTH: usize = 1 << 16;

fn main() {
    for (name, text, each) in [("letters", "x", 1), ("DEL", "\u{7f}", 6), ("private use", "\u{e000}", 8)] {
        let body = format!(r#"{{"items":"{}"}}"#, text.repeat(LENGTH));
        let message = serde_json::from_str::<Request>(&body).expect_err("a text is no list").to_string();
        println!("{LENGTH} times {name}: a body of {} bytes, a message of {} bytes", body.len(), message.len());
        let beside = message.len() - each * LENGTH;
        assert!(beside < 100, "it is not repeated in full any more: {:.200}", message);
    }
    let unknown = format!("\"{}\"", "x".repeat(LENGTH));
    let message = serde_json::from_str::<Mode>(&unknown).expect_err("no such mode").to_string();
    println!("an unknown name of {LENGTH} letters: a message of {} bytes", message.len());
    assert!(message.len() > LENGTH);
    let _ = (Mode::Fast, Mode::Slow);
}
RUST
cd "$dir" && cargo run --quiet
