//! What a guest of contract 2 may call.

use std::pin::Pin;

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, LinkerInstance, Resource, ResourceType, StreamReader, WasmStr};

use super::streams::Collected;
use super::types::{GuestFinding, HashAlgorithm, Input, InputError, Level};
use crate::sandbox::{Sandbox, Stop};

type Context<'a> = StoreContextMut<'a, Sandbox>;
type Later<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<(T,)>> + Send + 'a>>;
type Nothing<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send + 'a>>;

pub(super) fn add(host: &mut LinkerInstance<'_, Sandbox>) -> wasmtime::Result<()> {
    // There is one input a run, and it lives in the sandbox: dropping the handle frees nothing.
    host.resource("input", ResourceType::host::<Input>(), |_, _| Ok(()))?;
    host.func_wrap_concurrent("[method]input.ended", ended)?;
    host.func_wrap_concurrent("[method]input.read-at", read_at)?;
    host.func_wrap("[method]input.size", size)?;
    host.func_wrap("[method]input.hash", hash)?;
    host.func_wrap_concurrent("[method]input.digest", digest)?;
    host.func_wrap("found", found)?;
    host.func_wrap_concurrent("artifact", artifact)?;
    host.func_wrap("log", log)?;
    host.func_wrap("progress", progress)?;
    host.func_wrap("fail", fail)
}

fn ended(accessor: &Accessor<Sandbox>, (_input,): (Resource<Input>,)) -> Later<'_, Result<(), InputError>> {
    Box::pin(async move {
        let stream_end = accessor.with(|mut store| {
            let sandbox = store.get();
            sandbox.count_call()?;
            Ok::<_, Stop>(sandbox.stream_end.clone())
        })?;
        stream_end.wait().await;
        let why = accessor.with(|mut store| store.get().input.ended().cloned());
        Ok((why.map_or(Ok(()), |why| Err(why.into())),))
    })
}

fn read_at(
    accessor: &Accessor<Sandbox>,
    (_input, offset, max): (Resource<Input>, u64, u64),
) -> Later<'_, Result<bytes::Bytes, InputError>> {
    Box::pin(async move {
        accessor.with(|mut store| {
            let sandbox = store.get();
            sandbox.count_call()?;
            Ok((sandbox.input.read_at(offset, max)?.map_err(InputError::from),))
        })
    })
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
    accessor: &Accessor<Sandbox>,
    (_input, algorithm): (Resource<Input>, HashAlgorithm),
) -> Later<'_, Result<Vec<u8>, InputError>> {
    Box::pin(async move {
        accessor.with(|mut store| {
            let sandbox = store.get();
            sandbox.count_call()?;
            Ok((sandbox.digest(algorithm.into())?.map(Vec::from).map_err(InputError::from),))
        })
    })
}

fn found(mut store: Context<'_>, (finding,): (GuestFinding,)) -> wasmtime::Result<()> {
    let sandbox = store.data_mut();
    sandbox.count_call()?;
    Ok(sandbox.output.find(finding.into())?)
}

fn artifact(accessor: &Accessor<Sandbox>, (name, media_type, data): (String, String, StreamReader<u8>)) -> Nothing<'_> {
    Box::pin(async move {
        let collected = Collected::default();
        accessor.with(|mut store| {
            let sandbox = store.get();
            sandbox.count_call()?;
            sandbox.output.begin_artifact(&name, &media_type)?;
            data.pipe(&mut store, collected.collector())
        })?;
        let bytes = collected.wait().await;
        accessor.with(|mut store| store.get().output.end_artifact(&name, bytes));
        Ok(())
    })
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
