//! Components that import WASI 0.2, as those built for `wasm32-wasip2` do: they run, and there is nothing behind it.

use bytes::Bytes;
use filemill_runtime::{Level, Outcome};

use crate::harness::{failure, install, job, limits};
use filemill_guests::component;

/// Writes to standard output and standard error, and wants a random number.
const WRITES: &str = r#"
(import "beside" "get_stdout" (func $get_stdout (result i32)))
(import "beside" "get_stderr" (func $get_stderr (result i32)))
(import "beside" "write" (func $write (param i32 i32 i32 i32)))
(import "beside" "random" (func $random (result i64)))
(data (i32.const 1024) "hello\nworld")
(data (i32.const 1100) "{}")
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $write (call $get_stdout) (i32.const 1024) (i32.const 8) (i32.const 16))
  (call $write (call $get_stderr) (i32.const 1030) (i32.const 5) (i32.const 16))
  (call $write (call $get_stdout) (i32.const 1032) (i32.const 3) (i32.const 16))
  (if (i64.ne (call $random) (i64.const 0xe220a8397b1dcdaf)) (then unreachable))
  (call $report (i32.const 1100) (i32.const 2)))
;; beside:
(import "wasi:io/error@0.2.6" (instance $io_error (export "error" (type (sub resource)))))
(alias export $io_error "error" (type $wasi_error))
(import "wasi:io/streams@0.2.6" (instance $streams
  (alias outer 1 $wasi_error (type $error_outside))
  (export "error" (type $error (eq $error_outside)))
  (export "output-stream" (type $stream (sub resource)))
  (type $failed (variant (case "last-operation-failed" (own $error)) (case "closed")))
  (export "stream-error" (type $stream_error (eq $failed)))
  (export "[method]output-stream.blocking-write-and-flush"
    (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream_error)))))))
(alias export $streams "output-stream" (type $wasi_stream))
(import "wasi:cli/stdout@0.2.6" (instance $stdout
  (alias outer 1 $wasi_stream (type $outside))
  (export "output-stream" (type $stream (eq $outside)))
  (export "get-stdout" (func (result (own $stream))))))
(import "wasi:cli/stderr@0.2.6" (instance $stderr
  (alias outer 1 $wasi_stream (type $outside))
  (export "output-stream" (type $stream (eq $outside)))
  (export "get-stderr" (func (result (own $stream))))))
(import "wasi:random/random@0.2.6" (instance $numbers (export "get-random-u64" (func (result u64)))))
(core func $get_stdout (canon lower (func $stdout "get-stdout")))
(core func $get_stderr (canon lower (func $stderr "get-stderr")))
(core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
  (memory $memory) (realloc $realloc)))
(core func $random (canon lower (func $numbers "get-random-u64")))
(core instance $beside
  (export "get_stdout" (func $get_stdout))
  (export "get_stderr" (func $get_stderr))
  (export "write" (func $write))
  (export "random" (func $random)))
"#;

/// Wants a network.
const CONNECTS: &str = r#"
(import "beside" "network" (func $network (result i32)))
(func (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32) (drop (call $network)) unreachable)
;; beside:
(import "wasi:sockets/instance-network@0.2.6" (instance $sockets
  (export "network" (type $network (sub resource)))
  (export "instance-network" (func (result (own $network))))))
(core func $network (canon lower (func $sockets "instance-network")))
(core instance $beside (export "network" (func $network)))
"#;

#[test]
fn what_is_written_to_standard_output_becomes_log_lines() {
    let release = install(&component(WRITES));
    for _ in 0..2 {
        let run = release.run(&job(0), Bytes::new(), &limits(), ());
        assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
        let log: Vec<_> = run.log.iter().map(|line| (line.level, line.message.as_str())).collect();
        assert_eq!(log, [(Level::Info, "hello"), (Level::Warn, "world"), (Level::Info, "world")]);
        // Two streams that were asked for three times, three writes, one number.
        assert_eq!(run.resources.host_calls, 7);
    }
}

#[test]
fn what_no_engine_is_given_ends_the_run_when_it_is_called() {
    let run = install(&component(CONNECTS)).run(&job(0), Bytes::new(), &limits(), ());
    assert_eq!(
        failure(&run, Outcome::Trapped),
        "the engine called `wasi:sockets/instance-network#instance-network`, which no engine is given"
    );
}

#[test]
fn another_wasi_than_0_2_is_refused() {
    let other = CONNECTS.replace("@0.2.6", "@0.3.0");
    let error = crate::harness::runtime().install(&component(&other)).expect_err("it is refused");
    assert!(error.to_string().contains("`wasi:sockets/instance-network@0.3.0`"), "{error}");
}
