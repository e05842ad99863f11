//! A page with every plot and thumbnail that the engines of the demo made.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::row::Row;

/// What is before the files on the page.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Filemill: what the engines made</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; background: #fafafa }
  section { background: #fff; border: 1px solid #ddd; border-radius: 8px; margin: 1rem 0; padding: 0.5rem 1rem 1rem }
  h2 { font-size: 1.1rem; margin: 0.5rem 0 0 } h2 small { color: #777; font-weight: normal }
  p { margin: 0 0 0.5rem; color: #555 } img { max-width: 22rem; margin: 0.25rem; vertical-align: middle }
</style>
<h1>What the engines made</h1>
"#;

/// Writes the page with every plot and thumbnail to `page`, beside or below which they lie.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn write(rows: &[Row], page: &Path) -> Result<()> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let mut text = HEAD.to_owned();
    for row in rows.iter().filter(|row| row.pictures().next().is_some()) {
        let (name, engine, found) = (html(&row.name()), html(&row.engine), html(&row.found()));
        text.push_str(&format!("<section><h2>{name} <small>{engine}</small></h2><p>{found}</p>\n"));
        for (name, path) in row.pictures() {
            let place = url(path.strip_prefix(folder).unwrap_or(path));
            let name = html(name);
            text.push_str(&format!("<a href=\"{place}\"><img src=\"{place}\" alt=\"{name}\" title=\"{name}\"></a>\n"));
        }
        text.push_str("</section>\n");
    }
    fs::write(page, text).with_context(|| format!("cannot write `{}`", page.display()))
}

/// Text that a browser shows as it is: what an engine says is a stranger's.
fn html(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in filemill_text::shown(text).chars() {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            other => shown.push(other),
        }
    }
    shown
}

/// A path as a browser takes it.
fn url(path: &Path) -> String {
    let mut url = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => url.push(char::from(*byte)),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::rows;
    use super::*;

    #[test]
    fn the_page_shows_every_picture_and_obeys_nothing_that_an_engine_says() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("index.html");
        let last = r#""summary":"<script>\u202e&","artifacts":[{"name":"p.svg","media_type":"image/svg+xml","path":"/t/out/a b.svg"},{"name":"d","media_type":"text/plain","path":"/t/d"}]"#;
        write(&rows(last), &file).expect("written");
        let text = fs::read_to_string(&file).expect("there");
        assert!(text.contains(r#"<img src="/t/out/a%20b.svg" alt="p.svg""#), "{text}");
        assert!(text.contains("&lt;script&gt;\\u{202e}&amp;") && !text.contains("/t/d"), "{text}");
    }
}
