;; Calls `read-at`, which its description does not ask for.
;; contract: 2
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $bytes i32) (param $input i32) (param $parameters i32)
  (param $parameters_len i32) (result i32)
  (call $read_at (local.get $input) (i64.const 0) (i64.const 1) (i32.const 16))
  (unreachable))
