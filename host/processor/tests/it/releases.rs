//! How releases become ready: from the cache, from storage, and when the machine is at fault.

use std::fs;
use std::path::Path;

use filemill_api::ReturnReason;
use filemill_runtime::{CacheConfig, Compiler, CompilerProcess, Limits, Runtime, RuntimeConfig};
use filemill_seal::{Digest, Outcome};

use super::counts;
use super::mill::{Mill, Sent, noise};
use super::plugins::{SLOW, compiler, compiles, saying, until_there};

fn send(mill: &Mill) -> Sent {
    let sent = mill.upload(&[noise(100, 1)]).seal(&mill.fake);
    sent.offer(&mill.fake);
    sent
}

/// A compiler that is killed the first `times` times.
fn dying(dir: &Path, times: u32) -> Compiler {
    let path = dir.join("compiler");
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho x >> {dir}/tries\n[ $(wc -l < {dir}/tries) -le {times} ] && kill -SEGV $$\n\
         exec {} compile-component \"$@\"\n",
        env!("CARGO_BIN_EXE_filemill-processor"),
        dir = dir.display(),
    );
    fs::write(&path, script).expect("written");
    Compiler::Child(CompilerProcess::new("/bin/sh", [path]))
}

fn tries(mill: &Mill) -> usize {
    fs::read_to_string(mill.dir().join("tries")).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_code_is_cached_is_not_fetched() {
    let mill = Mill::stopped(counts()).await;
    let cache =
        CacheConfig { folder: mill.dir().join("compiled"), key_file: mill.dir().join("key"), max_bytes: 1 << 30 };
    let earlier = RuntimeConfig { cache: Some(cache.clone()), ..RuntimeConfig::default() };
    Runtime::new(earlier).expect("a runtime").install(&counts()).expect("it is good");
    mill.fake.world(|world| world.component = None);
    let mill = mill.with_runtime(|runtime| runtime.cache = Some(cache)).started();
    let sent = send(&mill);
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_dies_once_costs_no_lease() {
    let mill = Mill::stopped(counts()).await;
    let compiler = dying(mill.dir(), 1);
    let mill = mill.with_runtime(|runtime| runtime.compiler = compiler).started();
    let sent = send(&mill);
    assert_eq!(mill.result(&sent, 0).await.outcome, Outcome::Succeeded);
    assert_eq!(tries(&mill), 2);
    assert_eq!(mill.end().await.leases_returned, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_dies_each_time_is_tried_three_times() {
    let mill = Mill::stopped(counts()).await;
    let compiler = dying(mill.dir(), 100);
    let mill = mill.with_runtime(|runtime| runtime.compiler = compiler).started();
    for tries_so_far in [2, 3, 3] {
        let sent = send(&mill);
        assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
        assert_eq!(tries(&mill), tries_so_far);
    }
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_describes_itself_within_its_own_limits() {
    let digest = Digest::of(&counts()).to_string();
    let mill = Mill::start_with(counts(), |config| {
        let small = Limits { memory_bytes: 1 << 10, ..config.limits.default.clone() };
        config.limits.by_release.insert(digest, small);
    })
    .await;
    let sent = send(&mill);
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::NodeFault);
    mill.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_waits_for_no_compiler() {
    let mill = Mill::stopped(saying(SLOW)).await;
    let compiler = compiler(mill.dir());
    let mill = mill.with_runtime(|runtime| runtime.compiler = compiler).started();
    let sent = send(&mill);
    let process = until_there(&mill.dir().join("slow")).await;
    mill.stop();
    assert_eq!(mill.fake.returned(sent.span_of(0)).await, ReturnReason::ShuttingDown);
    mill.end().await;
    assert!(!compiles(&process));
}
