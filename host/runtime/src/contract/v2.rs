//! Contract 2: asynchronous, the engine is given a stream. See `wit/engine/v2/engine.wit`.
//!
//! A run stays on its thread: the guest's tasks, the stream and the host's functions take turns on it, and waiting for
//! input blocks it, as it does for contract 1. What is asynchronous is the engine, not the host.

mod executor;
mod host;
mod streams;
mod types;

use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker, Resource, StreamReader};
use wasmtime::{AsContextMut as _, Store};

use self::streams::InputStream;
use self::types::{AnalyzeParams, AnalyzeResults, DescribeResults, File, GuestReport, Input};
use super::adapter::{Adapter, Contract, Ended, Said};
use super::exported::Exported;
use crate::backend::{Description, Failure, Job, Outcome};
use crate::engine::Lane;
use crate::sandbox::Sandbox;
use crate::{trap, wasi};

const ANALYZER: &str = "filemill:engine/analyzer@2.0.0";
const HOST: &str = "filemill:engine/host@2.0.0";

pub(super) struct V2;

impl Contract for V2 {
    fn major(&self) -> u64 {
        2
    }

    fn version(&self) -> &'static str {
        "2.0.0"
    }

    fn lane(&self) -> Lane {
        Lane::Async
    }

    fn imports(&self) -> &'static [&'static str] {
        &["filemill:engine/host", "filemill:engine/types"]
    }

    fn link(&self, component: &Component) -> wasmtime::Result<Box<dyn Adapter>> {
        let mut linker = Linker::new(component.engine());
        host::add(&mut linker.instance(HOST)?)?;
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
        self.call(sandbox, async |instance, store| {
            let describe = instance.get_typed_func::<(), DescribeResults>(&mut *store, &self.describe)?;
            let (description,) = describe.call_async(store, ()).await?;
            Ok(Ok(description.into()))
        })
    }

    fn analyze(&self, sandbox: Sandbox, job: &Job) -> Ended<Said> {
        self.call(sandbox, async |instance, store| {
            let analyze = instance.get_typed_func::<AnalyzeParams<'_>, AnalyzeResults>(&mut *store, &self.analyze)?;
            let stream = InputStream::new(store.data().stream_end.clone());
            let bytes = StreamReader::new(store.as_context_mut(), stream)?;
            let file = File { name: &job.name, size: job.size };
            let input = Resource::new_own(Input::ONLY);
            let params = (file, bytes, input, job.parameters.as_str());
            let (result,) = analyze.call_async(&mut *store, params).await?;
            Ok(match result {
                Ok(GuestReport { summary, json }) => {
                    store.data().output.check_complete()?;
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
        call: impl AsyncFnOnce(Instance, &mut Store<Sandbox>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Ended<T> {
        let mut store = match sandbox.into_store(self.pre.engine()) {
            Ok(store) => store,
            Err(error) => return Ended { result: Err(trap::host_failed(&error)), sandbox: None },
        };
        let patience = store.data().patience();
        let run = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            call(instance, &mut store).await
        };
        let result = executor::block_on(run, &patience).map_err(wasmtime::Error::from).flatten();
        // A guest returns its report in a call too, and hands out findings and artifacts in others.
        let explained = |error| Err(trap::explain(&error, Outcome::OverOutput));
        Ended { result: result.unwrap_or_else(explained), sandbox: Some(store.into_data()) }
    }
}
