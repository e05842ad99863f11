//! The demo, as a newcomer runs it.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::harness::{Ran, xtask};

/// What a terminal shows at once, less the lines of cargo itself.
const SCREEN: (usize, usize) = (28, 100);

fn demo(args: &[&str]) -> Result<Ran> {
    Ran::of(xtask(&[&["demo"], args].concat())?)
}

#[test]
fn the_chosen_files_all_get_a_report_and_are_shown_on_one_screen_with_what_can_be_looked_at() -> Result<()> {
    let ran = demo(&[])?;
    ensure!(ran.code == Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    ensure!(lines.len() <= SCREEN.0, "{} lines:\n{}", lines.len(), ran.out);
    ensure!(lines.iter().all(|line| line.chars().count() <= SCREEN.1 || line.ends_with("index.html")), "{}", ran.out);
    for engine in ["archive", "digest", "image", "scan", "size", "table", "text"] {
        ensure!(
            lines.iter().any(|line| line.contains(&format!("  {engine} "))),
            "nothing for `{engine}`:\n{}",
            ran.out
        );
    }
    ensure!(!ran.out.contains("rejected: ") && !ran.out.contains("failed: "), "{}", ran.out);
    for found in ["GPS position", "8760 rows, 5 columns", "5 secrets found", "macro", "1500 lines"] {
        ensure!(ran.out.contains(found), "nobody found `{found}`:\n{}", ran.out);
    }

    let page = lines.iter().find_map(|line| line.trim().strip_suffix("/index.html")).context("no page is named")?;
    let text = fs::read_to_string(format!("{page}/index.html"))?;
    let pictures: Vec<&str> =
        text.split("<img src=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    ensure!(pictures.len() > 10, "{text}");
    for picture in pictures {
        ensure!(fs::metadata(format!("{page}/{picture}"))?.len() > 0, "`{picture}` is empty");
    }
    Ok(())
}

#[test]
fn a_file_that_its_engine_rejects_was_analysed_unless_asked_otherwise() -> Result<()> {
    let file = "engines/archive/fixtures/no-archive.txt";
    let ran = demo(&["--json", "--engine", "archive", file])?;
    ensure!(ran.code == Some(0) && ran.out.contains("\"outcome\":\"rejected\""), "{ran:?}");
    let ran = demo(&["--engine", "archive", "--fail-on", "rejected", file])?;
    ensure!(ran.code == Some(1) && ran.out.contains("rejected"), "{ran:?}");
    let ran = demo(&["--engine", "size", "no-such-file"])?;
    ensure!(ran.code == Some(1), "{ran:?}");
    Ok(())
}
