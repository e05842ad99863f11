;; Waits for something in an empty set.
;; contract: 2
(func $analyze (export "analyze") (param i32 i32 i64 i32 i32 i32 i32) (result i32) (call $wait_for (call $set_new)))
