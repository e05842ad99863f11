;; Drops the input's handle and reads from it.
(func $analyze (export "analyze") (param i32 i32 i64) (param $input i32) (param i32 i32) (result i32)
  (call $drop_input (local.get $input))
  (call $read (local.get $input) (i64.const 1) (i32.const 16))
  (unreachable))
