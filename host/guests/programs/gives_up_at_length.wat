;; Gives up with a message of 2 MiB.
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $give_up (i32.const 0) (i32.const 2097152))
  (unreachable))
