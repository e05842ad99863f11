//! `login`, `key` and `journal`: who the user is, and what this machine knows.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use filemill_client::{
    Error, Home, Identity, NewJournal, begin_new_journal, import_identity, load_identity, parse_identity, shown,
};

use crate::args;
use crate::lines::{Output, tell, tell_error};

/// Longest key file, in bytes.
const KEY_MAX_BYTES: u64 = 64 << 10;

pub(crate) async fn login(home: &Home, login: args::Login) -> Result<ExitCode, Error> {
    let place = login.store.key_store.into();
    let done =
        filemill_client::login(home, &login.server, &login.token_file, &login.pool, place, login.allow_plain_http)
            .await?;
    let config = &done.config;
    tell(&format!("logged in to `{}` as `{}` of `{}`", config.server, config.user, config.organisation));
    tell(&format!("pool `{}`, fingerprint {}", config.enrolment.pool(), config.enrolment.fingerprint()));
    tell(&format!("storage: {}", config.storage_origins.join(", ")));
    tell(&format!("results are sealed for {}", done.recipient));
    if let Some(problem) = &done.pool_problem {
        tell("nothing can be sent yet:");
        tell_error(problem);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn journal(home: &Home, command: args::Journal) -> Result<ExitCode, Error> {
    let args::Journal::New = command;
    let NewJournal { aside, uploads, files, results } = begin_new_journal(home).await?;
    if let Some(aside) = aside {
        tell(&format!("the former journal lies in `{}` now", shown(&aside)));
    }
    tell(&format!("taken over from it: {uploads} uploads, {files} files, {results} results"));
    tell(
        "`filemill resume` goes on with what was on its way; what the journal does not know any more is sent again by `filemill send`",
    );
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn key(home: &Home, command: args::Key) -> Result<ExitCode, Error> {
    let home = home.clone();
    // A keychain may ask its owner for a password.
    let work = tokio::task::spawn_blocking(move || {
        match command {
            args::Key::Show => print(&load_identity(&home)?.recipient().to_string()),
            args::Key::Export => print(&load_identity(&home)?.expose_secret()),
            args::Key::New { store } => {
                let identity = Identity::generate();
                import_identity(&home, store.key_store.into(), &identity, false)?;
                tell(&format!("results are sealed for {}", identity.recipient()));
            }
            args::Key::Import { file, replace, store } => {
                let identity = parse_identity(&read(&file)?)?;
                import_identity(&home, store.key_store.into(), &identity, replace)?;
                tell(&format!("results are sealed for {}", identity.recipient()));
            }
        }
        Ok(ExitCode::SUCCESS)
    });
    work.await.map_err(|_| Error::Stopped)?
}

fn print(line: &str) {
    let mut output = Output::new();
    output.line(line);
    output.flush();
}

fn read(file: &Path) -> Result<String, Error> {
    let failed =
        |error: std::io::Error| Error::File { action: "read", path: file.to_owned(), detail: error.to_string() };
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(KEY_MAX_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(KEY_MAX_BYTES).read_to_string(&mut text))
    };
    read.map(|_| text).map_err(failed)
}
