//! The trait of an engine for contract 1, and its way into a component.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::bindings::v1::exports::filemill::engine::analyzer as contract;
use crate::bindings::v1::filemill::engine::{host as contract_host, types};
use crate::host::{self, Host, Level};
use crate::input::host_source::HostSource;
use crate::{Description, Failure, Input, Report, parameters};

/// An engine: a program that analyses one file at a time.
pub trait Engine {
    /// What the uploader may set, one JSON object; [`NoParameters`](crate::NoParameters) for nothing.
    type Parameters: DeserializeOwned;

    /// What the engine is. Called without input, within tight limits.
    fn describe() -> Description;

    /// Analyses one file. A panic ends the run as `failed` with its message.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from giving a report; `?` takes the errors of `input` along.
    fn analyze(file: &File, input: &mut Input, parameters: Self::Parameters) -> Result<Report, Failure>;
}

/// The file to analyse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The name under which the uploader knows it. What was not UTF-8 in it, is U+FFFD.
    pub name: String,
    /// Announced length in bytes.
    pub size: u64,
}

impl File {
    /// A file of this name and length.
    pub fn new(name: impl Into<String>, size: u64) -> Self {
        Self { name: name.into(), size }
    }
}

/// Runs engine `E` over `bytes`, as a host would: for an engine's tests. `parameters` is a JSON object.
///
/// # Errors
///
/// What the engine says, or what is wrong with the parameters.
pub fn run<E: Engine>(name: &str, bytes: impl Into<Vec<u8>>, parameters: &str) -> Result<Report, Failure> {
    let mut input = Input::from_bytes(bytes);
    let file = File::new(name, input.size());
    E::analyze(&file, &mut input, parameters::parse(parameters)?)
}

/// Engine `E` as the contract's `analyzer`; [`export!`](crate::export) exports it.
#[doc(hidden)]
pub struct Exported<E>(PhantomData<E>);

impl<E: Engine> contract::Guest for Exported<E> {
    fn describe() -> contract::Description {
        host::connect(HOST);
        E::describe().into()
    }

    fn analyze(file: contract::File, input: contract::Input, json: String) -> Result<contract::Report, types::Failure> {
        host::connect(HOST);
        let parameters = parameters::parse(&json)?;
        let file = File { name: file.name, size: file.size };
        let mut input = Input::from_source(HostSource::new(input, file.size));
        let report = E::analyze(&file, &mut input, parameters)?;
        Ok(report.into())
    }
}

/// The host of contract 1.
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

impl From<Report> for contract::Report {
    fn from(report: Report) -> Self {
        let artifacts = report.artifacts.into_iter().map(|artifact| types::Artifact {
            name: artifact.name,
            media_type: artifact.media_type,
            data: artifact.data,
        });
        Self { summary: report.summary, json: report.json, artifacts: artifacts.collect() }
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
