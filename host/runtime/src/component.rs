//! The runtime as a processor's backend for components.

use std::sync::Arc;

use crate::backend::{
    Backend, Cancel, DescribeError, Description, InputSource, Installed, Job, Limits, NotInstalled, Observer,
    ReleaseDigest, Run,
};
use crate::contract::contract_versions;
use crate::engine::THREAD_STACK_BYTES;
use crate::inspect::is_wasm;
use crate::release::Release;
use crate::runtime::Runtime;

/// The kind of engines that [`Runtime`] runs.
pub const COMPONENT: &str = "component";

impl Backend for Runtime {
    fn kind(&self) -> &'static str {
        COMPONENT
    }

    fn contracts(&self) -> Vec<(u64, u64)> {
        contract_versions().map(|version| (version.major(), version.minor())).collect()
    }

    fn recognises(&self, release: &[u8]) -> bool {
        is_wasm(release)
    }

    fn install_memory_bytes(&self) -> u64 {
        self.compiler_memory_bytes()
    }

    fn thread_stack_bytes(&self) -> usize {
        THREAD_STACK_BYTES
    }

    fn cached(&self, digest: ReleaseDigest) -> Option<Arc<dyn Installed>> {
        Self::cached(self, digest).map(installed)
    }

    fn install(
        &self,
        digest: ReleaseDigest,
        release: &[u8],
        cancel: &Cancel,
    ) -> Result<Arc<dyn Installed>, NotInstalled> {
        Ok(installed(self.compile(digest, release, cancel)?))
    }
}

fn installed(release: Release) -> Arc<dyn Installed> {
    Arc::new(release)
}

impl Installed for Release {
    fn digest(&self) -> ReleaseDigest {
        Self::digest(self)
    }

    fn built_for(&self) -> (u64, u64) {
        (self.contract().major(), self.contract().minor())
    }

    fn code_bytes(&self) -> usize {
        Self::code_bytes(self)
    }

    fn describe(&self, limits: &Limits) -> Result<Description, DescribeError> {
        Self::describe(self, limits)
    }

    fn run(&self, job: &Job, input: Box<dyn InputSource>, limits: &Limits, observer: Box<dyn Observer>) -> Run {
        self.run_boxed(job, input, limits, observer)
    }
}
