//! `login`, `key` and `journal`: who the user is, and what this machine knows.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use filemill_client::{
    Credential, Error, Home, Identity, LoginOptions, NewJournal, Pin, begin_new_journal, import_identity,
    load_identity, parse_identity, read_given, shown,
};

use crate::args;
use crate::hints::hint;
use crate::lines::{Output, tell};
use crate::words::{replaced_pool, tell_event};

/// Longest key file, in bytes.
const KEY_MAX_BYTES: u64 = 64 << 10;

pub(crate) async fn login(home: &Home, login: args::Login) -> Result<ExitCode, Error> {
    let credential = match (&login.code, &login.token_file) {
        (Some(code), _) => Credential::Code(code),
        // The command line has one of them.
        (None, file) => Credential::TokenFile(file.as_deref().unwrap_or(Path::new(""))),
    };
    let pin = match (&login.root, &login.pool) {
        (Some(root), _) => Pin::Root(root),
        (None, file) => Pin::Enrolment(file.as_deref().unwrap_or(Path::new(""))),
    };
    let options = LoginOptions {
        server: &login.server,
        credential,
        pin,
        place: login.store.key_store.into(),
        allow_plain_http: login.allow_plain_http,
    };
    let done = filemill_client::login_with(home, &options, tell_event).await?;
    let config = &done.config;
    tell(&format!("logged in to `{}` as `{}` of `{}`", config.server, config.user, config.organisation));
    if let Some(former) = &done.former_pool {
        tell(&replaced_pool(former, &config.enrolment));
    }
    tell(&format!("pool `{}`, fingerprint {}", config.enrolment.pool(), config.enrolment.fingerprint()));
    if let Some(lowest) = config.enrolment.lowest_format() {
        tell(&format!("nothing older than format {} is sent to it, as its enrolment says", lowest.number()));
    }
    tell(&format!("storage: {}", config.storage_origins.join(", ")));
    tell(&format!("results are sealed for {}", done.recipient));
    if let Some(problem) = &done.pool_problem {
        // Who it is and where are pinned all the same.
        tell(&format!("warning: nothing can be sent yet: {problem}"));
        if let Some(hint) = hint(problem) {
            tell(&format!("hint: {hint}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn journal(home: &Home, command: args::Journal) -> Result<ExitCode, Error> {
    let args::Journal::New = command;
    let NewJournal { aside, uploads, files, results } = begin_new_journal(home).await?;
    match aside {
        Some(aside) => {
            tell(&format!("the former journal lies in `{}` now", shown(&aside)));
            tell(&format!("taken over from it: {uploads} uploads, {files} files, {results} results"));
        }
        None => tell("the journal was gone: a new one was begun, and nothing could be taken over"),
    }
    tell(
        "`filemill resume` goes on with what was on its way; what the journal does not know any more is sent again by `filemill send`",
    );
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn key(home: &Home, command: args::Key) -> Result<ExitCode, Error> {
    // Before anything that holds a thread: it may be a pipe.
    let imported = match &command {
        args::Key::Import { file, .. } => {
            Some(parse_identity(&read(file).await?).map_err(|error| Error::NoKeyIn { path: file.clone(), error })?)
        }
        _ => None,
    };
    let home = home.clone();
    // A keychain may ask its owner for a password.
    let work = tokio::task::spawn_blocking(move || {
        match (command, imported) {
            (args::Key::Show, _) => print(&load_identity(&home)?.recipient().to_string()),
            (args::Key::Export, _) => print(&load_identity(&home)?.expose_secret()),
            (args::Key::New { store, replace }, _) => {
                keep(&home, store, &Identity::generate(), replace)?;
                tell(
                    "results that were sealed for another key cannot be opened with it; `filemill send` sends such files again",
                );
            }
            (args::Key::Import { replace, store, .. }, Some(identity)) => keep(&home, store, &identity, replace)?,
            (args::Key::Import { .. }, None) => {}
        }
        Ok(ExitCode::SUCCESS)
    });
    work.await.map_err(|_| Error::Stopped)?
}

fn keep(home: &Home, store: args::Store, identity: &Identity, replace: bool) -> Result<(), Error> {
    import_identity(home, store.key_store.into(), identity, replace)?;
    tell(&format!("results are sealed for {}", identity.recipient()));
    Ok(())
}

fn print(line: &str) {
    let mut output = Output::new();
    output.line(line);
    output.flush();
}

async fn read(file: &Path) -> Result<String, Error> {
    if file.as_os_str() != "-" {
        return read_given(file, KEY_MAX_BYTES).await;
    }
    let read = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin().take(KEY_MAX_BYTES)));
    let failed = |error: std::io::Error| Error::File {
        action: "read",
        path: "standard input".into(),
        detail: error.to_string(),
    };
    read.await.map_err(|_| Error::Stopped)?.map_err(failed)
}
