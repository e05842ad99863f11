//! Whatever part is killed or frozen, in the middle of whatever upload: afterwards every file has exactly one result, and
//! nothing that the server had counted as stored was sent again.
//!
//! Proxies hold the second half of each upload back until the blow has fallen, so that it always falls in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use filemill_api::Outcome;
use xtask::stack::ProcessorOptions;
use xtask::wait;

use crate::harness::{Backend, Between, Deed, Files, LEASE, LIMIT, Line, Person, Recorded, Running, Stage, on_both};

on_both!(
    a_killed_client_goes_on_with_its_large_file,
    a_killed_client_goes_on_with_its_many_files,
    a_frozen_client_goes_on_with_its_large_file,
    a_frozen_client_goes_on_with_its_many_files,
    a_killed_processor_loses_no_large_file,
    a_killed_processor_loses_none_of_many_files,
    a_frozen_processor_is_too_late_for_its_large_file,
    a_frozen_processor_is_too_late_for_its_many_files,
    a_killed_server_goes_on_with_a_large_file,
    a_killed_server_goes_on_with_many_files,
    a_frozen_server_goes_on_with_a_large_file,
    a_frozen_server_goes_on_with_many_files,
);

/// Longer than a lease lasts.
const PAST_THE_LEASE: Duration = LEASE.saturating_add(Duration::from_secs(1));

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// One file of 26 chunks.
    Large,
    /// 3,000 files in 5 chunks.
    Many,
}

impl Load {
    /// Chunks that pass before the blow.
    fn first_half(self) -> u32 {
        match self {
            Self::Large => 12,
            Self::Many => 2,
        }
    }
}

/// A stage on which half of the work is done.
struct Scene {
    stage: Stage,
    between: Between,
    processors: Vec<Recorded>,
    ada: Person,
    files: Files,
    /// Chunks that the server counts as stored, and those that storage has confirmed to somebody.
    counted: usize,
    confirmed: usize,
}

impl Scene {
    /// Sends the load, and waits until its first half is stored and results or an engine tell that it is worked on.
    fn half_way(backend: Backend, load: Load, processors: usize) -> Result<(Self, Running)> {
        let mut stage = Stage::new(backend)?;
        let between = stage.put_between()?;
        let processors =
            (0..processors).map(|_| stage.processor(ProcessorOptions::default())).collect::<Result<Vec<_>>>()?;
        let files = stage.folder("files")?;
        match load {
            Load::Large => drop(files.write_incompressible("large", (25 << 23) + 12_345)?),
            Load::Many => files.write_many(3000, 24_000)?,
        }
        let half = load.first_half();
        between.storage.rule(move |asked| match asked.sequence() {
            Some(sequence) if asked.is_chunk_put() && sequence >= half => Deed::Hold,
            _ => Deed::Pass,
        });
        let ada = stage.person("ada")?;
        let sending = ada.start_sending([files.path()])?;
        wait::until("the first half to be stored", LIMIT, || Ok((ada.asker().stored_chunks()? == half).then_some(())))?;
        match load {
            Load::Large => {
                let begun = || Ok(working(&processors)?.map(drop));
                wait::until("an engine to read", LIMIT, begun)?;
            }
            Load::Many => {
                let some = || Ok((ada.asker().results()?.len() >= 100).then_some(()));
                wait::until("the first results", LIMIT, some)?;
            }
        }
        let confirmed = between.storage.stored_chunks().len();
        let scene = Self { stage, between, processors, ada, files, counted: half as usize, confirmed };
        Ok((scene, sending))
    }

    /// Checks that each file has its one result, in the client's report and on the server, and what was sent twice.
    fn end(self, lines: &[Line]) -> Result<()> {
        let mut missing = BTreeMap::new();
        for path in self.files.all()? {
            missing.insert(path.clone(), fs::metadata(path)?.len());
        }
        let count = missing.len();
        for line in lines {
            let size = missing.remove(&line.file()?).with_context(|| format!("reported twice: {line:?}"))?;
            assert_eq!((line.size, line.number("bytes")), (size, Some(size)), "{line:?}");
        }
        assert!(missing.is_empty(), "no report of {} files: {missing:?}", missing.len());

        let results = self.ada.asker().results()?;
        let good = |&&(outcome, times): &&(Outcome, usize)| outcome == Outcome::Succeeded && times == 1;
        assert_eq!(results.values().filter(good).count(), count, "{results:?}");
        assert_eq!(results.len(), count, "a file was analysed more than once");
        assert!(self.ada.asker().uploads()?.is_empty(), "an upload is left");

        let stored = self.between.storage.stored_chunks();
        let mut distinct = stored.clone();
        distinct.sort();
        distinct.dedup();
        let again = stored.len() - distinct.len();
        // What storage had confirmed and the server did not know of yet may be sent again, but nothing else.
        let unknown = self.confirmed - self.counted;
        assert!(again <= unknown, "{again} chunks were sent again, {unknown} needed to be");
        self.stage.end()
    }

    /// Lets the second half through, and waits for the client's report.
    fn let_go(&self, sending: Running) -> Result<Vec<Line>> {
        self.between.storage.pass();
        sending.end(LIMIT)?.well()?.lines()
    }
}

/// The processor in which an engine has read a byte.
fn working(processors: &[Recorded]) -> Result<Option<usize>> {
    for (index, recorded) in processors.iter().enumerate() {
        if !recorded.all("job first byte")?.is_empty() {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Waits while something stays frozen: this time is what the test is about.
fn outlast_the_lease() -> Result<()> {
    let begun = Instant::now();
    wait::until("a lease to pass", LIMIT, || Ok((begun.elapsed() > PAST_THE_LEASE).then_some(())))
}

fn killed_client(backend: Backend, load: Load) -> Result<()> {
    let (scene, sending) = Scene::half_way(backend, load, 1)?;
    sending.kill()?;
    let again = scene.ada.start_sending([scene.files.path()])?;
    let lines = scene.let_go(again)?;
    scene.end(&lines)
}

fn frozen_client(backend: Backend, load: Load) -> Result<()> {
    let (scene, sending) = Scene::half_way(backend, load, 1)?;
    sending.freeze()?;
    scene.between.storage.pass();
    match load {
        // A processor waits for its next chunk, and gives the lease back in the end.
        Load::Large => drop(scene.processors[0].until("returned stalled", |_| true)?),
        Load::Many => outlast_the_lease()?,
    }
    sending.thaw()?;
    let lines = scene.let_go(sending)?;
    scene.end(&lines)
}

fn killed_processor(backend: Backend, load: Load) -> Result<()> {
    let (mut scene, sending) = Scene::half_way(backend, load, 1)?;
    let processor = &mut scene.stage.stack().processors_mut()[0];
    processor.kill()?;
    processor.start_again()?;
    let lines = scene.let_go(sending)?;
    scene.end(&lines)
}

fn frozen_processor(backend: Backend, load: Load) -> Result<()> {
    let (mut scene, sending) = Scene::half_way(backend, load, 2)?;
    let frozen = working(&scene.processors)?.context("nobody works")?;
    scene.stage.stack().processors_mut()[frozen].freeze()?;
    // The other one does it all, after the lease.
    let lines = scene.let_go(sending)?;
    let told = scene.ada.asker().results()?;
    scene.stage.stack().processors_mut()[frozen].thaw()?;
    if load == Load::Large {
        scene.processors[frozen].until("lease lost", |_| true)?;
    }
    // It works again, and what it still knew of the old jobs changed nothing.
    let other = scene.stage.folder("other")?;
    other.write("file", "one line\n")?;
    let working = 1 - frozen;
    scene.stage.stack().processors_mut()[working].stop()?;
    let bob = scene.stage.person("bob")?;
    bob.send([other.path()])?.well()?;
    assert_eq!(scene.ada.asker().results()?, told);
    scene.end(&lines)
}

fn killed_server(backend: Backend, load: Load) -> Result<()> {
    let (mut scene, mut sending) = Scene::half_way(backend, load, 1)?;
    scene.stage.stack().server_mut().kill()?;
    scene.between.storage.pass();
    sending.until_said("cannot be reached")?;
    scene.stage.stack().server_mut().start_again()?;
    let lines = scene.let_go(sending)?;
    scene.end(&lines)
}

fn frozen_server(backend: Backend, load: Load) -> Result<()> {
    let (mut scene, sending) = Scene::half_way(backend, load, 1)?;
    scene.stage.stack().server_mut().freeze()?;
    scene.between.storage.pass();
    outlast_the_lease()?;
    scene.stage.stack().server_mut().thaw()?;
    let lines = scene.let_go(sending)?;
    scene.end(&lines)
}

fn a_killed_client_goes_on_with_its_large_file(backend: Backend) -> Result<()> {
    killed_client(backend, Load::Large)
}

fn a_killed_client_goes_on_with_its_many_files(backend: Backend) -> Result<()> {
    killed_client(backend, Load::Many)
}

fn a_frozen_client_goes_on_with_its_large_file(backend: Backend) -> Result<()> {
    frozen_client(backend, Load::Large)
}

fn a_frozen_client_goes_on_with_its_many_files(backend: Backend) -> Result<()> {
    frozen_client(backend, Load::Many)
}

fn a_killed_processor_loses_no_large_file(backend: Backend) -> Result<()> {
    killed_processor(backend, Load::Large)
}

fn a_killed_processor_loses_none_of_many_files(backend: Backend) -> Result<()> {
    killed_processor(backend, Load::Many)
}

fn a_frozen_processor_is_too_late_for_its_large_file(backend: Backend) -> Result<()> {
    frozen_processor(backend, Load::Large)
}

fn a_frozen_processor_is_too_late_for_its_many_files(backend: Backend) -> Result<()> {
    frozen_processor(backend, Load::Many)
}

fn a_killed_server_goes_on_with_a_large_file(backend: Backend) -> Result<()> {
    killed_server(backend, Load::Large)
}

fn a_killed_server_goes_on_with_many_files(backend: Backend) -> Result<()> {
    killed_server(backend, Load::Many)
}

fn a_frozen_server_goes_on_with_a_large_file(backend: Backend) -> Result<()> {
    frozen_server(backend, Load::Large)
}

fn a_frozen_server_goes_on_with_many_files(backend: Backend) -> Result<()> {
    frozen_server(backend, Load::Many)
}
