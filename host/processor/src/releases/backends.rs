//! What runs engines on this processor: a backend for each kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use filemill_runtime::{Again, Backend, Cancel, Installed, NotInstalled, ReleaseDigest};

/// The backends of this processor, which a release finds its own among.
pub(crate) struct Backends(Vec<Arc<dyn Backend>>);

/// A release that one of them installed.
pub(crate) struct Found {
    /// Of what kind it is.
    pub(crate) kind: &'static str,
    pub(crate) release: Arc<dyn Installed>,
}

impl Backends {
    pub(crate) fn new(backends: Vec<Arc<dyn Backend>>) -> Self {
        Self(backends)
    }

    /// Kinds of engines that run here.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|backend| backend.kind())
    }

    /// Versions of the engine contract that run here, each a major and a minor, ascending: all minors up to the newest one.
    pub(crate) fn contracts(&self) -> Vec<(u32, u32)> {
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let newest = self.0.iter().flat_map(|backend| backend.contracts());
        let versions: BTreeSet<_> =
            newest.flat_map(|(major, minor)| (0..=number(minor)).map(move |minor| (number(major), minor))).collect();
        versions.into_iter().collect()
    }

    /// The most memory that installing one release may take, in bytes; 0 where that is not bounded.
    pub(crate) fn install_memory_bytes(&self) -> u64 {
        self.0.iter().map(|backend| backend.install_memory_bytes()).max().unwrap_or(0)
    }

    /// The stack that a thread wants that runs engines of any kind, in bytes.
    pub(crate) fn thread_stack_bytes(&self) -> usize {
        self.0.iter().map(|backend| backend.thread_stack_bytes()).max().unwrap_or(0)
    }

    /// The release as one of them installed it earlier. Blocks for milliseconds.
    pub(crate) fn cached(&self, digest: ReleaseDigest) -> Option<Found> {
        let cached =
            |backend: &Arc<dyn Backend>| backend.cached(digest).map(|release| Found { kind: backend.kind(), release });
        self.0.iter().find_map(cached)
    }

    /// Has the backend of its kind make a release ready. Blocks.
    pub(crate) fn install(
        &self,
        digest: ReleaseDigest,
        release: &[u8],
        cancel: &Cancel,
    ) -> Result<Found, NotInstalled> {
        // What none of them knows the first one refuses, and says why.
        match self.0.iter().find(|backend| backend.recognises(release)).or(self.0.first()) {
            Some(backend) => {
                backend.install(digest, release, cancel).map(|release| Found { kind: backend.kind(), release })
            }
            None => Err(NotInstalled::Failed {
                message: "this processor runs engines of no kind".to_owned(),
                hint: "start it with a backend".to_owned(),
                again: Again::Never,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use filemill_runtime::{DescribeError, Description, InputSource, Job, Limits, Observer, Run};

    use super::*;

    /// Takes what begins with its kind, and says of a release no more than which of several it is.
    struct Only(&'static str, u64);

    struct Nothing(ReleaseDigest, u64);

    impl Backend for Only {
        fn kind(&self) -> &'static str {
            self.0
        }

        fn contracts(&self) -> Vec<(u64, u64)> {
            vec![(1, 1), (self.1, self.1)]
        }

        fn recognises(&self, release: &[u8]) -> bool {
            release.starts_with(self.0.as_bytes())
        }

        fn install_memory_bytes(&self) -> u64 {
            self.1
        }

        fn thread_stack_bytes(&self) -> usize {
            1 << self.1
        }

        fn cached(&self, _: ReleaseDigest) -> Option<Arc<dyn Installed>> {
            None
        }

        fn install(&self, digest: ReleaseDigest, _: &[u8], _: &Cancel) -> Result<Arc<dyn Installed>, NotInstalled> {
            Ok(Arc::new(Nothing(digest, self.1)))
        }
    }

    impl Installed for Nothing {
        fn digest(&self) -> ReleaseDigest {
            self.0
        }

        fn built_for(&self) -> (u64, u64) {
            (self.1, 0)
        }

        fn code_bytes(&self) -> usize {
            0
        }

        fn describe(&self, _: &Limits) -> Result<Description, DescribeError> {
            unreachable!("nobody asks")
        }

        fn run(&self, _: &Job, _: Box<dyn InputSource>, _: &Limits, _: Box<dyn Observer>) -> Run {
            unreachable!("nobody runs it")
        }
    }

    #[test]
    fn a_release_is_installed_by_the_backend_of_its_kind() {
        let backends = Backends::new(vec![Arc::new(Only("component", 2)), Arc::new(Only("container", 3))]);
        assert_eq!(backends.kinds().collect::<Vec<_>>(), ["component", "container"]);
        let two_and_three = (0..=2).map(|minor| (2, minor)).chain((0..=3).map(|minor| (3, minor)));
        assert_eq!(backends.contracts(), [(1, 0), (1, 1)].into_iter().chain(two_and_three).collect::<Vec<_>>());
        assert_eq!((backends.install_memory_bytes(), backends.thread_stack_bytes()), (3, 8));
        for (bytes, of, major) in
            [("container one", "container", 3), ("component one", "component", 2), ("another", "component", 2)]
        {
            let digest = ReleaseDigest::of(bytes.as_bytes());
            let Ok(Found { kind, release }) = backends.install(digest, bytes.as_bytes(), &Cancel::default()) else {
                panic!("`{bytes}` is not taken");
            };
            assert_eq!((kind, release.digest(), release.built_for()), (of, digest, (major, 0)), "{bytes}");
        }
    }
}
