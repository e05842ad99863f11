//! Sends two folders and watches a third at the same time, and prints what each of them tells, one line of JSON an event. The watcher is
//! stopped when everything is sent and it has told of a file; that leaves the others alone.
//!
//! `cargo run -p filemill-client --example several -- ONE TWO WATCHED`, with a home that is logged in.

use std::io::Write;
use std::path::PathBuf;

use filemill_client::{Activity, Client, ClientOptions, Event, Home, SendOptions, WatchOptions};
use serde_json::json;
use tokio::sync::Notify;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [one, two, watched] = <[PathBuf; 3]>::try_from(folders).map_err(|_| "usage: several ONE TWO WATCHED")?;
    let client = Client::open(Home::from_environment()?, ClientOptions::default()).await?;
    let done = several(&client, [one, two], watched, &mut std::io::stdout()).await;
    client.close().await;
    done
}

/// Sends the folders of `sent`, watches `watched`, and writes what they tell to `output`.
pub(crate) async fn several(
    client: &Client,
    sent: [PathBuf; 2],
    watched: PathBuf,
    output: &mut impl Write,
) -> Result<()> {
    let send = |folder| client.send(SendOptions { paths: vec![folder], ..SendOptions::default() });
    let [(one, mut of_one), (two, mut of_two)] = sent.map(send);
    let options = WatchOptions { folders: vec![watched], ..WatchOptions::default() };
    let (watching, mut of_watching) = client.watch(options);
    let first = Notify::new();
    let read = async {
        loop {
            let (activity, event) = tokio::select! {
                Some(event) = of_one.next() => (&one, event),
                Some(event) = of_two.next() => (&two, event),
                Some(event) = of_watching.next() => (&watching, event),
                else => return Ok(()),
            };
            if activity.id() == watching.id() && matches!(event, Event::Finished(_)) {
                first.notify_one();
            }
            writeln!(output, "{}", json!({ "activity": activity.id(), "event": event }))?;
        }
    };
    let stop = async {
        let _ = tokio::join!(one.ended(), two.ended(), first.notified());
        watching.stop();
    };
    let (read, ()): (Result<()>, ()) = tokio::join!(read, stop);
    read?;
    for activity in [&one, &two, &watching] {
        activity.ended().await?;
        writeln!(output, "{}", ended(activity))?;
    }
    Ok(())
}

fn ended(activity: &Activity) -> serde_json::Value {
    json!({ "activity": activity.id(), "ended": activity.progress() })
}
