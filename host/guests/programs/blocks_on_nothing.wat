;; Waits for something in an empty set, without returning.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (call $set_wait (call $set_new) (i32.const 16)))
