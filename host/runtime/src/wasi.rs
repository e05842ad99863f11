//! An empty WASI 0.2, for components that were built for `wasm32-wasip2` (or whose toolchain leaves such imports behind).
//!
//! There is nothing behind it: no arguments, environment, folders, sockets or standard input. Both clocks stand still at 0,
//! and random numbers are the same in each run, so that one file gives one report. What is written to standard output and
//! standard error goes, line by line, into the job's log. Any other function of WASI links, and ends the run when it is
//! called. (The crate `wasmtime-wasi` gives more than is wanted here: real clocks, and waits that nothing interrupts.)
//!
//! Names and types are those of <https://github.com/WebAssembly/WASI/tree/main/wasip2>, version 0.2.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource,
};
use wasmtime::component::{ResourceType, Val};
use wasmtime::{StoreContextMut, bail};

use crate::backend::Level;
use crate::sandbox::{Sandbox, Stop};

/// What the names of its interfaces begin with.
const NAMESPACE: &str = "wasi:";
/// Its version's beginning: any later 0.2 has the same functions, and perhaps more.
const VERSION: &str = "0.2.";
/// The most random bytes that one call gives.
const RANDOM_MAX_BYTES: u64 = 64 << 10;
/// The most that a stream says it takes at once, in bytes.
const WRITE_BYTES: u64 = 4 << 10;

/// Whether an import, such as `wasi:io/streams@0.2.6`, is one that can be linked.
pub(crate) fn is_offered(import: &str) -> bool {
    import.starts_with(NAMESPACE) && import.split_once('@').is_some_and(|(_, version)| version.starts_with(VERSION))
}

/// Links what a component wants of WASI; without effect where it wants nothing.
pub(crate) fn add(linker: &mut Linker<Sandbox>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    let ty = component.component_type();
    for (name, import) in ty.imports(engine).filter(|(name, _)| is_offered(name)) {
        let ComponentItem::ComponentInstance(interface) = import.ty else {
            bail!("`{name}` is no interface");
        };
        let exports: Vec<(String, bool)> = interface
            .exports(engine)
            .filter_map(|(export, item)| match item.ty {
                ComponentItem::ComponentFunc(_) => Some((export.to_owned(), true)),
                ComponentItem::Resource(_) => Some((export.to_owned(), false)),
                _ => None,
            })
            .collect();
        let mut instance = linker.instance(name)?;
        let interface = name.split_once('@').map_or(name, |(interface, _)| interface);
        for (export, is_function) in exports {
            if is_function {
                function(&mut instance, interface, &export)?;
            } else {
                instance.resource(&export, resource(&export), |_, _| Ok(()))?;
            }
        }
    }
    Ok(())
}

/// Resources are bare numbers here: dropping one frees nothing.
enum InputStream {}
enum OutputStream {}
enum Pollable {}
enum IoError {}
enum Other {}

/// Representations of output streams.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// One name stands for one resource throughout WASI, wherever it is used.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<InputStream>(),
        "output-stream" => ResourceType::host::<OutputStream>(),
        "pollable" => ResourceType::host::<Pollable>(),
        "error" => ResourceType::host::<IoError>(),
        _ => ResourceType::host::<Other>(),
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Context<'a> = StoreContextMut<'a, Sandbox>;
type In = Resource<InputStream>;
type Out = Resource<OutputStream>;

/// Defines one function of one interface.
fn function(linker: &mut LinkerInstance<'_, Sandbox>, interface: &str, name: &str) -> wasmtime::Result<()> {
    let pollable = || Ok((Resource::<Pollable>::new_own(0),));
    match (interface, name) {
        ("wasi:cli/environment", "get-environment") => define(linker, name, |_, ()| Ok((no::<(String, String)>(),))),
        ("wasi:cli/environment", "get-arguments") => define(linker, name, |_, ()| Ok((no::<String>(),))),
        ("wasi:cli/environment", "initial-cwd") => define(linker, name, |_, ()| Ok((None::<String>,))),
        ("wasi:cli/exit", "exit") => define(linker, name, |_, (_,): (Result<(), ()>,)| exit()),
        ("wasi:cli/exit", "exit-with-code") => define(linker, name, |_, (_,): (u8,)| exit()),
        ("wasi:cli/stdin", "get-stdin") => define(linker, name, |_, ()| Ok((In::new_own(0),))),
        ("wasi:cli/stdout", "get-stdout") => define(linker, name, |_, ()| Ok((Out::new_own(STDOUT),))),
        ("wasi:cli/stderr", "get-stderr") => define(linker, name, |_, ()| Ok((Out::new_own(STDERR),))),
        (
            "wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr",
            "get-terminal-stdin" | "get-terminal-stdout" | "get-terminal-stderr",
        ) => define(linker, name, |_, ()| Ok((None::<Resource<Other>>,))),
        ("wasi:clocks/monotonic-clock", "now") => define(linker, name, |_, ()| Ok((0_u64,))),
        ("wasi:clocks/monotonic-clock", "resolution") => define(linker, name, |_, ()| Ok((1_u64,))),
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            define(linker, name, move |_, (_,): (u64,)| pollable())
        }
        ("wasi:clocks/wall-clock", "now" | "resolution") => {
            define(linker, name, |_, ()| Ok((Datetime { seconds: 0, nanoseconds: 0 },)))
        }
        ("wasi:filesystem/preopens", "get-directories") => {
            define(linker, name, |_, ()| Ok((no::<(Resource<Other>, String)>(),)))
        }
        ("wasi:random/random", "get-random-bytes") | ("wasi:random/insecure", "get-insecure-random-bytes") => {
            define(linker, name, |mut store, (length,): (u64,)| Ok((random(store.data_mut(), length)?,)))
        }
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            define(linker, name, |mut store, ()| Ok((store.data_mut().random.next(),)))
        }
        ("wasi:random/insecure-seed", "insecure-seed") => define(linker, name, |mut store, ()| {
            let random = &mut store.data_mut().random;
            Ok(((random.next(), random.next()),))
        }),
        ("wasi:io/error", "[method]error.to-debug-string") => {
            define(linker, name, |_, (_,): (Resource<IoError>,)| Ok((String::new(),)))
        }
        ("wasi:io/poll", "[method]pollable.ready") => {
            define(linker, name, |_, (_,): (Resource<Pollable>,)| Ok((true,)))
        }
        ("wasi:io/poll", "[method]pollable.block") => define(linker, name, |_, (_,): (Resource<Pollable>,)| Ok(())),
        ("wasi:io/poll", "poll") => define(linker, name, |_, (all,): (Vec<Resource<Pollable>>,)| {
            // All are ready. A list of 2^32 does not fit into a guest's memory.
            Ok(((0..all.len() as u32).collect::<Vec<u32>>(),))
        }),
        ("wasi:io/streams", _) => stream(linker, name),
        _ => missing(linker, interface, name),
    }
}

fn stream(linker: &mut LinkerInstance<'_, Sandbox>, name: &str) -> wasmtime::Result<()> {
    let closed = |_: Context<'_>, (_, _): (In, u64)| Ok((Err::<Vec<u8>, _>(StreamError::Closed),));
    let nothing_skipped = |_: Context<'_>, (_, _): (In, u64)| Ok((Err::<u64, _>(StreamError::Closed),));
    let write = |mut store: Context<'_>, (to, bytes): (Out, Vec<u8>)| {
        written(store.data_mut(), &to, &bytes)?;
        Ok((Ok::<(), StreamError>(()),))
    };
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => define(linker, name, closed),
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => define(linker, name, nothing_skipped),
        "[method]input-stream.subscribe" => {
            define(linker, name, |_, (_,): (In,)| Ok((Resource::<Pollable>::new_own(0),)))
        }
        "[method]output-stream.subscribe" => {
            define(linker, name, |_, (_,): (Out,)| Ok((Resource::<Pollable>::new_own(0),)))
        }
        "[method]output-stream.check-write" => {
            define(linker, name, |_, (_,): (Out,)| Ok((Ok::<u64, StreamError>(WRITE_BYTES),)))
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            define(linker, name, |_, (_,): (Out,)| Ok((Ok::<(), StreamError>(()),)))
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => define(linker, name, write),
        _ => missing(linker, "wasi:io/streams", name),
    }
}

/// A function of ours, whose calls are counted.
fn define<Params, Return>(
    linker: &mut LinkerInstance<'_, Sandbox>,
    name: &str,
    function: impl Fn(Context<'_>, Params) -> wasmtime::Result<Return> + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    Params: ComponentNamedList + Lift + 'static,
    Return: ComponentNamedList + Lower + Send + Sync + 'static,
{
    linker.func_wrap(name, move |mut store: Context<'_>, params: Params| {
        store.data_mut().count_call()?;
        function(store, params)
    })
}

/// A function that is there so that the component links, and that nobody may call.
fn missing(linker: &mut LinkerInstance<'_, Sandbox>, interface: &str, name: &str) -> wasmtime::Result<()> {
    let full_name = format!("{interface}#{name}");
    linker.func_new(name, move |_, _, _: &[Val], _: &mut [Val]| Err(Stop::NoWasi(full_name.clone()).into()))
}

fn no<T>() -> Vec<T> {
    Vec::new()
}

fn exit() -> wasmtime::Result<()> {
    Err(Stop::GaveUp("the engine ended itself by `exit`".to_owned()).into())
}

fn random(sandbox: &mut Sandbox, length: u64) -> Result<Vec<u8>, Stop> {
    if length > RANDOM_MAX_BYTES {
        return Err(Stop::Misuse("the engine asked for more than 64 KiB of random bytes at once"));
    }
    let words = std::iter::repeat_with(|| sandbox.random.next().to_le_bytes());
    // At most 64 KiB.
    Ok(words.flatten().take(length as usize).collect())
}

fn written(sandbox: &mut Sandbox, to: &Out, bytes: &[u8]) -> Result<(), Stop> {
    let level = if to.rep() == STDERR { Level::Warn } else { Level::Info };
    sandbox.log.write(level, bytes)
}
