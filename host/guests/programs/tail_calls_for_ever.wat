;; Two functions that call each other in tail position: no stack ends them.
(func $ping (return_call $pong))
(func $pong (return_call $ping))
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32) (result i32)
  (call $ping)
  (unreachable))
