;; Writes to the end from which it should read.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (drop (call $stream_write (local.get $bytes) (i32.const 1024) (i32.const 1)))
  (unreachable))
