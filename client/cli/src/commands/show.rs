//! `show`: one result in full.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use filemill_client::{Client, Error, Extent, Finished, Home};

use super::open_to_read;
use crate::args::place;
use crate::lines::{Output, plain, tell};
use crate::{listing, report};

/// What an age file begins with, which a sealed result is.
const AGE: &[u8] = b"age-encryption.org/";

pub(crate) async fn show(home: Home, what: &str, json: bool) -> Result<ExitCode, Error> {
    let client = open_to_read(home).await?;
    let shown = find_and_print(&client, what, json).await;
    client.close().await;
    shown
}

async fn find_and_print(client: &Client, what: &str, json: bool) -> Result<ExitCode, Error> {
    let file = find(client, what).await?;
    let mut output = Output::new();
    if json {
        output.json(&report::json(&file));
    } else {
        let description = client.description_of(&file).await.unwrap_or_else(|error| {
            tell(&format!("notice: shown without titles and units: {}", plain(&error.to_string())));
            None
        });
        let all = listing::of(&file, description.as_ref(), Extent::All);
        let is_terminal = std::io::stdout().is_terminal();
        let shown = if is_terminal { listing::of(&file, description.as_ref(), Extent::Screen) } else { Vec::new() };
        let is_cut = is_terminal && shown != all;
        for line in if is_terminal { &shown } else { &all } {
            output.line(line);
        }
        if is_cut {
            output.flush();
            tell("cut to what fits a terminal: `filemill show FILE | less` shows all of it");
        }
    }
    output.flush();
    Ok(if file.ending.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A place in an upload, a sealed result, or a file that was sent.
async fn find(client: &Client, what: &str) -> Result<Finished, Error> {
    if let Some((upload, index)) = place(what) {
        return client.result_of(upload, index).await;
    }
    let path = Path::new(what);
    if is_sealed(path) { client.open_file(path).await } else { client.result_at(path).await }
}

fn is_sealed(path: &Path) -> bool {
    let mut begins = [0; AGE.len()];
    // A pipe would wait for a writer.
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut begins)).is_ok()
        && begins == *AGE
}
