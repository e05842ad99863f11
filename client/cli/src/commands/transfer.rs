//! `send`, `watch` and `resume`: work that prints each file's last word as it comes.

use std::pin::Pin;
use std::process::ExitCode;

use filemill_client::{Activity, Client, Error, Event, Events, Home, ProgressNow, Reason, SendOptions, WatchOptions};
use tokio_util::sync::CancellationToken;

use super::open_client;
use super::parameters::given;
use crate::args;
use crate::exit::EXIT_SIGNAL;
use crate::lines::{Output, plain, tell};
use crate::progress::{Ask, Shown};
use crate::report;
use crate::words::{self, tell_event};

/// Lines that are written at once, with the bars out of the way.
const LINES_AT_ONCE: usize = 256;

pub(crate) async fn send(home: Home, send: args::Send, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let parameters = given(send.analysis.set, stop).await?;
    let client = open_client(home).await?;
    let options = SendOptions {
        paths: send.paths,
        engine: send.analysis.engine,
        again: send.analysis.again,
        ignore: send.analysis.ignore,
        export: send.analysis.out,
        temporary: send.analysis.temporary,
        parameters,
    };
    let (sending, events) = client.send(options);
    let failing = Failures { rejected: send.analysis.failing.rejected(), cancelled: true };
    let printed = print(&sending, events, send.analysis.json, failing, (&pool(&client), stop)).await;
    let printed = unless_stopped(&sending, printed).await;
    client.close().await;
    printed
}

pub(crate) async fn watch(home: Home, watch: args::Watch, stop: &CancellationToken) -> Result<ExitCode, Error> {
    let parameters = given(watch.analysis.set, stop).await?;
    let client = open_client(home).await?;
    let options = WatchOptions {
        folders: watch.folders,
        engine: watch.analysis.engine,
        again: watch.analysis.again,
        ignore: watch.analysis.ignore,
        export: watch.analysis.out,
        settle: watch.settle,
        temporary: watch.analysis.temporary,
        parameters,
    };
    let (watching, events) = client.watch(options);
    let failing = Failures { rejected: watch.analysis.failing.rejected(), cancelled: true };
    let printed = print(&watching, events, watch.analysis.json, failing, (&pool(&client), stop)).await;
    client.close().await;
    printed
}

pub(crate) async fn resume(
    home: Home,
    json: bool,
    failing: args::Failing,
    stop: &CancellationToken,
) -> Result<ExitCode, Error> {
    let client = open_client(home).await?;
    let (resuming, events) = client.resume();
    // Whoever resumes learns what became of it since, and cancelled it perhaps.
    let failing = Failures { rejected: failing.rejected(), cancelled: false };
    let printed = print(&resuming, events, json, failing, (&pool(&client), stop)).await;
    let printed = unless_stopped(&resuming, printed).await;
    client.close().await;
    printed
}

/// Says how to go on with what was stopped: at once, whatever closing waits for.
async fn unless_stopped(activity: &Activity, printed: Result<ExitCode, Error>) -> Result<ExitCode, Error> {
    let Err(Error::Stopped) = printed else { return printed };
    tell(match activity.has_begun().await {
        Ok(false) => "stopped; nothing was begun that is not done: run the same command again",
        _ => "stopped; nothing is lost: run the same command again, or `filemill resume`",
    });
    Ok(ExitCode::from(EXIT_SIGNAL))
}

/// Prints what an activity tells until it has ended, and has it stopped when `stop` is cancelled. Succeeds if every file was analysed, and
/// nothing happened that `failing` names.
async fn print(
    activity: &Activity,
    mut events: Events,
    json: bool,
    failing: Failures,
    (pool, stop): (&str, &CancellationToken),
) -> Result<ExitCode, Error> {
    let mut printer = Printer { output: Output::new(), json, heading: !json };
    let mut shown = Shown::new(activity.clone());
    let mut tick = tokio::time::interval(shown.interval());
    let mut batch = Vec::with_capacity(LINES_AT_ONCE);
    let ended = activity.ended();
    tokio::pin!(ended);
    let mut asked: Asked<'_, (Ask, Option<Reason>)> = None;
    let (mut is_stopped, mut all_told) = (false, false);
    let result = loop {
        tokio::select! {
            // What is told before the end is printed before the end.
            biased;
            told = events.next_many(&mut batch, LINES_AT_ONCE), if !all_told => {
                all_told = told == 0;
                shown.heed(&batch);
                shown.aside(|| printer.print(&mut batch));
            }
            () = stop.cancelled(), if !is_stopped => {
                is_stopped = true;
                activity.stop();
            }
            _ = tick.tick() => if let Some(ask) = shown.tick() {
                // Not waited for here: the work must go on meanwhile.
                asked = Some(Box::pin(async move { (ask, activity.why_waiting().await) }));
            },
            (ask, why) = answer(&mut asked) => {
                asked = None;
                if ask == Ask::All || matches!(why, Some(Reason::NoProcessor { .. })) {
                    shown.said_why();
                    shown.aside(|| tell(&still(why, pool)));
                }
            }
            result = &mut ended => break result,
        }
    };
    while let Some(event) = events.try_next() {
        batch.push(event);
    }
    shown.heed(&batch);
    shown.aside(|| printer.print(&mut batch));
    shown.end(result.is_ok());
    result?;
    let done = has_done(&activity.progress(), failing) && !printer.output.is_closed();
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What makes the exit code 1 beside failures.
#[derive(Clone, Copy)]
struct Failures {
    rejected: bool,
    cancelled: bool,
}

/// Whether nothing that has ended is a failure.
fn has_done(now: &ProgressNow, failing: Failures) -> bool {
    now.failed_files == 0
        && !(failing.rejected && now.rejected_files > 0)
        && !(failing.cancelled && now.cancelled_files > 0)
}

/// A question that is not answered yet, if there is one.
type Asked<'a, T> = Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>;

async fn answer<T>(asked: &mut Asked<'_, T>) -> T {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

/// The pool that files are sealed for.
fn pool(client: &Client) -> String {
    client.config().enrolment.pool().to_owned()
}

/// What is said when everything is stored and no result comes.
fn still(why: Option<Reason>, pool: &str) -> String {
    match why {
        Some(Reason::NoProcessor { lacks }) if !lacks.is_empty() => format!(
            "everything is stored; no processor of pool `{pool}` has: {}; {}, and the results come then",
            lacks.join(", "),
            words::start_one(&lacks)
        ),
        Some(Reason::NoProcessor { .. }) => format!(
            "everything is stored; no processor of pool `{pool}` is running, or none of them can run this engine: \
             an operator starts one with `filemill-processor run`, and the results come then"
        ),
        Some(why) => {
            format!("everything is stored; {}: `filemill status` says it of each file", plain(&words::reason(&why)))
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
    fn print(&mut self, batch: &mut Vec<Event>) {
        for event in batch.drain(..) {
            match event {
                Event::Finished(file) if self.json => self.output.json(&report::json(&file)),
                Event::Finished(file) => {
                    if std::mem::take(&mut self.heading) {
                        self.output.line(&report::heading());
                    }
                    self.output.line(&report::row(&file));
                }
                other => tell_event(&other),
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
        for rejected in [false, true] {
            let failing = Failures { rejected, cancelled: true };
            assert!(has_done(&ended(0, 0), failing));
            assert!(!has_done(&ended(0, 1), failing) && !has_done(&ended(2, 1), failing));
            assert_eq!(has_done(&ended(2, 0), failing), !rejected);
        }
    }

    #[test]
    fn that_no_processor_runs_is_said_with_who_starts_one() {
        insta::assert_snapshot!(
            still(Some(Reason::NoProcessor { lacks: Vec::new() }), "main"),
            @"everything is stored; no processor of pool `main` is running, or none of them can run this engine: an operator starts one with `filemill-processor run`, and the results come then"
        );
        insta::assert_snapshot!(
            still(Some(Reason::NoProcessor { lacks: vec!["contract:2.0".to_owned(), "gpu".to_owned()] }), "main"),
            @"everything is stored; no processor of pool `main` has: contract:2.0, gpu; an operator starts one of a newer version with `filemill-processor run --ability gpu`, and the results come then"
        );
    }

    #[test]
    fn what_was_cancelled_is_no_failure_of_whoever_resumes() {
        let now = ProgressNow { cancelled_files: 1, ..ProgressNow::default() };
        assert!(has_done(&now, Failures { rejected: true, cancelled: false }));
        assert!(!has_done(&now, Failures { rejected: false, cancelled: true }));
    }
}
