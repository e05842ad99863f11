//! What a processor tells the operator's collector.

use std::sync::{Arc, Mutex, PoisonError};

use filemill_processor::NodeError;
use filemill_runtime::{ReleaseDigest, Runtime, RuntimeConfig};
use filemill_seal::Outcome;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::http::{Answer, serve};
use super::mill::{Mill, noise};

/// Keeps what is pushed to it.
struct Collector {
    url: Url,
    pushed: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    _running: DropGuard,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (pushed, stop) = (Arc::<Mutex<Vec<_>>>::default(), CancellationToken::new());
        let kept = Arc::clone(&pushed);
        tokio::spawn(serve(listener, stop.clone(), move |request| {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/metrics"));
            let pushed = ExportMetricsServiceRequest::decode(&*request.body).expect("OTLP");
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(pushed);
            async { Answer::status(200) }
        }));
        let url = format!("http://{address}/v1/metrics").parse().expect("a URL");
        Self { url, pushed, _running: stop.drop_guard() }
    }

    /// What was pushed last.
    fn last(&self) -> ExportMetricsServiceRequest {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().expect("something was pushed")
    }
}

/// Names and values of what a metric is about.
type About = Vec<(String, String)>;

/// Of each metric: name, what it is about, and its sum or how often it was recorded.
fn told(pushed: &ExportMetricsServiceRequest) -> Vec<(String, About, u64)> {
    let metrics = pushed.resource_metrics.iter().flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
    metrics
        .flat_map(|metric| {
            let points: Vec<_> = match metric.data.as_ref().expect("data") {
                Data::Sum(sum) => sum
                    .data_points
                    .iter()
                    .map(|point| match point.value {
                        Some(number_data_point::Value::AsInt(sum)) => {
                            (about(&point.attributes), u64::try_from(sum).expect("not negative"))
                        }
                        other => panic!("{other:?}"),
                    })
                    .collect(),
                Data::Histogram(histogram) => {
                    histogram.data_points.iter().map(|point| (about(&point.attributes), point.count)).collect()
                }
                other => panic!("{other:?}"),
            };
            points.into_iter().map(|(about, value)| (metric.name.clone(), about, value))
        })
        .collect()
}

fn about(attributes: &[KeyValue]) -> About {
    let mut about: Vec<_> = attributes.iter().map(|of| (of.key.clone(), text(of))).collect();
    about.sort();
    about
}

fn text(of: &KeyValue) -> String {
    match of.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_engines_used_is_pushed_by_release_and_nothing_names_a_file() {
    let collector = Collector::start().await;
    let url = collector.url.clone();
    let mill = Mill::start_with(super::counts(), |config| config.metrics_url = Some(url)).await;
    let sent = mill.upload(&[noise(10, 1), noise(11, 2)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    for index in 0..2 {
        assert_eq!(mill.result(&sent, index).await.outcome, Outcome::Succeeded);
    }
    let totals = mill.end().await;
    assert_eq!(totals.jobs_completed, 2);

    let pushed = collector.last();
    let told = told(&pushed);
    let value = |name: &str| -> Vec<_> {
        told.iter().filter(|(of, ..)| of == name).map(|(_, about, value)| (about.clone(), *value)).collect()
    };
    let release = ("filemill.release".to_owned(), ReleaseDigest::of(&super::counts()).to_string());
    let outcome = ("filemill.outcome".to_owned(), "succeeded".to_owned());
    assert_eq!(value("filemill.engine.runs"), [(vec![outcome, release.clone()], 2)]);
    for name in ["cpu.time", "memory.peak", "read", "host_calls"] {
        assert_eq!(value(&format!("filemill.engine.{name}")), [(vec![release.clone()], 2)], "{name}");
    }
    assert_eq!(value("filemill.processor.jobs_completed"), [(Vec::new(), 2)]);

    let known = ["filemill.release", "filemill.outcome"];
    let names = told.iter().flat_map(|(_, about, _)| about).map(|(name, _)| name.as_str());
    assert_eq!(names.filter(|name| !known.contains(name)).collect::<Vec<_>>(), [""; 0]);
    let resource = pushed.resource_metrics[0].resource.as_ref().expect("who pushes");
    assert!(resource.attributes.iter().any(|of| of.key == "service.name" && text(of) == "filemill-processor"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_no_job() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url: Url = format!("http://{}/v1/metrics", nobody.local_addr().expect("an address")).parse().expect("a URL");
    drop(nobody);
    let mill = Mill::start_with(super::counts(), |config| config.metrics_url = Some(url)).await;
    let sent = mill.upload(&[noise(10, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    assert_eq!(mill.end().await.jobs_completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_do_not_cross_a_network_in_the_clear_unasked() {
    let mill = Mill::stopped(super::counts()).await;
    let mut config = mill.config();
    config.metrics_url = "http://otel.example.org/v1/metrics".parse().ok();
    let (runtime, stop) = (Runtime::new(RuntimeConfig::default()).expect("a runtime"), CancellationToken::new());
    let refused = filemill_processor::run(config, vec![Arc::new(runtime)], stop).await;
    assert!(
        matches!(&refused, Err(NodeError::PlainHttp { origin }) if origin.contains("otel.example.org")),
        "{refused:?}"
    );
}
