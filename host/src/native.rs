//! Machine code for one component, and the one place that turns such code into something that runs.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compile::{CompileError, Compiler};
use crate::engine::Lane;

/// Machine code that this host's own compiler made: from [`Native::compile`], in this process or a child, or read back from
/// the cache and proven to be what this host once wrote there. It can come from nowhere else.
pub(crate) struct Native(Vec<u8>);

impl Native {
    /// Compiles a component for `engine`, which is that of `lane`.
    pub(crate) fn compile(
        compiler: &Compiler,
        engine: &Engine,
        lane: Lane,
        component: &[u8],
    ) -> Result<Self, CompileError> {
        match compiler {
            Compiler::Here => {
                engine.precompile_component(component).map_err(|error| CompileError::Refused(format!("{error:#}")))
            }
            Compiler::Child(process) => process.compile(lane, component),
        }
        .map(Self)
    }

    /// Takes back what [`Native::as_bytes`] gave. The caller has verified with the cache's key that these bytes are
    /// the ones.
    pub(crate) fn from_verified(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// To be stored.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Loads the code. Fails where it was made for another wasmtime, other settings or another CPU, and where the
    /// component wants more of the instance pool than one may have.
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` runs whatever machine code it is given, so it wants bytes that `precompile_component`
        // made. These are: a `Native` is made only by `compile` above (in this process, or in a child that runs the
        // program of the configuration and that nobody else can write to), or by `cache::Cache::load` from a file that
        // (a) lies in a folder owned by this user, mode 0700, opened without following a link, and (b) carries an
        // AES-256-GCM tag over all its bytes, under a key that lies outside that folder with mode 0600, so that only
        // this host can have written it. The tag was checked over this very buffer, not over the file: nothing can
        // change between check and use.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
