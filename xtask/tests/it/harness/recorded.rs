//! The events that a processor records.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use xtask::stack::ProcessorOptions;
use xtask::{Process, wait};

use super::LIMIT;

/// The events of one processor, over all its starts.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    log: PathBuf,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) fields: Map<String, Value>,
}

impl Recorded {
    /// Makes a processor record.
    pub(crate) fn ask(options: &mut ProcessorOptions) {
        options.args.push("--log-json".into());
        options.env.push(("RUST_LOG".into(), "filemill_processor::events=debug,info".into()));
    }

    pub(crate) fn of(process: &Process) -> Self {
        Self { log: process.log() }
    }

    /// Every event so far.
    pub(crate) fn events(&self) -> Result<Vec<Event>> {
        let text = fs::read(&self.log).with_context(|| format!("cannot read `{}`", self.log.display()))?;
        Ok(String::from_utf8_lossy(&text).lines().filter_map(event).collect())
    }

    /// Every event called `name` so far.
    pub(crate) fn all(&self, name: &str) -> Result<Vec<Event>> {
        let mut events = self.events()?;
        events.retain(|event| event.name == name);
        Ok(events)
    }

    /// Waits until `what` is in the processor's log.
    pub(crate) fn until_logged(&self, what: &str) -> Result<()> {
        wait::until(&format!("the processor to log `{what}`"), LIMIT, || {
            let log = fs::read(&self.log)?;
            Ok(String::from_utf8_lossy(&log).contains(what).then_some(()))
        })
    }

    /// Waits for an event.
    pub(crate) fn until(&self, name: &str, fits: impl Fn(&Event) -> bool) -> Result<Event> {
        wait::until(&format!("the event `{name}`"), LIMIT, || Ok(self.all(name)?.into_iter().find(|event| fits(event))))
    }
}

impl Event {
    /// How long after another event of the same processor it happened, in seconds.
    pub(crate) fn seconds_after(&self, other: &Self) -> Result<f64> {
        Ok(self.second_of_day()? - other.second_of_day()?)
    }

    /// A field's text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// From a timestamp such as `2026-01-31T23:59:58.123456Z`.
    fn second_of_day(&self) -> Result<f64> {
        let timestamp = self.text("timestamp").context("an event has a time")?;
        let time = timestamp.trim_end_matches('Z').split('T').nth(1);
        let parts = time.context("a time of day")?.split(':').map(str::parse);
        let parts: Vec<f64> = parts.collect::<Result<_, _>>().context("a time of day")?;
        Ok(parts.iter().fold(0.0, |sum, part| sum * 60.0 + part))
    }
}

fn event(line: &str) -> Option<Event> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
        return None; // what is no JSON is the harness's own first line
    };
    Some(Event { name: fields.get("message")?.as_str()?.to_owned(), fields })
}
