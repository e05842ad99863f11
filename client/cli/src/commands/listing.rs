//! `results`, `open`, `status` and `cancel`: questions that are answered at once.

use std::path::Path;
use std::process::ExitCode;

use filemill_client::{Error, Fetched, Finished, Home, StillToFetch, UploadId};
use tokio_util::sync::CancellationToken;

use super::{open_to_read, saying_who_is_silent};
use crate::lines::{Output, files, plain, tell, tell_error};
use crate::{report, words};

pub(crate) async fn results(home: Home, json: bool, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let client = open_to_read(home).await?;
    let work = async {
        // What is in the journal can be shown all the same.
        let mut code = ExitCode::SUCCESS;
        match client.fetch_results().await {
            Ok(Fetched { left, unknown }) => {
                if unknown > 0 {
                    tell(&format!(
                        "{unknown} new results are of uploads that this journal does not know: another device sent them, or a journal that was lost"
                    ));
                }
                for StillToFetch { path, reason, .. } in left {
                    let (path, reason) = (plain(&path.display().to_string()), plain(&reason));
                    tell(&format!("`{path}`: result still to fetch: {reason}"));
                }
            }
            Err(error) => {
                tell_error(&error);
                code = ExitCode::FAILURE;
            }
        }
        let mut output = Output::new();
        let mut after = 0;
        loop {
            let page = client.results(after).await?;
            if page.next == after || output.is_closed() {
                break;
            }
            if after == 0 && !json {
                output.line(&report::heading());
            }
            after = page.next;
            for file in &page.files {
                output.print(&line(file, json), json);
            }
            output.flush();
        }
        if after == 0 && code == ExitCode::SUCCESS {
            tell("the journal has no result yet: `filemill status` says what is not done");
        }
        Ok(code)
    };
    let result = tokio::select! {
        result = saying_who_is_silent(&client, work) => result,
        () = stop.cancelled() => Err(Error::Stopped),
    };
    client.close().await;
    result
}

pub(crate) async fn open(home: Home, file: &Path, json: bool) -> Result<ExitCode, Error> {
    let client = open_to_read(home).await?;
    let opened = client.open_file(file).await;
    client.close().await;
    let opened = opened?;
    let mut output = Output::new();
    if !json {
        output.line(&report::heading());
    }
    output.print(&line(&opened, json), json);
    output.flush();
    Ok(if opened.ending.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn status(home: Home, json: bool, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let client = open_to_read(home).await?;
    let mut output = Output::new();
    let mut waiting = 0_u64;
    let work = client.status(|file| {
        waiting += 1;
        output.print(&if json { report::waiting_json(&file) } else { report::waiting_row(&file) }, json);
    });
    let result = tokio::select! {
        result = saying_who_is_silent(&client, work) => result,
        () = stop.cancelled() => Err(Error::Stopped),
    };
    output.flush();
    let watched = client.watched_folders().await;
    client.close().await;
    result?;
    for folder in watched? {
        tell(&format!("`{}` {}", filemill_client::shown(&folder.path), plain(&words::look(&folder.look))));
    }
    if waiting == 0 {
        tell("nothing is waiting that this home has begun to send");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn cancel(home: Home, uploads: &[UploadId], all: bool) -> Result<ExitCode, Error> {
    let client = open_to_read(home).await?;
    let mut code = ExitCode::SUCCESS;
    let cancelling = client.cancel(if all { &[] } else { uploads }, |upload, cancelled| match cancelled {
        Ok(count) => tell(&format!("`{upload}`: {} cancelled", files(count.into()))),
        Err(error) => {
            tell(&format!("`{upload}` was not cancelled"));
            tell_error(&error);
            code = ExitCode::FAILURE;
        }
    });
    let cancelled = saying_who_is_silent(&client, cancelling).await;
    let forgotten = match &cancelled {
        Ok(_) => client.forget_failed(if all { &[] } else { uploads }).await,
        Err(_) => Ok(0),
    };
    client.close().await;
    tell(&format!("{} cancelled", files(cancelled?)));
    match forgotten? {
        0 => {}
        number => tell(&format!(
            "{} that had failed {} listed no more",
            files(number),
            if number == 1 { "is" } else { "are" }
        )),
    }
    Ok(code)
}

fn line(file: &Finished, json: bool) -> String {
    if json { report::json(file) } else { report::row(file) }
}
