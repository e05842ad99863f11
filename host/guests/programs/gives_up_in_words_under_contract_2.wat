;; Says why it gives up, out of an asynchronous call.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32)
  (call $give_up (i32.const 200) (i32.const 11))
  (unreachable))
