//! What a test needs: a folder, a fake server, and clients that are logged in to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use filemill_client::{
    Activity, Client, ClientOptions, Error, Event, Events, Finished, Home, KeyPlace, SendOptions, login,
};
use filemill_seal::Enrolment;
use tempfile::TempDir;

use crate::fake::{Fake, TOKEN};

/// No step of a test takes longer, on however busy a machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct World {
    folder: TempDir,
    pub(crate) fake: Fake,
}

/// What an activity came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) result: Result<(), Error>,
    pub(crate) finished: Vec<Finished>,
    pub(crate) events: Vec<Event>,
}

impl World {
    /// A client that is logged in, and a folder `in` for its files.
    pub(crate) async fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), fake: Fake::start().await };
        std::fs::create_dir(world.files()).unwrap();
        let enrolment = world.enrolment().to_json();
        std::fs::write(world.path("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(world.path("pool.json"), enrolment).unwrap();
        let done = world.login().await.unwrap();
        assert!(done.pool_problem.is_none());
        world
    }

    pub(crate) async fn login(&self) -> Result<filemill_client::Login, Error> {
        let server = format!("http://{}", self.fake.address);
        login(&self.home(), &server, &self.path("token"), &self.path("pool.json"), KeyPlace::File, false).await
    }

    /// What the operator of the pool gives to its users.
    pub(crate) fn enrolment(&self) -> Enrolment {
        self.fake.lock().root.enrolment("main").unwrap()
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(self.path("home")).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.path("in")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_of(64).await
    }

    /// One of whose events so many may wait.
    pub(crate) async fn client_of(&self, events_waiting_max: usize) -> Client {
        let options = ClientOptions {
            budget_bytes: 1 << 20,
            chunk_size: 64 << 10,
            events_waiting_max,
            ..ClientOptions::default()
        };
        Client::open(self.home(), options).await.unwrap()
    }

    /// Sends everything in the folder, to the end.
    pub(crate) async fn send(&self) -> Ran {
        self.send_with(SendOptions { paths: vec![self.files()], ..SendOptions::default() }).await
    }

    pub(crate) async fn send_with(&self, options: SendOptions) -> Ran {
        let client = self.client().await;
        let (sending, told) = client.send(options);
        let ran = collect(&sending, told).await;
        client.close().await;
        ran
    }

    pub(crate) async fn resume(&self) -> Ran {
        let client = self.client().await;
        let (resuming, told) = client.resume();
        let ran = collect(&resuming, told).await;
        client.close().await;
        ran
    }

    /// Sends everything in the folder as one upload, and dies when the server has been told that it is stored; only then it is processed.
    pub(crate) async fn die_before_results(&self) {
        self.fake.lock().faults.hold_results = true;
        let stored = |fake: &Fake| {
            let inner = fake.lock();
            inner.uploads.values().any(|upload| upload.told_header && upload.stored.len() as u32 == upload.open.chunks)
        };
        self.send_and_die(stored).await;
        self.fake.process_all();
    }

    /// Sends everything in the folder, and drops it all, as a kill does, as soon as `until` holds.
    pub(crate) async fn send_and_die(&self, until: impl Fn(&Fake) -> bool) {
        let client = self.client().await;
        let options = SendOptions { paths: vec![self.files()], ..SendOptions::default() };
        let (sending, told) = client.send(options);
        die(client, sending, told, || until(&self.fake)).await;
    }
}

/// Drops the client of an activity, as a kill does, as soon as `until` holds.
pub(crate) async fn die(client: Client, activity: Activity, mut told: Events, until: impl FnMut() -> bool) {
    tokio::select! {
        result = activity.ended() => panic!("ended before it could be killed: {result:?}"),
        () = async {
            while told.next().await.is_some() {}
            std::future::pending().await
        } => {}
        () = eventually("to be killed", until) => {}
    }
    drop(client);
    assert!(matches!(activity.ended().await, Err(Error::Stopped)));
}

/// Reads events until the activity has ended.
pub(crate) async fn collect(activity: &Activity, told: Events) -> Ran {
    collect_and(activity, told, |_| {}).await
}

/// The same, and hands each event to `see` first.
pub(crate) async fn collect_and(activity: &Activity, mut told: Events, mut see: impl FnMut(&Event)) -> Ran {
    let mut ran = Ran { result: Ok(()), finished: Vec::new(), events: Vec::new() };
    let read = async {
        while let Some(event) = told.next().await {
            see(&event);
            match event {
                Event::Finished(file) => ran.finished.push(*file),
                other => ran.events.push(other),
            }
        }
        activity.ended().await
    };
    ran.result = tokio::time::timeout(LIMIT, read).await.expect("it did not end in time");
    ran.finished.sort_by(|a, b| a.path.cmp(&b.path));
    ran
}

/// Many chunks that do not compress.
pub(crate) fn noise(chunks: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..chunks * (64 << 10))
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// Waits until `holds`, with a limit.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Ran {
    /// Names with what became of each, one a line.
    pub(crate) fn summary(&self, folder: &Path) -> String {
        let line = |file: &Finished| {
            let name = file.path.strip_prefix(folder).unwrap_or(&file.path).display().to_string();
            let message = match &file.ending {
                filemill_client::Ending::Succeeded { report, .. } => report.as_json().to_owned(),
                ending => ending.message().unwrap_or_default().to_owned(),
            };
            format!("{name}: {message}\n")
        };
        self.finished.iter().map(line).collect()
    }

    /// Fails unless everything succeeded, with these sizes.
    #[track_caller]
    pub(crate) fn assert_sizes(&self, expected: &[(&str, u64)]) {
        self.result.as_ref().unwrap();
        let found: Vec<(String, u64, bool)> = self
            .finished
            .iter()
            .map(|file| {
                let name = file.path.file_name().unwrap().to_string_lossy().into_owned();
                (name, file.size, file.ending.succeeded())
            })
            .collect();
        let expected: Vec<(String, u64, bool)> =
            expected.iter().map(|(name, size)| ((*name).to_owned(), *size, true)).collect();
        assert_eq!(found, expected);
        for file in &self.finished {
            if let filemill_client::Ending::Succeeded { report, .. } = &file.ending {
                assert_eq!(report.as_json(), format!("{{\"bytes\":{}}}", file.size));
            }
        }
    }
}
