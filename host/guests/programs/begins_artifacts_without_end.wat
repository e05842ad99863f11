;; Begins one artifact after the other, each called by one more `x`, and ends none.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (local $names i32)
  (memory.fill (i32.const 1024) (i32.const 120) (i32.const 100))
  (loop $more
    (local.set $names (i32.add (local.get $names) (i32.const 1)))
    (drop (call $start_artifact_called (i32.const 1024) (local.get $names) (call $readable (call $stream_new))))
    (br $more))
  (unreachable))
