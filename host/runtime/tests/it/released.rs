//! Components that were built for the first version of each contract: whatever was released keeps running.

use bytes::Bytes;
use filemill_runtime::{Access, Limits, Outcome, Run};

use crate::harness::{install, job};

fn run(component: &[u8], contract: &str) -> Run {
    let release = install(component);
    assert_eq!(release.contract().to_string(), contract);
    let description = release.describe(&Limits::default()).expect("it describes itself");
    assert_eq!(description.access, Access::Streaming);
    assert!(!description.report_schema.is_empty());
    release.run(&job(9), Bytes::from_static(b"one\ntwo\n."), &Limits::default(), ())
}

#[test]
fn a_component_built_against_the_first_contract_1_runs() {
    let run = run(include_bytes!("../fixtures/built-for-1.0.0.wasm"), "1.0.0");
    assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
    let report = run.result.expect("a report");
    assert!(report.json.contains("\"bytes\":9"), "{}", report.json);
    assert_eq!(report.artifacts.len(), 1, "its histogram");
}

#[test]
fn a_component_built_against_the_first_contract_2_runs() {
    let run = run(include_bytes!("../fixtures/built-for-2.0.0.wasm"), "2.0.0");
    assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
    assert_eq!(run.result.expect("a report").json, r#"{"bytes":9,"lines":3}"#);
}
