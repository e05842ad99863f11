;; Hands out an artifact that never ends, 1 KiB at a time.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (local $stream i64)
  (local.set $stream (call $stream_new))
  (drop (call $start_artifact (call $readable (local.get $stream))))
  (loop $more
    (drop (call $write (call $writable (local.get $stream)) (i32.const 1024) (i32.const 1024)))
    (br $more))
  (unreachable))
