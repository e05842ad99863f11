//! What runs engines on this processor: a backend for each kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use filemill_runtime::{Again, Backend, Cancel, Installed, NotInstalled, ReleaseDigest};

/// The backends of this processor, which a release finds its own among.
pub(crate) struct Backends(Vec<Arc<dyn Backend>>);

impl Backends {
    pub(crate) fn new(backends: Vec<Arc<dyn Backend>>) -> Self {
        Self(backends)
    }

    /// Kinds of engines that run here.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.0.iter().map(|backend| backend.kind().to_owned()).collect()
    }

    /// Majors of the engine contract that run here, ascending.
    pub(crate) fn contracts(&self) -> Vec<u32> {
        let majors: BTreeSet<u64> = self.0.iter().flat_map(|backend| backend.contract_majors()).collect();
        majors.into_iter().filter_map(|major| u32::try_from(major).ok()).collect()
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
    pub(crate) fn cached(&self, digest: ReleaseDigest) -> Option<Arc<dyn Installed>> {
        self.0.iter().find_map(|backend| backend.cached(digest))
    }

    /// Has the backend of its kind make a release ready. Blocks.
    pub(crate) fn install(
        &self,
        digest: ReleaseDigest,
        release: &[u8],
        cancel: &Cancel,
    ) -> Result<Arc<dyn Installed>, NotInstalled> {
        // What none of them knows the first one refuses, and says why.
        match self.0.iter().find(|backend| backend.recognises(release)).or(self.0.first()) {
            Some(backend) => backend.install(digest, release, cancel),
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

        fn contract_majors(&self) -> Vec<u64> {
            vec![1, self.1]
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

        fn contract_major(&self) -> u64 {
            self.1
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
        assert_eq!(
            (backends.kinds(), backends.contracts()),
            (vec!["component".into(), "container".into()], vec![1, 2, 3])
        );
        assert_eq!((backends.install_memory_bytes(), backends.thread_stack_bytes()), (3, 8));
        for (release, major) in [("container one", 3), ("component one", 2), ("another", 2)] {
            let digest = ReleaseDigest::of(release.as_bytes());
            let installed = backends.install(digest, release.as_bytes(), &Cancel::default()).expect("it is taken");
            assert_eq!((installed.digest(), installed.contract_major()), (digest, major), "{release}");
        }
    }
}
