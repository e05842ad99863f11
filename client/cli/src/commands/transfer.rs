//! `send`, `watch` and `resume`: work that prints each file's last word as it comes.

use std::pin::Pin;
use std::process::ExitCode;

use filemill_client::{Client, Error, Home, Notice, ProgressNow, Reason, SendOptions, WatchOptions};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::parameters::given;
use super::{open_client, tell_notice};
use crate::EXIT_SIGNAL;
use crate::args;
use crate::lines::{Output, plain, tell};
use crate::progress::Shown;
use crate::report;

/// Lines that are written at once, with the bars out of the way.
const LINES_AT_ONCE: usize = 256;

pub(crate) async fn send(home: Home, send: args::Send, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let parameters = given(send.analysis.set, stop).await?;
    let (client, told) = open_client(home).await?;
    let options = SendOptions {
        paths: send.paths,
        engine: send.analysis.engine,
        again: send.analysis.again,
        ignore: send.analysis.ignore,
        out: send.analysis.out,
        temporary: send.analysis.temporary,
        parameters,
    };
    let (json, failing) = (send.analysis.json, send.analysis.failing);
    let printed = print(&client, told, json, failing, client.send(options, stop)).await;
    let printed = unless_stopped(&client, printed).await;
    client.close().await;
    printed
}

pub(crate) async fn watch(home: Home, watch: args::Watch, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let parameters = given(watch.analysis.set, stop).await?;
    let (client, told) = open_client(home).await?;
    let options = WatchOptions {
        folders: watch.folders,
        engine: watch.analysis.engine,
        again: watch.analysis.again,
        ignore: watch.analysis.ignore,
        out: watch.analysis.out,
        settle: watch.settle,
        temporary: watch.analysis.temporary,
        parameters,
    };
    let (json, failing) = (watch.analysis.json, watch.analysis.failing);
    let printed = print(&client, told, json, failing, client.watch(options, stop)).await;
    client.close().await;
    printed
}

pub(crate) async fn resume(
    home: Home,
    json: bool,
    failing: args::Failing,
    stop: &CancellationToken,
) -> Result<ExitCode, Error> {
    let (client, told) = open_client(home).await?;
    let printed = print(&client, told, json, failing, client.resume(stop)).await;
    let printed = unless_stopped(&client, printed).await;
    client.close().await;
    printed
}

/// Says how to go on with what was stopped: at once, whatever closing waits for.
async fn unless_stopped(client: &Client, printed: Result<ExitCode, Error>) -> Result<ExitCode, Error> {
    let Err(Error::Stopped) = printed else { return printed };
    tell(match client.has_begun().await {
        Ok(false) => "stopped; nothing was begun that is not done: run the same command again",
        _ => "stopped; nothing is lost: run the same command again, or `filemill resume`",
    });
    Ok(ExitCode::from(EXIT_SIGNAL))
}

/// Prints what comes until `work` is done. Succeeds if every file was analysed, and nothing happened that `failing` names.
async fn print(
    client: &Client,
    mut told: mpsc::Receiver<Notice>,
    json: bool,
    failing: args::Failing,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<ExitCode, Error> {
    let mut printer = Printer { output: Output::new(), json, heading: !json };
    let mut shown = Shown::new(client.progress().clone());
    let mut tick = tokio::time::interval(shown.interval());
    let mut batch = Vec::with_capacity(LINES_AT_ONCE);
    tokio::pin!(work);
    let mut asked: Option<Pin<Box<dyn Future<Output = Option<Reason>> + Send + '_>>> = None;
    let result = loop {
        tokio::select! {
            // What is told before the end is printed before the end.
            biased;
            _ = told.recv_many(&mut batch, LINES_AT_ONCE) => {
                shown.aside(|| printer.print(&mut batch));
            }
            _ = tick.tick() => if shown.tick() {
                // Not waited for here: the work must go on meanwhile.
                asked = Some(Box::pin(client.why_waiting()));
            },
            why = answer(&mut asked) => {
                asked = None;
                shown.aside(|| tell(&still(why)));
            }
            result = &mut work => break result,
        }
    };
    while let Ok(notice) = told.try_recv() {
        batch.push(notice);
    }
    shown.aside(|| printer.print(&mut batch));
    shown.end(result.is_ok());
    result?;
    let done = has_done(&client.progress().now(), failing.fail_on) && !printer.output.is_closed();
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every file that has ended was analysed, as far as `fail_on` lets a rejected one count as that.
fn has_done(now: &ProgressNow, fail_on: Option<args::FailOn>) -> bool {
    let unanalysed = match fail_on {
        Some(args::FailOn::Rejected) => now.failed_files + now.rejected_files,
        None => now.failed_files,
    };
    unanalysed == 0
}

async fn answer<T>(asked: &mut Option<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> T {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

/// What is said when everything is stored and no result comes.
fn still(why: Option<Reason>) -> String {
    match why {
        Some(why) => {
            format!("everything is stored; {}: `filemill status` says it of each file", plain(&why.to_string()))
        }
        None => "everything is stored; `filemill status` says what the results wait for".to_owned(),
    }
}

struct Printer {
    output: Output,
    json: bool,
    heading: bool,
}

impl Printer {
    fn print(&mut self, batch: &mut Vec<Notice>) {
        for notice in batch.drain(..) {
            match notice {
                Notice::Finished(file) if self.json => self.output.json(&report::json(&file)),
                Notice::Finished(file) => {
                    if std::mem::take(&mut self.heading) {
                        self.output.line(&report::heading());
                    }
                    self.output.line(&report::row(&file));
                }
                other => tell_notice(&other),
            }
        }
        self.output.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_file_was_analysed_unless_asked_otherwise_and_a_failed_one_never_was() {
        let ended =
            |rejected_files, failed_files| ProgressNow { rejected_files, failed_files, ..ProgressNow::default() };
        for fail_on in [None, Some(args::FailOn::Rejected)] {
            assert!(has_done(&ended(0, 0), fail_on));
            assert!(!has_done(&ended(0, 1), fail_on) && !has_done(&ended(2, 1), fail_on));
            assert_eq!(has_done(&ended(2, 0), fail_on), fail_on.is_none());
        }
    }
}
