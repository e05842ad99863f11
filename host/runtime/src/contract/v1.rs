//! Contract 1: synchronous, the engine pulls its input. See `wit/engine/v1/engine.wit`.
//!
//! The host's side is written by hand, not generated: `read` gives [`Bytes`], which wasmtime copies once, straight into
//! the guest (measured 11 to 13 GB/s, against 9 to 10 with the `Vec<u8>` of generated bindings).

mod types;

use bytes::Bytes;
use wasmtime::component::{
    Component, ComponentExportIndex, Instance, InstancePre, Linker, Resource, ResourceType, WasmStr,
};
use wasmtime::{Store, StoreContextMut};

use self::types::{
    AnalyzeParams, AnalyzeResults, DescribeResults, File, GuestArtifact, GuestReport, HashAlgorithm, Input, InputError,
    Level,
};
use super::adapter::{Adapter, Contract, Ended, Said};
use super::exported::Exported;
use crate::backend::{Description, Failure, Job, Outcome};
use crate::engine::Lane;
use crate::sandbox::{Sandbox, Stop};
use crate::{trap, wasi};

const ANALYZER: &str = "filemill:engine/analyzer@1.0.0";
const HOST: &str = "filemill:engine/host@1.0.0";

pub(super) struct V1;

impl Contract for V1 {
    fn major(&self) -> u64 {
        1
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn lane(&self) -> Lane {
        Lane::Sync
    }

    fn imports(&self) -> &'static [&'static str] {
        &["filemill:engine/host", "filemill:engine/types"]
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Box<dyn Adapter>> {
        let mut linker = Linker::new(component.engine());
        add_host(&mut linker)?;
        wasi::add(&mut linker, component)?;
        let pre = linker.instantiate_pre(component)?;
        let analyzer = Exported::find(&pre, ANALYZER)?;
        Ok(Box::new(Engine {
            describe: analyzer.function::<(), DescribeResults>("describe")?,
            analyze: analyzer.function::<AnalyzeParams<'_>, AnalyzeResults>("analyze")?,
            pre,
        }))
    }
}

/// A linked component.
struct Engine {
    pre: InstancePre<Sandbox>,
    describe: ComponentExportIndex,
    analyze: ComponentExportIndex,
}

impl Adapter for Engine {
    fn describe(&self, sandbox: Sandbox) -> Ended<Description> {
        self.call(sandbox, |instance, store| {
            let describe = instance.get_typed_func::<(), DescribeResults>(&mut *store, &self.describe)?;
            let (description,) = describe.call(store, ())?;
            Ok(Ok(description.into()))
        })
    }

    fn analyze(&self, sandbox: Sandbox, job: &Job) -> Ended<Said> {
        self.call(sandbox, |instance, store| {
            let analyze = instance.get_typed_func::<AnalyzeParams<'_>, AnalyzeResults>(&mut *store, &self.analyze)?;
            let file = File { name: &job.name, size: job.size };
            let input = Resource::new_own(Input::ONLY);
            let (result,) = analyze.call(&mut *store, (file, input, job.parameters.as_str()))?;
            Ok(match result {
                Ok(GuestReport { summary, json, artifacts }) => {
                    let output = &mut store.data_mut().output;
                    for GuestArtifact { name, media_type, data } in artifacts {
                        output.add_artifact(&name, &media_type, data)?;
                    }
                    Ok(Said { summary, json })
                }
                Err(failure) => Err(failure.into()),
            })
        })
    }
}

impl Engine {
    /// One instance in one store, for one call.
    fn call<T>(
        &self,
        sandbox: Sandbox,
        call: impl FnOnce(Instance, &mut Store<Sandbox>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Ended<T> {
        let mut store = match sandbox.into_store(self.pre.engine()) {
            Ok(store) => store,
            Err(error) => {
                return Ended { result: Err(trap::host_failed(&error)), sandbox: None };
            }
        };
        let result = match self.pre.instantiate(&mut store) {
            Ok(instance) => call(instance, &mut store),
            Err(error) => Err(error),
        };
        // What takes text of the guest while it runs is `log`, and `fail`, once.
        let explained = |error| Err(trap::explain(&error, Outcome::OverLog));
        Ended { result: result.unwrap_or_else(explained), sandbox: Some(store.into_data()) }
    }
}

/// What the guest may call.
fn add_host(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    let mut host = linker.instance(HOST)?;
    // There is one input a run, and it lives in the sandbox: dropping the handle frees nothing.
    host.resource("input", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    host.func_wrap("[method]input.read", read)?;
    host.func_wrap("[method]input.read-at", read_at)?;
    host.func_wrap("[method]input.size", size)?;
    host.func_wrap("[method]input.hash", hash)?;
    host.func_wrap("[method]input.digest", digest)?;
    host.func_wrap("log", log)?;
    host.func_wrap("progress", progress)?;
    host.func_wrap("fail", fail)
}

type Read = (Result<Bytes, InputError>,);
type Context<'a> = StoreContextMut<'a, Sandbox>;

fn read(mut store: Context<'_>, (_input, max): (Resource<Input>, u64)) -> wasmtime::Result<Read> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    Ok((sandbox.input.read(max)?.map_err(InputError::from),))
}

fn read_at(mut store: Context<'_>, (_input, offset, max): (Resource<Input>, u64, u64)) -> wasmtime::Result<Read> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    Ok((sandbox.input.read_at(offset, max)?.map_err(InputError::from),))
}

fn size(mut store: Context<'_>, (_input,): (Resource<Input>,)) -> wasmtime::Result<(u64,)> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    Ok((sandbox.input.size(),))
}

fn hash(
    mut store: Context<'_>,
    (_input, algorithm): (Resource<Input>, HashAlgorithm),
) -> wasmtime::Result<(Result<(), InputError>,)> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    sandbox.input.hash(algorithm.into())?;
    Ok((Ok(()),))
}

fn digest(
    mut store: Context<'_>,
    (_input, algorithm): (Resource<Input>, HashAlgorithm),
) -> wasmtime::Result<(Result<Vec<u8>, InputError>,)> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    Ok((sandbox.digest(algorithm.into())?.map(Vec::from).map_err(InputError::from),))
}

fn log(mut store: Context<'_>, (level, message): (Level, WasmStr)) -> wasmtime::Result<()> {
    store.data_mut().count_call()?;
    let message = message.to_str(&store)?.into_owned();
    Ok(store.data_mut().log.push(level.into(), &message)?)
}

fn progress(mut store: Context<'_>, (per_mille,): (u32,)) -> wasmtime::Result<()> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    sandbox.progress.set(per_mille);
    Ok(())
}

fn fail(mut store: Context<'_>, (message,): (WasmStr,)) -> wasmtime::Result<()> {
    store.data_mut().count_call()?;
    let message = message.to_str(&store)?.into_owned();
    Err(Stop::GaveUp(message).into())
}
