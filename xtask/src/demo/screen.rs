//! The screen that the demo ends with: the table, where to look, what to do next.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use filemill_text::Lines;

use super::row::Row;

/// What a terminal has at least.
const COLUMNS: usize = 100;

/// Prints the screen: the table, where to look, what to do next.
///
/// # Errors
///
/// When standard output does not take it.
pub(super) fn print(rows: &[Row], took: Duration, page: &Path) -> Result<()> {
    let mut out = Lines::on_stdout();
    for line in lines(rows, took, page) {
        out.line(line)?;
    }
    Ok(out.flush()?)
}

/// What to do after the demo.
const NEXT: [&str; 3] = [
    "Next    cargo xtask demo PATH…   your own files; `.`: this repository's, some broken on purpose",
    "        cargo xtask install      the programs to where your shell finds them; README.md goes on",
    "        cargo xtask engine new words --lang rust   an engine of your own; or `c`, `python`, `js`",
];

fn lines(rows: &[Row], took: Duration, page: &Path) -> Vec<String> {
    let mut lines = vec![row(["FILE", "SIZE", "ENGINE", "CPU", "WHAT IT FOUND"])];
    lines.extend(rows.iter().map(|one| {
        let time = one.cpu_us().map(time).unwrap_or_default();
        row([&one.name(), &size(one.size), &one.engine, &time, &one.found()])
    }));
    let pictures: usize = rows.iter().map(|row| row.pictures().count()).sum();
    lines.push(format!(
        "{} files in {:.1} s: sealed here, stored, analysed in a sandbox, opened again with this client's key.",
        rows.len(),
        took.as_secs_f32()
    ));
    lines.push(String::new());
    lines.push(format!("Saved   {pictures} plots and thumbnails, on one page for a browser:"));
    lines.push(format!("        {}", page.display()));
    lines.extend(NEXT.map(str::to_owned));
    lines
}

fn row([name, size, engine, time, found]: [&str; 5]) -> String {
    cut(&format!("{name:<20} {size:>8}  {engine:<7} {time:>7}  {found}"), COLUMNS)
}

/// The first `columns` characters, the last of which says whether there are more.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns - 1).chain(['…']).collect()
}

fn size(bytes: u64) -> String {
    match bytes {
        ..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn time(us: u64) -> String {
    match us {
        ..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::rows;
    use super::*;

    fn shown(last: &str) -> Vec<String> {
        lines(&rows(last), Duration::from_millis(1234), Path::new("/t/index.html"))
    }

    #[test]
    fn what_is_shown_fits_one_screen() {
        let lines = shown(&format!(r#""summary":"{}""#, "very ".repeat(100)));
        assert!(lines.len() <= 28, "{} lines", lines.len());
        for line in lines {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }

    #[test]
    fn files_stand_in_the_order_of_the_set_with_what_they_took_and_what_was_found() {
        let lines = shown(r#""summary":"s","resources":{"cpu_us":1500}"#);
        assert_eq!(lines[1], "mountains.png          1.2 kB  table            a <b> & \"c\"");
        assert_eq!(lines[20], "wordlist.txt           1.2 kB  table    1.5 ms  s");
    }
}
