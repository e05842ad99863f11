//! What engines used and what the node did, pushed to a collector where the operator has one: nobody can ask a processor.
//!
//! The protocol is OpenTelemetry's, OTLP 1.x over HTTP with protobuf bodies, which every collector and most stores of metrics
//! take. Its usual environment variables hold: `OTEL_METRIC_EXPORT_INTERVAL` (60 s), `OTEL_EXPORTER_OTLP_METRICS_HEADERS`,
//! `OTEL_RESOURCE_ATTRIBUTES`.
//!
//! Who reads them learns how often each release ran, how the runs ended, and how their time, memory and input were spread. No
//! file, upload or organisation is named; but where a release ran once between two pushes, the sums are those of that run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filemill_runtime::{ReleaseDigest, Run};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::Handle;
use url::Url;

use super::totals::{Counters, Totals};
use crate::net::{BodyError, Http, describe, read_body};

/// A collector that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// Upper bounds of each histogram's buckets.
const SECONDS: [f64; 10] = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0];
const BYTES: [f64; 10] =
    [4096.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0, 268435456.0, 1073741824.0, 4294967296.0];
const CALLS: [f64; 8] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7];

/// One of the environment variables is malformed.
#[derive(Debug)]
pub(crate) struct MetricsError(pub(crate) String);

/// What a node tells its collector.
pub(crate) struct Metrics {
    provider: SdkMeterProvider,
    runs: Counter<u64>,
    cpu: Histogram<f64>,
    memory: Histogram<u64>,
    read: Histogram<u64>,
    host_calls: Histogram<u64>,
}

impl Metrics {
    /// Begins to push to `url`, from a thread of its own. Needs a tokio runtime for as long as it goes on.
    ///
    /// # Errors
    ///
    /// [`MetricsError`], where one of the environment variables is malformed.
    pub(crate) fn start(
        url: &Url,
        client: Http,
        (node, pool): (&str, &str),
        counters: Arc<Counters>,
    ) -> Result<Self, MetricsError> {
        let push = Push { client, network: Handle::current(), is_told: AtomicBool::new(false) };
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(push)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.as_str())
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("filemill-processor")
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", node.to_owned()),
                KeyValue::new("filemill.pool", pool.to_owned()),
            ])
            .build();
        let reader = PeriodicReader::builder(exporter).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let meter = provider.meter("filemill");
        observe(&meter, &counters);
        let bytes = |name, description| {
            let histogram = meter.u64_histogram(name).with_description(description);
            histogram.with_unit("By").with_boundaries(BYTES.to_vec()).build()
        };
        Ok(Self {
            runs: meter
                .u64_counter("filemill.engine.runs")
                .with_description("Runs of engines that ended, well or not.")
                .with_unit("{run}")
                .build(),
            cpu: meter
                .f64_histogram("filemill.engine.cpu.time")
                .with_description("CPU time of a run.")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            memory: bytes("filemill.engine.memory.peak", "The most memory that a run had."),
            read: bytes("filemill.engine.read", "Bytes that a run read of its file."),
            host_calls: meter
                .u64_histogram("filemill.engine.host_calls")
                .with_description("Calls of a run to the host.")
                .with_unit("{call}")
                .with_boundaries(CALLS.to_vec())
                .build(),
            provider,
        })
    }

    /// An engine ran.
    pub(crate) fn ran(&self, release: ReleaseDigest, run: &Run) {
        let used = &run.resources;
        let of = [
            KeyValue::new("filemill.release", release.to_string()),
            KeyValue::new("filemill.outcome", run.outcome().code()),
        ];
        self.runs.add(1, &of);
        let of = &of[..1];
        self.cpu.record(used.cpu_time.as_secs_f64(), of);
        self.memory.record(used.peak_memory_bytes, of);
        self.read.record(used.bytes_read, of);
        self.host_calls.record(used.host_calls, of);
    }

    /// Pushes what is left. Blocks for some seconds at most, and the runtime has to go on meanwhile.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last metrics could not be pushed");
        }
    }
}

/// Adds each counter of the node, but those of engines: these are told by release.
fn observe(meter: &Meter, counters: &Arc<Counters>) {
    for (name, description, get) in Totals::EACH.iter().filter(|(name, ..)| !name.starts_with("engine_")) {
        let counters = Arc::clone(counters);
        // It lives in the meter.
        let _ = meter
            .u64_observable_counter(format!("filemill.processor.{name}"))
            .with_description(description.trim())
            .with_callback(move |observer| observer.observe(get(&counters.read()), &[]))
            .build();
    }
}

/// Takes the exporter's requests, which come from a thread without a runtime, to the node's own HTTP client: one that follows
/// no redirect.
#[derive(Debug)]
struct Push {
    client: Http,
    network: Handle,
    /// Whether it was said that the collector does not answer.
    is_told: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Push {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let answered = self.network.spawn(async move { send(&client, request).await }).await;
        let answered = answered.unwrap_or_else(|error| Err(error.to_string()));
        let trouble = match &answered {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(error.clone()),
        };
        match trouble {
            Some(why) if !self.is_told.swap(true, Ordering::Relaxed) => {
                tracing::warn!(why, "metrics cannot be pushed: they go on to be counted, and are tried again");
            }
            None if self.is_told.swap(false, Ordering::Relaxed) => tracing::info!("metrics are pushed again"),
            _ => {}
        }
        Ok(answered?)
    }
}

async fn send(client: &Http, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    let mut request = reqwest::Request::try_from(request).map_err(describe)?;
    *request.timeout_mut() = Some(PATIENCE);
    let response = client.execute(request).await.map_err(describe)?;
    let mut answer = Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        *headers = response.headers().clone();
    }
    let body = read_body(response, ANSWER_MAX_BYTES, 0).await.map_err(|error| match error {
        BodyError::TooLong => format!("its answer has more than {ANSWER_MAX_BYTES} bytes"),
        BodyError::Broken(why) => why,
    })?;
    answer.body(Bytes::from(body)).map_err(|error| error.to_string())
}
