;; Drops the input's handle twice.
(func $analyze (export "analyze") (param i32 i32 i64) (param $input i32) (param i32 i32) (result i32)
  (call $drop_input (local.get $input))
  (call $drop_input (local.get $input))
  (unreachable))
