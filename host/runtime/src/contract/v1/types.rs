//! The types of `wit/engine/v1/engine.wit`, as they cross. wasmtime checks them against each component.

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use crate::backend::{Access, Description, Failure, Outcome, Rejection};
use crate::{backend, sandbox};

pub(super) type DescribeResults = (Described,);
pub(super) type AnalyzeParams<'a> = (File<'a>, Resource<Input>, &'a str);
pub(super) type AnalyzeResults = (Result<GuestReport, GuestFailure>,);

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) size: u64,
}

/// The resource `input`.
pub(super) struct Input;

impl Input {
    /// A run has one input.
    pub(super) const ONLY: u32 = 0;
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct GuestReport {
    pub(super) summary: String,
    pub(super) json: String,
    pub(super) artifacts: Vec<GuestArtifact>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct GuestArtifact {
    pub(super) name: String,
    #[component(name = "media-type")]
    pub(super) media_type: String,
    pub(super) data: Vec<u8>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum GuestFailure {
    #[component(name = "unsupported")]
    Unsupported(String),
    #[component(name = "malformed")]
    Malformed(String),
    #[component(name = "failed")]
    Failed(String),
}

impl From<GuestFailure> for Failure {
    fn from(failure: GuestFailure) -> Self {
        let (rejection, message) = match failure {
            GuestFailure::Unsupported(message) => (Rejection::Unsupported, message),
            GuestFailure::Malformed(message) => (Rejection::Malformed, message),
            GuestFailure::Failed(message) => (Rejection::Failed, message),
        };
        Self::new(Outcome::Rejected(rejection), message)
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Described {
    name: String,
    version: String,
    summary: String,
    #[component(name = "media-types")]
    media_types: Vec<String>,
    access: GuestAccess,
    #[component(name = "parameter-schema")]
    parameter_schema: String,
    #[component(name = "report-schema")]
    report_schema: String,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only ever lifted from a guest's byte")]
pub(super) enum GuestAccess {
    #[component(name = "streaming")]
    Streaming,
    #[component(name = "seekable")]
    Seekable,
}

impl From<GuestAccess> for Access {
    fn from(access: GuestAccess) -> Self {
        match access {
            GuestAccess::Streaming => Self::Streaming,
            GuestAccess::Seekable => Self::Seekable,
        }
    }
}

impl From<Described> for Description {
    fn from(said: Described) -> Self {
        Self {
            name: said.name,
            version: said.version,
            summary: said.summary,
            media_types: said.media_types,
            access: said.access.into(),
            parameter_schema: said.parameter_schema,
            report_schema: said.report_schema,
        }
    }
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only ever lifted from a guest's byte")]
pub(super) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<Level> for backend::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum InputError {
    #[component(name = "void")]
    Void(String),
    #[component(name = "cancelled")]
    Cancelled,
    #[component(name = "other")]
    #[expect(dead_code, reason = "part of the contract; no host has had a reason for it yet")]
    Other(String),
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only ever lifted from a guest's byte")]
pub(super) enum HashAlgorithm {
    #[component(name = "sha256")]
    Sha256,
    #[component(name = "blake3")]
    Blake3,
}

impl From<HashAlgorithm> for sandbox::HashAlgorithm {
    fn from(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256,
            HashAlgorithm::Blake3 => Self::Blake3,
        }
    }
}

impl From<sandbox::InputError> for InputError {
    fn from(why: sandbox::InputError) -> Self {
        match why {
            sandbox::InputError::Void(reason) => Self::Void(reason),
            sandbox::InputError::Cancelled => Self::Cancelled,
        }
    }
}
