;; Asks for a hash after it has read.
(func $analyze (export "analyze")
  (param $name i32) (param $name_len i32) (param $size i64) (param $input i32) (param $parameters i32) (param $parameters_len i32)
  (result i32)
  (call $read (local.get $input) (i64.const 1) (i32.const 16))
  (call $hash (local.get $input) (i32.const 1) (i32.const 16))
  (unreachable))
