//! The trait of an engine for contract 2, and its way into a component.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde::de::DeserializeOwned;

use super::{Finding, Input, Output};
use crate::bindings::v2::exports::filemill::engine::analyzer as contract;
use crate::bindings::v2::filemill::engine::{host as contract_host, types};
use crate::host::{self, Host, Level};
use crate::{Artifact, Description, Failure, File, Report, parameters};

/// An engine for contract 2.
pub trait Engine {
    /// What the uploader may set, one JSON object; [`NoParameters`](crate::NoParameters) for nothing.
    type Parameters: DeserializeOwned;

    /// What the engine is. Called without input, within tight limits.
    fn describe() -> Description;

    /// Analyses one file: `async fn analyze(…)` in an implementation. The report's own artifacts are handed out after it,
    /// behind those of `output`. A panic ends the run as `failed` with its message.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from giving a report; what was handed out until then is dropped.
    fn analyze(
        file: &File,
        input: &mut Input,
        output: &Output,
        parameters: Self::Parameters,
    ) -> impl Future<Output = Result<Report, Failure>>;
}

/// What a run without a host came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Run {
    /// What the engine returned, with all artifacts, in the order in which they were finished.
    pub report: Result<Report, Failure>,
    /// What it found, in order.
    pub findings: Vec<Finding>,
}

/// Runs engine `E` over `bytes`, as a host would: for an engine's tests. `parameters` is a JSON object.
///
/// # Panics
///
/// When the engine waits for something that is neither its input nor its output: without a host nothing else comes.
pub fn run<E: Engine>(name: &str, bytes: impl Into<Vec<u8>>, parameters: &str) -> Run {
    let parameters = match parameters::parse(parameters) {
        Ok(parameters) => parameters,
        Err(failure) => return Run { report: Err(failure), findings: Vec::new() },
    };
    let mut input = Input::from_bytes(bytes);
    let file = File::new(name, input.size());
    let output = Output::recorded();
    let report = at_once(E::analyze(&file, &mut input, &output, parameters));
    let (findings, mut artifacts) = output.into_recorded();
    let report = report.map(|mut report| {
        artifacts.append(&mut report.artifacts);
        Report { artifacts, ..report }
    });
    Run { report, findings }
}

/// Engine `E` as the contract's `analyzer`; [`export!`](crate::v2::export) exports it.
#[doc(hidden)]
pub struct Exported<E>(PhantomData<E>);

impl<E: Engine> contract::Guest for Exported<E> {
    fn describe() -> contract::Description {
        host::connect(HOST);
        E::describe().into()
    }

    async fn analyze(
        file: contract::File,
        bytes: wit_bindgen::StreamReader<u8>,
        input: contract::Input,
        json: String,
    ) -> Result<contract::Report, types::Failure> {
        host::connect(HOST);
        let parameters = parameters::parse(&json)?;
        let file = File { name: file.name, size: file.size };
        let mut input = Input::from_host(bytes, input, file.size);
        let output = Output::to_host();
        let report = E::analyze(&file, &mut input, &output, parameters).await?;
        for Artifact { name, media_type, data } in report.artifacts {
            let mut artifact = output.artifact(name, media_type);
            artifact.write(data).await?;
            artifact.finish().await?;
        }
        Ok(contract::Report { summary: report.summary, json: report.json })
    }
}

/// The host of contract 2.
const HOST: Host = Host {
    log: |level, message| {
        let level = match level {
            Level::Debug => contract_host::Level::Debug,
            Level::Info => contract_host::Level::Info,
            Level::Warn => contract_host::Level::Warn,
            Level::Error => contract_host::Level::Error,
        };
        contract_host::log(level, message);
    },
    progress: contract_host::progress,
    fail: contract_host::fail,
};

impl From<Description> for contract::Description {
    fn from(description: Description) -> Self {
        let report_schema = description.whole_report_schema();
        Self {
            name: description.name,
            version: description.version,
            summary: description.summary,
            media_types: description.media_types,
            access: if description.seekable { types::Access::Seekable } else { types::Access::Streaming },
            parameter_schema: description.parameter_schema,
            report_schema,
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsupported(sentence) => Self::Unsupported(sentence),
            Failure::Malformed(sentence) => Self::Malformed(sentence),
            Failure::Failed(sentence) => Self::Failed(sentence),
        }
    }
}

/// The output of a future that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the engine waits for something that does not come without a host"),
    }
}
