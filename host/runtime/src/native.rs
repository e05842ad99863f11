//! Machine code for one component, and the one place that turns such code into something that runs.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::backend::Cancel;
use crate::compile::{CompileError, Compiler};
use crate::engine::Lane;

/// Machine code that this host's own compiler made: from [`Native::compile`], in this process or a child, or read back from
/// the cache and proven to be what this host once wrote there. It can come from nowhere else.
pub(crate) struct Native(Code);

enum Code {
    Compiled(Vec<u8>),
    Verified(Sealed),
}

impl Native {
    /// Compiles a component for `engine`, which is that of `lane`.
    pub(crate) fn compile(
        compiler: &Compiler,
        engine: &Engine,
        lane: Lane,
        component: &[u8],
        cancel: &Cancel,
    ) -> Result<Self, CompileError> {
        match compiler {
            Compiler::Here => {
                engine.precompile_component(component).map_err(|error| CompileError::Refused(format!("{error:#}")))
            }
            Compiler::Child(process) => process.compile(lane, component, cancel),
        }
        .map(|code| Self(Code::Compiled(code)))
    }

    /// Takes back what [`Native::compiled`] gave. The caller has verified with the cache's key that these bytes begin with
    /// the same.
    pub(crate) fn from_verified(code: Sealed) -> Self {
        Self(Code::Verified(code))
    }

    /// To be stored; `None` where it was stored before.
    pub(crate) fn compiled(&self) -> Option<&[u8]> {
        match &self.0 {
            Code::Compiled(code) => Some(code),
            Code::Verified(_) => None,
        }
    }

    /// Loads the code.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, LoadError> {
        // SAFETY: both run whatever machine code they are given, so they want bytes that `precompile_component` made. These
        // are: a `Native` is made only by `compile` above (in this process, or in a child that runs the program of the
        // configuration and that nobody else can write to), or by `cache::Cache::load` from a file that (a) lay in a folder
        // owned by this user, mode 0700, opened without following a link, and (b) carried an AES-256-GCM tag over all its
        // bytes, under a key that lies outside that folder with mode 0600, so that only this host can have written it. The tag
        // was checked over the sealed copy that is mapped here, not over the file: nothing can change between check and use.
        unsafe {
            match &self.0 {
                Code::Compiled(code) => Component::deserialize(engine, code),
                Code::Verified(sealed) => Component::deserialize_file(engine, sealed.path()),
            }
        }
        .map_err(LoadError::from)
    }
}

/// Why code does not load.
pub(crate) enum LoadError {
    /// It was made for another wasmtime, other settings or another CPU, or the component wants more of the instance pool
    /// than one may have.
    Code(wasmtime::Error),
    /// The operating system did not give what loading takes: files, memory, `/proc`.
    Host(wasmtime::Error),
}

impl From<wasmtime::Error> for LoadError {
    fn from(error: wasmtime::Error) -> Self {
        let lacks = |cause: &(dyn std::error::Error + 'static)| {
            cause.is::<io::Error>() || cause.is::<rustix::io::Errno>() || cause.is::<wasmtime::OutOfMemory>()
        };
        let is_hosts = error.chain().any(lacks);
        if is_hosts { Self::Host(error) } else { Self::Code(error) }
    }
}

/// A file in memory that nobody can change any more, this process included. Mapping one costs no copy, where 37 MB of compiled
/// Python would be copied twice otherwise: into the code, and into the image of its memory.
pub(crate) struct Sealed {
    file: File,
    bytes: usize,
}

impl Sealed {
    /// Copies the next `bytes` bytes of `source`.
    pub(crate) fn copy(source: &mut File, bytes: u64) -> io::Result<Self> {
        let mut file = File::from(memfd_create("filemill-code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        let copied = io::copy(&mut source.take(bytes), &mut file)?;
        if copied != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, all)?;
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Ok(Self { file, bytes })
    }

    /// Shows the bytes.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        if self.bytes == 0 {
            return Ok(look(&[]));
        }
        /// Unmaps it, also where `look` panics.
        struct Mapped {
            start: *mut std::ffi::c_void,
            bytes: usize,
        }
        impl Drop for Mapped {
            fn drop(&mut self) {
                // SAFETY: this is the mapping made below, and nothing borrows from it any more.
                // It fails only for arguments that are not a mapping.
                let _ = unsafe { munmap(self.start, self.bytes) };
            }
        }
        // Private although nothing is written: before Linux 6.7 a file sealed like this cannot be mapped shared.
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: a new mapping, at an address that the kernel chooses, of `bytes` bytes that the file has: it is sealed, so
        // that it can neither shrink nor change.
        let start = unsafe { mmap(std::ptr::null_mut(), self.bytes, ProtFlags::READ, flags, &self.file, 0)? };
        let mapped = Mapped { start, bytes: self.bytes };
        // SAFETY: the mapping above, which is readable, initialised, and never written to while it lives.
        let bytes = unsafe { std::slice::from_raw_parts(mapped.start.cast::<u8>().cast_const(), mapped.bytes) };
        Ok(look(bytes))
    }

    /// A path to it, good while it lives.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::compiler;

    #[test]
    fn what_the_operating_system_refuses_says_nothing_of_the_code() {
        let engine = compiler(Lane::Sync).expect("an engine");
        let nowhere = Native(Code::Compiled(b"no code".to_vec())).load(&engine);
        assert!(matches!(nowhere, Err(LoadError::Code(_))));

        let memory = File::from(memfd_create("code", MemfdFlags::CLOEXEC).expect("a file in memory"));
        // An empty file cannot be mapped.
        let empty = Native(Code::Verified(Sealed { file: memory, bytes: 0 })).load(&engine);
        assert!(matches!(empty, Err(LoadError::Host(_))));
    }
}
