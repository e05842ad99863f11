;; A good engine: two findings, and an artifact in two pieces.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (local $stream i64) (local $call i32)
  (call $found (i32.const 256) (i32.const 8) (i32.const 3) (i32.const 256) (i32.const 4) (i32.const 288) (i32.const 2))
  (local.set $stream (call $stream_new))
  (local.set $call (call $start_artifact (call $readable (local.get $stream))))
  (drop (call $write (call $writable (local.get $stream)) (i32.const 200) (i32.const 7)))
  (call $found (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0))
  (drop (call $write (call $writable (local.get $stream)) (i32.const 256) (i32.const 4)))
  (call $drop_writable (call $writable (local.get $stream)))
  (if (i32.ne (local.get $call) (i32.const 2)) (then
    (call $wait (i32.shr_u (local.get $call) (i32.const 4)))
    (call $subtask_drop (i32.shr_u (local.get $call) (i32.const 4)))))
  (call $report_nothing)
  (global.get $exit))
