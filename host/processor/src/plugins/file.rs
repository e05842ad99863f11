//! One file in the folder, from its first sight to what is offered of it.

use std::time::Duration;

use filemill_api::Offer;
use filemill_seal::Digest;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::folder::Stamp;
use crate::net::Backoff;

/// One file in the folder.
pub(super) struct File {
    stamp: Stamp,
    state: State,
    /// The release that was ready before the file changed: offered until it is known what the file is now.
    before: Option<Plugin>,
    backoff: Backoff,
}

enum State {
    /// It came with this look.
    New,
    /// It came or changed with the look before: the same now, it is taken.
    Settling,
    Installing(Install),
    /// It could not be taken, which may pass.
    Waiting(Instant),
    /// It cannot run here.
    Bad,
    Ready(Plugin),
}

/// An install under way; dropping it calls it off.
struct Install {
    number: u64,
    task: AbortHandle,
}

/// An engine that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plugin {
    pub(super) digest: Digest,
    pub(super) length: u64,
    /// The version of the engine contract that it was built for: major and minor.
    pub(super) contract: (u32, u32),
    pub(super) description: String,
    /// The engine's own version.
    pub(super) version: String,
    pub(super) stored: bool,
}

/// What came of a file that was to be installed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Ready(Plugin),
    /// It is being written: it has to settle again.
    Changing,
    /// Something is lacking that may come: it is tried again, not before `after`.
    NotNow {
        why: String,
        after: Duration,
    },
    Bad(String),
}

/// What is to be done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    No,
    /// It is another one, which has to settle.
    Changed,
    /// It is to be installed.
    Now,
}

impl File {
    pub(super) fn new(stamp: Stamp) -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        Self { stamp, state: State::New, before: None, backoff }
    }

    /// Takes note of how it was found, and says whether it is to be installed.
    pub(super) fn look(&mut self, stamp: Stamp, now: Instant) -> Due {
        if stamp != self.stamp {
            self.stamp = stamp;
            self.backoff.reset();
            // An install under way is called off.
            if let State::Ready(plugin) = std::mem::replace(&mut self.state, State::Settling) {
                self.before = Some(plugin);
            }
            return Due::Changed;
        }
        match self.state {
            State::New => {
                self.state = State::Settling;
                Due::No
            }
            State::Settling => Due::Now,
            State::Waiting(until) if now >= until => Due::Now,
            State::Waiting(_) | State::Installing(_) | State::Bad | State::Ready(_) => Due::No,
        }
    }

    pub(super) fn begin(&mut self, number: u64, task: AbortHandle) {
        self.state = State::Installing(Install { number, task });
    }

    pub(super) fn is_installing(&self, number: u64) -> bool {
        matches!(&self.state, State::Installing(install) if install.number == number)
    }

    /// The install that was under way has ended.
    pub(super) fn end(&mut self, taken: Taken, now: Instant) {
        self.state = match taken {
            Taken::Ready(plugin) => {
                self.before = None;
                self.backoff.reset();
                State::Ready(plugin)
            }
            Taken::Changing => State::Settling,
            Taken::NotNow { after, .. } => State::Waiting(now + after.max(self.backoff.delay())),
            Taken::Bad(_) => {
                self.before = None;
                State::Bad
            }
        };
    }

    /// What is offered of it.
    pub(super) fn plugin(&self) -> Option<&Plugin> {
        match &self.state {
            State::Ready(plugin) => Some(plugin),
            State::New | State::Settling | State::Installing(_) | State::Waiting(_) => self.before.as_ref(),
            State::Bad => None,
        }
    }

    /// Whether it counts among the engines that may be offered at once.
    pub(super) fn has_place(&self) -> bool {
        matches!(self.state, State::Installing(_)) || self.plugin().is_some()
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The component of what is offered was stored.
    pub(super) fn is_stored(&mut self, digest: Digest) {
        let ready = match &mut self.state {
            State::Ready(plugin) => Some(plugin),
            _ => None,
        };
        for plugin in ready.into_iter().chain(&mut self.before) {
            plugin.stored |= plugin.digest == digest;
        }
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Plugin {
    pub(super) fn offer(&self, name: &str) -> Offer {
        Offer {
            name: name.to_owned(),
            digest: self.digest.to_string(),
            length: self.length,
            contract: self.contract.0,
            minor: self.contract.1,
            description: self.description.clone(),
            stored: self.stored,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn plugin(text: &str) -> Plugin {
        let (description, version) = ("{}".to_owned(), "1.0.0".to_owned());
        Plugin { digest: Digest::of(text.as_bytes()), length: 1, contract: (1, 0), description, version, stored: false }
    }

    fn stamps() -> [Stamp; 2] {
        let dir = tempfile::tempdir().expect("a folder");
        [1, 2].map(|length| {
            let path = dir.path().join("a");
            std::fs::write(&path, vec![0; length]).expect("written");
            Stamp::of(&rustix::fs::stat(&path).expect("it is there"))
        })
    }

    async fn nothing() -> AbortHandle {
        tokio::spawn(pending::<()>()).abort_handle()
    }

    /// A file that is offered as `plugin`.
    async fn ready(stamp: Stamp, plugin: &Plugin) -> File {
        let mut file = File::new(stamp);
        let now = Instant::now();
        assert_eq!([file.look(stamp, now), file.look(stamp, now)], [Due::No, Due::Now]);
        file.begin(1, nothing().await);
        file.end(Taken::Ready(plugin.clone()), now);
        assert_eq!(file.plugin(), Some(plugin));
        file
    }

    #[tokio::test]
    async fn what_was_offered_stays_while_the_new_file_cannot_be_read() {
        let ([one, two], now) = (stamps(), Instant::now());
        let mut file = ready(one, &plugin("one")).await;
        assert_eq!([file.look(two, now), file.look(two, now)], [Due::Changed, Due::Now]);
        file.begin(2, nothing().await);
        file.end(Taken::NotNow { why: "no memory".to_owned(), after: Duration::ZERO }, now);
        assert_eq!(file.plugin(), Some(&plugin("one")), "the machine is to blame");
        assert_eq!(file.look(two, now), Due::No);
        assert_eq!(file.look(two, now + Duration::from_secs(1)), Due::Now);
        file.begin(3, nothing().await);
        file.end(Taken::Bad("no engine".to_owned()), now);
        assert_eq!((file.plugin(), file.has_place()), (None, false), "the file is to blame");
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_calls_its_install_off() {
        let ([one, two], now) = (stamps(), Instant::now());
        let mut file = File::new(one);
        file.look(one, now);
        let task = tokio::spawn(pending::<()>());
        file.begin(1, task.abort_handle());
        assert!(file.is_installing(1) && file.has_place());
        assert_eq!(file.look(two, now), Due::Changed);
        assert!(!file.is_installing(1));
        assert!(task.await.expect_err("it was called off").is_cancelled());
    }
}
